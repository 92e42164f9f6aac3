"""Batches that are known before the first step."""

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

B = TypeVar("B")


class Planned(Generic[B]):
    """A loader that counts the batches it gave, so that a stopped training goes on with the next one.

    ``batches`` is the plan, one entry a step; `batch` makes what the module receives out of entry ``number``.
    """

    batches: Any
    given = 0  # of this pass
    start = 0  # of the next pass

    @abstractmethod
    def batch(self, number: int) -> B: ...

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[B]:
        start, self.start = self.start, 0
        for number in range(start, len(self)):
            batch = self.batch(number)
            self.given = number + 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        return {"given": self.given}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.start = self.given = state["given"]
