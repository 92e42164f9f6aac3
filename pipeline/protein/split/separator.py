"""The fewest complexes whose removal parts others from the bulk: a minimum vertex cut.

Complexes are tied where they hold chains of one family. The largest family is bulk (train): with two thirds of all rows it could
go nowhere else. Every other complex is *held out*, *removed*, or stays with the bulk, and no held-out complex may share a family
with one that stays. For a price ``p`` a row, the choice that costs least (1 a removed complex, p a row that is not held out) is a
minimum cut, found exactly; larger prices hold out more. So for the number of rows that the chosen price holds out, no plan
removes fewer complexes (Everett 1963, doi:10.1287/opre.11.3.399); for any other number the same cuts give a lower bound.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

STEPS = 1000  # prices are tried in steps of 1/1000 of a complex a row, up to one complex a row
NEVER = 2**30


class Separation(NamedTuple):
    """Places of units: ``removed``, and ``held`` apart from the bulk. ``bound``: whoever holds out as many rows as wanted removes at
    least so many; ``num_held_rows`` may be fewer, where the next price holds out more than wanted."""

    removed: list[int]
    held: list[int]
    num_held_rows: int
    bound: float


def separated(families: Sequence[Sequence[int]], rows: Sequence[int], wanted: float) -> Separation:
    """``families`` and number of ``rows`` of each unit; at most ``wanted`` rows are held out."""
    if not families:
        return Separation([], [], 0, 0.0)
    held_in = np.bincount(np.concatenate([np.asarray(own, np.int64) for own in families]).astype(np.int64))
    weight = np.zeros(len(held_in), np.int64)
    for own, num in zip(families, rows, strict=True):
        weight[list(own)] += num
    bulk = int(weight.argmax())
    best = Separation([], [], 0, 0.0)
    bound, low, high = 0.0, 1, STEPS
    while low <= high:
        price = (low + high) // 2
        removed, held, cost = _cut(families, rows, bulk, price)
        bound = max(bound, (cost - price * (sum(rows) - wanted)) / STEPS)
        num_held = sum(rows[unit] for unit in held)
        if num_held <= wanted:
            best = Separation(removed, held, num_held, 0.0)
            low = price + 1
        else:
            high = price - 1
    return best._replace(bound=bound)


def _cut(families: Sequence[Sequence[int]], rows: Sequence[int], bulk: int, price: int) -> tuple[list[int], list[int], int]:
    """Removed and held-out units at ``price``, and what that costs in steps."""
    num = len(families)
    first = 2 + 2 * num  # nodes: source, sink, each unit's way in and way out, families
    ends: list[tuple[int, int, int]] = [(first + bulk, 1, NEVER)]
    for unit, own in enumerate(families):
        way_in, way_out = 2 + 2 * unit, 3 + 2 * unit
        ends += [(0, way_out, price * rows[unit]), (way_in, way_out, STEPS), (way_out, way_in, NEVER)]
        for family in own:
            ends += [(way_out, first + family, NEVER), (first + family, way_in, NEVER)]
    size = first + 1 + max((family for own in families for family in own), default=bulk)
    left, right, room = (np.array([end[k] for end in ends], np.int32) for k in range(3))
    network = coo_array((room, (left, right)), shape=(size, size)).tocsr()
    found = maximum_flow(network, 0, 1)
    rest = network - found.flow
    rest.data = (rest.data > 0).astype(np.int32)
    rest.eliminate_zeros()
    reached = np.zeros(size, bool)
    reached[breadth_first_order(rest, 0, return_predecessors=False)] = True
    held = [unit for unit in range(num) if reached[3 + 2 * unit]]
    removed = [unit for unit in range(num) if reached[2 + 2 * unit] and not reached[3 + 2 * unit]]
    return removed, held, int(found.flow_value)
