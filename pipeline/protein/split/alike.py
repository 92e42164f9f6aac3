"""How alike sequences are by the runs of three residues that they share. No alignment: it says where to look first, and proves nothing."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int
from scipy.sparse import csr_array

LETTERS = 3  # residues in a run: at 30 % identity hardly more are equal in a row
AT_ONCE = 256  # held-out chains whose likeness to all of train is in memory at a time


def most_alike(held: Sequence[str], train: Sequence[str], but: Int[np.ndarray, "P 2"], num: int) -> Int[np.ndarray, "Q 2"]:
    """At most ``num`` pairs, not among ``but``, that share most runs of `LETTERS` residues: by cosine, rare runs counting more."""
    left, right = _profiles(held, train)
    places, likeness = np.zeros(0, np.int64), np.zeros(0)
    for first in range(0, len(held) if num and len(train) else 0, AT_ONCE):
        both = (left[first : first + AT_ONCE] @ right.T).toarray()
        these = but[(but[:, 0] >= first) & (but[:, 0] < first + AT_ONCE)]
        both[these[:, 0] - first, these[:, 1]] = 0.0
        flat = both.ravel()
        top = np.argpartition(-flat, min(num, len(flat)) - 1)[:num]
        top = top[flat[top] > 0]
        places, likeness = np.concatenate([places, first * len(train) + top]), np.concatenate([likeness, flat[top]])
        kept = np.lexsort((places, -likeness))[:num]
        places, likeness = places[kept], likeness[kept]
    return np.stack(np.divmod(places, max(1, len(train))), axis=1)


def closest(held: Sequence[str], train: Sequence[str], num: int) -> Int[np.ndarray, "H num"]:
    """For each of ``held`` the places of the ``num`` chains of ``train`` that are most alike, or of all where there are fewer."""
    found = np.zeros((len(held), min(num, len(train))), np.int64)
    if not found.size:
        return found
    left, right = _profiles(held, train)
    for first in range(0, len(held), AT_ONCE):
        both = (left[first : first + AT_ONCE] @ right.T).toarray()
        found[first : first + AT_ONCE] = np.argsort(-both, axis=1, kind="stable")[:, :num]
    return found


def _profiles(held: Sequence[str], train: Sequence[str]) -> tuple[csr_array, csr_array]:
    """[chains, runs] for both lists: unit rows, each run as much as it is rare."""
    column: dict[str, int] = {}
    rows, columns = [], []
    for k, chain in enumerate([*held, *train]):
        runs = sorted({chain[i : i + LETTERS] for i in range(len(chain) - LETTERS + 1)})
        rows += [k] * len(runs)
        columns += [column.setdefault(run, len(column)) for run in runs]
    size = (len(held) + len(train), max(1, len(column)))
    rare = np.log(size[0] / np.maximum(1, np.bincount(np.array(columns, np.int64), minlength=size[1]))) + 1
    values = rare[np.array(columns, np.int64)]
    norm = np.sqrt(np.bincount(np.array(rows, np.int64), values**2, minlength=size[0]))
    values = values / norm[np.array(rows, np.int64)]
    every = csr_array((values, (np.array(rows, np.int64), np.array(columns, np.int64))), shape=size)
    return every[: len(held)], every[len(held) :]
