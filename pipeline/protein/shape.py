"""The shape of an affinity expert's section of `data/config.yaml`."""

from typing import Literal

from pydantic import Field

from pipeline import shape
from pipeline.shape import Node, Shape


class Task(Shape):
    objective: Node
    batch_size: int = Field(gt=1)
    shuffle_documents: bool


class Look(Shape):
    every_steps: int = Field(gt=0)
    complexes: int = Field(gt=1)


class Affinity(Shape):
    load: Node
    architecture: Node
    head: Node | None
    backbone: Literal["frozen", "trained"]
    look: Look | None


class Expert(shape.Expert):
    tasks: dict[str, Task] = Field(min_length=1)  # pyright: ignore[reportIncompatibleVariableOverride]
    affinity: Affinity
