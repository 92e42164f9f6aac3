"""What a stage hands to a training, and what it gets back, whatever kind of training it is.

Experts and phases have a node `fit`. It names a class whose instances are called with a `Job`.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from pipeline.encoder.encoder import Encoder
from pipeline.training.trainer import Point, run_folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """``section`` is that of the expert or phase, ``fit`` among its keys; ``name`` is the run's.

    ``mined`` is the folder of hard negatives that an earlier stage found; None in a phase, which finds its own.
    ``inputs`` holds hashes of what the training reads: a stopped training goes on only if these, its section and its seed are the same.
    ``scratch`` is a folder for what must outlive a stopped training beside its checkpoint.
    """

    encoder: Encoder
    section: Mapping[str, Any]
    runtime: Mapping[str, Any]
    seed: int
    name: str
    curated: Path
    mined: Path | None
    inputs: Mapping[str, str]
    scratch: Path

    def forget(self) -> None:
        """Remove what a stopped training would go on from. Called when what it made is published, and not before."""
        for folder in (self.scratch, run_folder(self.name, self.section, self.seed, self.inputs)):
            shutil.rmtree(folder, ignore_errors=True)


class Model(Protocol):
    def save(self, directory: Path) -> None: ...


@dataclass(frozen=True, slots=True)
class Fitted:
    """``model`` is what an expert hands over; a phase hands over ``job.encoder``, which was trained in place.

    ``snapshots``: weights of the encoder that were kept on the way, files called ``<step>.safetensors``. ``beside``: weights that the
    expert's directory keeps in a file of their own, since no vector depends on them. ``seen``: by task, what it saw of
    the rows and of their texts.
    """

    model: Model
    curve: list[Point]
    snapshots: Sequence[Path] = ()
    beside: Mapping[str, Tensor] = field(default_factory=dict)
    seen: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


class Fit(Protocol):
    """A kind of training. `compose` reads what the class says of itself without importing it, so these values are literals:

    * ``sections``: by role, ``expert`` or ``phase``, the shape of the section below `pipeline` (`pipeline.checked.shape_of`)
    * ``learns``: the shapes of tasks whose rows it can learn (`pipeline.task.Kind`); a training without tasks has none
    * ``keeps``: the keys of the section whose nodes the expert's directory names, which is loaded by their code; none if absent

    Of several processes all are called, and only the first may write what it gets.
    """

    sections: dict[str, str]

    def __call__(self, job: Job) -> Fitted: ...
