"""TIES: trim each task vector to its largest values, elect a sign per parameter, average those that agree with it.

``scope`` tensor trims every tensor to ``density`` of its elements, as mergekit does; model trims all together, as the
authors' code does. Values equal to the smallest kept one are all kept, so that the result does not hang on their order.

Source: Yadav et al. 2023, arXiv:2306.01708, algorithm 1.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from numba import njit
from torch import Tensor

from pipeline.delta import Models, Rows
from pipeline.merging.method import Method

BINS = 1 << 16
ONE_THREAD = 1 << 16  # elements below which a second thread costs more than it brings


def elected_mean(deltas: Float[Tensor, "K n"]) -> Float[Tensor, " n"]:
    """Mean of the non-zero values whose sign is that of the sum (a sum of 0 counts as positive); 0 where there is none."""
    positive = deltas.sum(0) >= 0
    agree = torch.where(positive, deltas > 0, deltas < 0)
    return (deltas * agree).sum(0) / agree.sum(0).clamp(min=1)


@njit(cache=True, nogil=True)
def _count_upper(bits: Any, counts: Any) -> None:
    for i in range(len(bits)):
        counts[(bits[i] & 0x7FFFFFFF) >> 16] += 1


@njit(cache=True, nogil=True)
def _count_lower(bits: Any, upper: int, counts: Any) -> None:
    for i in range(len(bits)):
        magnitude = bits[i] & 0x7FFFFFFF
        if magnitude >> 16 == upper:
            counts[magnitude & 0xFFFF] += 1


@njit(cache=True, nogil=True)
def _add_elected(rows: Any, limits: Any, norm: Any) -> None:
    """``rows[0] += norm * elected mean of what reaches the limits``, in one pass over the elements."""
    num = len(rows) - 1
    for i in range(rows.shape[1]):
        total = np.float32(0)
        for k in range(num):
            delta = rows[k + 1, i]
            if abs(delta) >= limits[k]:
                total += delta
        agreed, count = np.float32(0), np.float32(0)
        for k in range(num):
            delta = rows[k + 1, i]
            if abs(delta) >= limits[k] and ((total >= 0 and delta > 0) or (total < 0 and delta < 0)):
                agreed += delta
                count += np.float32(1)
        if count > 0:
            rows[0, i] += norm * (agreed / count)


class Smallest:
    """The smallest magnitude among the largest ``wanted`` of all values that are shown, exactly, after two rounds of showing them.

    The bits of a non-negative fp32 number, read as an integer, are in its order: a count by the upper 16 bits finds the bin,
    a count by the lower 16 inside it the number.
    """

    def __init__(self, num: int, wanted: int) -> None:
        self.wanted = wanted
        self.counts = np.zeros((num, BINS), dtype=np.int64)
        self.bins: list[tuple[int, int]] = []

    def show(self, deltas: Float[Tensor, "K n"]) -> None:
        def count(k: int) -> None:
            bits = deltas[k].numpy().view(np.int32)
            if self.bins:
                _count_lower(bits, self.bins[k][0], self.counts[k])
            else:
                _count_upper(bits, self.counts[k])

        _in_threads(count, range(len(deltas)), deltas.shape[1])

    def next_round(self) -> None:
        self.bins = [_from_above(counts, self.wanted) for counts in self.counts]
        self.counts[:] = 0

    def found(self) -> list[float]:
        """One for each expert."""
        bits = [
            (place << 16) | _from_above(counts, self.wanted - above)[0]
            for (place, above), counts in zip(self.bins, self.counts, strict=True)
        ]
        return np.array(bits, dtype=np.int32).view(np.float32).tolist()


def _from_above(counts: Any, wanted: int) -> tuple[int, int]:
    """The bin in which the ``wanted``-th from above lies, and how many lie above that bin."""
    above = counts[::-1].cumsum()
    place = int(np.searchsorted(above, wanted))
    return len(counts) - 1 - place, int(above[place - 1]) if place else 0


def _in_threads(work: Callable[[Any], None], items: Any, size: int) -> None:
    """Compiled loops let go of the interpreter, so they run side by side."""
    if size < ONE_THREAD or torch.get_num_threads() == 1:
        for item in items:
            work(item)
        return
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        list(pool.map(work, items))


class Ties(Method):
    """``base + norm * elected mean of the trimmed task vectors``. With ``scope`` tensor a tensor is read once, and whole."""

    def __init__(self, *, density: float, norm: float, scope: Literal["model", "tensor"]) -> None:
        super().__init__()
        if not 0 < density <= 1:
            raise ValueError(f"density must be in (0, 1], got {density}; see conf/merging/ties.yaml")
        self.density = density
        self.norm = norm
        self.whole = scope == "tensor" and density < 1
        self.limits: list[float] = []  # of the whole model

    def prepare(self, models: Models) -> None:
        self.limits = [0.0] * len(models.experts)
        if self.density == 1 or self.whole:
            return
        smallest = Smallest(len(models.experts), self._wanted(sum(models.base.places[name].numel for name in models.names)))
        for showing in range(2):
            if showing:
                smallest.next_round()
            for name in models.names:
                for _, rows in models.parts(name):
                    smallest.show(rows[1:])
        self.limits = smallest.found()

    def merge(self, name: str, start: int, rows: Rows) -> Float[Tensor, " n"]:
        limits = np.array(self._limits_of(rows[1:]) if self.whole else self.limits, dtype=np.float32)
        values, size = rows.numpy(), rows.shape[1]
        pieces = -(-size // max(1, torch.get_num_threads()))

        def add(first: int) -> None:
            _add_elected(values[:, first : first + pieces], limits, np.float32(self.norm))

        _in_threads(add, range(0, size, pieces), size)
        return rows[0]

    def _limits_of(self, deltas: Float[Tensor, "K n"]) -> list[float]:
        smallest = Smallest(len(deltas), self._wanted(deltas.shape[1]))
        smallest.show(deltas)
        smallest.next_round()
        smallest.show(deltas)
        return smallest.found()

    def _wanted(self, numel: int) -> int:
        return max(1, int(self.density * numel))
