"""Task vectors: what training added to the base, read a part at a time.

``delta_k = expert_k - base`` (Ilharco et al. 2023, arXiv:2212.04089). Everything here is computed in fp32.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.aligned import align
from pipeline.weights import PART, Weights, widest, write_like

UNMOVED = 1e-7  # of the base's length: a task vector no longer than this is rounding
LOST = 0.1  # of the length of what a merge changes: more may not be lost by rounding to half precision

Rows = Float[Tensor, "K+1 n"]  # row 0: the base; row k: the k-th task vector; n elements of one tensor, flattened
Grams = Mapping[str, Float[Tensor, "K+1 K+1"]]  # by tensor: inner products of the rows, fp64


class Written(NamedTuple):
    """``grams``: by tensor, inner products of base and task vectors. ``lost``: the length of what rounding to half precision costs, as a
    share of what the merge changes. ``widened``: float32 was taken instead of the base's half precision."""

    grams: dict[str, Tensor]
    lost: float
    widened: bool


class Models:
    """A base and its experts. ValueError, naming tensor and file, where they do not fit or hold NaN."""

    def __init__(self, base: Path, experts: Sequence[Path]) -> None:
        self.base = Weights(base)
        self.experts = [Weights(expert) for expert in experts]
        for expert in self.experts:
            align(expert, self.base)
        self.names = sorted(name for name, place in self.base.places.items() if place.dtype.is_floating_point)

    def shape(self, name: str) -> tuple[int, ...]:
        return self.base.places[name].shape

    def parts(self, name: str, *, whole: bool = False) -> Iterator[tuple[int, Rows]]:
        """``(first element, rows)``, part by part, or the whole tensor at once. The rows are overwritten by a later part.

        While a part is worked on, the next one is read.
        """
        numel = self.base.places[name].numel
        size = numel if whole else PART
        starts = range(0, numel, max(1, size))
        buffers = [torch.empty(1 + len(self.experts), min(size, numel)) for _ in starts[:2]]

        def read(i: int) -> Rows:
            part = buffers[i % 2][:, : min(size, numel - starts[i])]
            self._read(name, starts[i], part)
            return part

        if len(starts) < 2:
            yield from ((start, read(0)) for start in starts)
            return
        with ThreadPoolExecutor(1) as pool:
            ahead = pool.submit(read, 0)
            for i, start in enumerate(starts):
                part = ahead.result()
                if i + 1 < len(starts):
                    ahead = pool.submit(read, i + 1)
                yield start, part

    def _read(self, name: str, start: int, rows: Rows) -> None:
        for at in range(0, rows.shape[1], PART):  # no second copy of a whole tensor
            part = rows[:, at : at + PART]
            for k, model in enumerate((self.base, *self.experts)):
                known = model.read(name, start + at, start + at + part.shape[1])
                part[k, : len(known)] = known
                part[k, len(known) :] = part[0, len(known) :]  # rows that stand for no token, which an expert may lack
            part[1:] -= part[0]

    def grams(self) -> dict[str, Float[Tensor, "K+1 K+1"]]:
        """By tensor: inner products of base and task vectors, 0 for a tensor without elements. One pass over all files."""
        found, num = {}, 1 + len(self.experts)
        with _one_thread():
            for name in self.names:
                parts = (self.inner(name, part) for _, part in self.parts(name))
                found[name] = sum(parts, torch.zeros(num, num, dtype=torch.float64))
        return found

    def inner(self, name: str, rows: Rows) -> Float[Tensor, "K+1 K+1"]:
        """Inner products of one part; ValueError where one is no number."""
        found = torch.zeros(len(rows), len(rows), dtype=torch.float64)
        for at in range(0, rows.shape[1], PART):  # fp32 within a part, fp64 between parts
            part = rows[:, at : at + PART]
            found += (part @ part.T).double()
        if not torch.isfinite(found).all():
            for k, model in enumerate((self.base, *self.experts)):
                if not torch.isfinite(rows[k]).all():
                    raise ValueError(
                        f"{model.places[name].file}, tensor {name} holds NaN or infinity; train it again, or leave it out"
                    )
            raise ValueError(f"{self.base.places[name].file}, tensor {name}: its square is beyond fp32; is it the right file?")
        return found

    def write(self, folder: Path, merge: Callable[[str, int, Rows], Float[Tensor, " n"]], *, whole: bool) -> Written:
        """Weights into ``folder``: ``merge(name, first element, rows)`` in the base's types; others as in the base.

        Where these types are of half precision and rounding to them would cost more than `LOST` of what the merge changes, or give
        infinities, all is written again in float32.
        """
        try:
            with nullcontext() if whole else _one_thread():
                found = self._write(folder, merge, whole=whole, widened=False)
                return found if found.lost <= LOST else self._write(folder, merge, whole=whole, widened=True)
        finally:
            self.close()

    def _write(
        self, folder: Path, merge: Callable[[str, int, Rows], Float[Tensor, " n"]], *, whole: bool, widened: bool
    ) -> Written:
        grams: dict[str, Tensor] = {}
        changed, rounded = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)

        def parts(name: str) -> Iterator[Tensor]:
            place = self.base.places[name]
            if not place.dtype.is_floating_point:
                yield self.base.read(name)
                return
            dtype = widest(place).dtype if widened else place.dtype
            total = torch.zeros(1 + len(self.experts), 1 + len(self.experts), dtype=torch.float64)
            for start, rows in self.parts(name, whole=whole):
                total += self.inner(name, rows)
                base = rows[0].clone() if dtype.itemsize < 4 else None
                merged = merge(name, start, rows)
                part = merged.to(dtype)
                if base is not None:
                    changed.add_((merged - base).double().square().sum())
                    rounded.add_((merged - part.float()).double().square().sum())
                yield part
            grams[name] = total

        write_like(self.base, folder, parts, widened=widened)
        lost = float((rounded / changed).sqrt()) if changed > 0 else float(rounded > 0)
        return Written(grams, lost, widened)

    def close(self) -> None:
        for model in (self.base, *self.experts):
            model.close()


@contextmanager
def _one_thread() -> Iterator[None]:
    """For work on parts: a second core reads ahead, and threads that meet after each small product wait longer than they work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def layer_of(name: str) -> str:
    """``encoder.layer.3`` of ``encoder.layer.3.output.dense.weight``; what has no number is its first word."""
    found = re.match(r"(.*?\.\d+)\.", name)
    return found.group(1) if found else name.split(".")[0]


def total(grams: Grams) -> Float[Tensor, "K+1 K+1"]:
    """Inner products over all tensors together."""
    return torch.stack([grams[name] for name in sorted(grams)]).sum(0)


def moved(base: Path, expert: Path) -> float:
    """The length of the task vector of ``expert``, as a share of that of ``base``."""
    models = Models(base, [expert])
    try:
        gram = total(models.grams())
    finally:
        models.close()
    return math.sqrt(float(gram[1, 1]) / max(float(gram[0, 0]), 1e-30))


def check_distance(gram: Float[Tensor, "K+1 K+1"], experts: Sequence[Path], *, max_distance: float) -> None:
    """ValueError where an expert stands so far from the base that it was hardly trained from it."""
    for k, expert in enumerate(experts, start=1):
        distance = math.sqrt(float(gram[k, k]) / max(float(gram[0, 0]), 1e-30))
        if distance > max_distance:
            raise ValueError(
                f"{expert} has no base in common with the others: |expert - base| is {distance:.2f} |base|, expected at most "
                f"{max_distance} (two unrelated models: about 1.4); name the base it was trained from, or raise merge.max_distance"
            )
