"""A teacher: where the soft scores come from that some objectives learn (`margin_mse`, `teacher_kl`)."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Teacher(ABC):
    """It names what it reads by hash, so that the stages that learn from it see it change."""

    @abstractmethod
    def load(self, *, max_length_tokens: int | None, batch_tokens: int) -> None:
        """Make it ready, once, before the first step. ValueError where what it reads is not what the configuration names."""

    @abstractmethod
    def scores(
        self,
        task: str,
        queries: Sequence[str],
        documents: Sequence[str],
        positive: Int[Tensor, "B P"],
        negative: Int[Tensor, "B H"],
    ) -> Float[Tensor, "B C"]:
        """Of each query with its main positive and its mined negatives (places in ``documents``); 0 where it has fewer."""


class Mean(Teacher):
    """The mean of several teachers' scores, each counting once, on the scale that each gives them."""

    def __init__(self, teachers: Sequence[Teacher]) -> None:
        self.teachers = list(teachers)

    def load(self, *, max_length_tokens: int | None, batch_tokens: int) -> None:
        for teacher in self.teachers:
            teacher.load(max_length_tokens=max_length_tokens, batch_tokens=batch_tokens)

    def scores(
        self,
        task: str,
        queries: Sequence[str],
        documents: Sequence[str],
        positive: Int[Tensor, "B P"],
        negative: Int[Tensor, "B H"],
    ) -> Float[Tensor, "B C"]:
        found = [teacher.scores(task, queries, documents, positive, negative) for teacher in self.teachers]
        return torch.stack(found).mean(0)
