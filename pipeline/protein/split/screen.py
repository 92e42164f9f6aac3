"""Which pairs of chains may have a best local alignment that spans enough: exact scores, 64 chains in step, and no paths.

One chain is aligned with 64 others at a time, each in a byte of one vector register. An alignment that spans a share of a chain of L
residues ends at residue ceil(coverage x L) or later, and begins no later than as many residues before the last. So a pair is kept
only if its highest score is reached at such an end and, both chains reversed, at such a beginning; all others are proven not to span
enough. A score of 127 may be a higher one that does not fit a byte, and keeps its pair. Lengths too different to be related rule out
a pair beforehand.

The order of instructions is ours; numba compiles it for the processor at hand (AVX-512, AVX2, NEON).
Sources: Gotoh 1982, doi:10.1016/0022-2836(82)90398-9 (recursion); Rognes 2011, doi:10.1186/1471-2105-12-221 (a sequence a lane).
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import parasail
from jaxtyping import Int, UInt
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from pipeline.protein.split.rule import GAP_EXTEND, GAP_OPEN, ROUNDING, Rule

LANES = 64
AT_ONCE = 512  # chains whose partners are held in memory at a time
COLUMNS = 2  # residues of the other chains taken at once, which halves the traffic with memory
FULL = 127  # the highest score that a byte holds; lower ones are exact
ORDER = "ARNDCQEGHILKMFPSTWYVBZX*"  # rows of parasail's matrix; any other letter counts as *
PAD = len(ORDER)  # behind a chain's end, where everything costs
COST = -4  # the least value of BLOSUM62
LINES = 4  # of `_block`'s work: highest score so far, that at a late end, and two masks


class Packed(NamedTuple):
    """Chains as numbers of residues, end to end: chain i is ``codes[starts[i]:starts[i + 1]]``; ``needed``: residues to be spanned."""

    codes: UInt[np.ndarray, " R"]
    starts: Int[np.ndarray, " C+1"]
    needed: Int[np.ndarray, " C"]


def may_span(left: Sequence[str], right: Sequence[str], rule: Rule, *, workers: int) -> Int[np.ndarray, "P 2"]:
    """Of all pairs of ``left`` with ``right`` those, by their places, that are not proven to span too little; sorted."""
    order = np.argsort([len(chain) for chain in right], kind="stable")  # chains of a block should be of like length
    every = np.arange(len(left))
    return _by_both_ends(left, right, [(every, block) for block in _blocks(order)], rule, workers)


def may_span_within(chains: Sequence[str], rule: Rule, *, workers: int) -> Iterator[Int[np.ndarray, "P 2"]]:
    """Of all pairs of ``chains`` those that are not proven to span too little, in parts: a part for every `AT_ONCE` chains, in the order
    of their lengths, with all before them. Once each, but both ways round where the two stand in one block."""
    order = np.argsort([len(chain) for chain in chains], kind="stable")
    for first in range(0, len(order), AT_ONCE):
        part = range(first, min(first + AT_ONCE, len(order)), LANES)
        tasks = [(order[: k + LANES], order[k : k + LANES]) for k in part]
        pairs = _by_both_ends(chains, chains, tasks, rule, workers)
        yield pairs[pairs[:, 0] != pairs[:, 1]]


def may_span_among(
    left: Sequence[str], right: Sequence[str], pairs: Int[np.ndarray, "P 2"], rule: Rule, *, workers: int
) -> Int[np.ndarray, "Q 2"]:
    """The same of ``pairs``."""
    return _by_both_ends(left, right, _tasks(pairs, np.array([len(chain) for chain in right])), rule, workers)


def may_score(left: Sequence[str], right: Sequence[str], least: int, *, workers: int) -> Int[np.ndarray, "P 2"]:
    """Of all pairs of ``left`` with ``right`` those, by their places, whose best local alignment scores ``least`` or more, at most 127;
    sorted. No more than that is asked, so it is exact and needs one pass."""
    order = np.argsort([len(chain) for chain in right], kind="stable")
    return _scoring(left, right, [(np.arange(len(left)), block) for block in _blocks(order)], least, workers)


def may_score_within(chains: Sequence[str], least: int, *, workers: int) -> Iterator[Int[np.ndarray, "P 2"]]:
    """The same of all pairs of ``chains``, in parts, as in `may_span_within`."""
    order = np.argsort([len(chain) for chain in chains], kind="stable")
    for first in range(0, len(order), AT_ONCE):
        part = range(first, min(first + AT_ONCE, len(order)), LANES)
        pairs = _scoring(chains, chains, [(order[: k + LANES], order[k : k + LANES]) for k in part], least, workers)
        yield pairs[pairs[:, 0] != pairs[:, 1]]


def _scoring(
    left: Sequence[str], right: Sequence[str], tasks: "list[Task]", least: int, workers: int
) -> Int[np.ndarray, "P 2"]:
    if not 0 < least <= FULL:
        raise ValueError(f"a score must be from 1 to {FULL} to be told here, got {least}")
    packed = [_packed(of, Rule(1.0, 1.0, "both")) for of in (left, right)]  # the rule plays no part
    compiled: Any = _highest

    def scoring(task: Task) -> Int[np.ndarray, "P 2"]:
        own, block = task
        places = np.argwhere(compiled(packed[0].codes, packed[0].starts, own, *packed[1], block, GAINS) >= least)
        return np.stack([own[places[:, 0]], block[places[:, 1]]], axis=1)

    with ThreadPoolExecutor(workers) as pool:
        found = np.concatenate([np.zeros((0, 2), np.int64), *pool.map(scoring, tasks)])
    return found[np.lexsort((found[:, 1], found[:, 0]))]


Task = tuple[Int[np.ndarray, " A"], Int[np.ndarray, " B"]]  # chains of the left, each with each of at most 64 of the right


def _by_both_ends(left: Sequence[str], right: Sequence[str], tasks: list[Task], rule: Rule, workers: int) -> np.ndarray:
    lengths = np.array([len(chain) for chain in right])
    forward = _screened(_packed(left, rule), _packed(right, rule), tasks, rule, workers)
    turned = [_packed([chain[::-1] for chain in of], rule) for of in (left, right)]
    return _screened(turned[0], turned[1], _tasks(forward, lengths), rule, workers)


def _screened(left: Packed, right: Packed, tasks: list[Task], rule: Rule, workers: int) -> Int[np.ndarray, "P 2"]:
    shorter, share = rule.coverage_of == "shorter", rule.least_ratio - ROUNDING
    compiled: Any = _block

    def screened(task: Task) -> Int[np.ndarray, "P 2"]:
        own, block = task
        kept = compiled(*left, own, *right, block, GAINS, shorter, share)
        places = np.argwhere(kept)
        return np.stack([own[places[:, 0]], block[places[:, 1]]], axis=1)

    with ThreadPoolExecutor(workers) as pool:
        found = np.concatenate([np.zeros((0, 2), np.int64), *pool.map(screened, tasks)])
    return found[np.lexsort((found[:, 1], found[:, 0]))]


def _tasks(pairs: Int[np.ndarray, "P 2"], lengths: Int[np.ndarray, " C"]) -> list[Task]:
    """Every chain of the left with its own partners."""
    pairs = pairs[np.lexsort((lengths[pairs[:, 1]], pairs[:, 0]))] if len(pairs) else pairs
    own, starts = np.unique(pairs[:, 0], return_index=True)
    partners = np.split(pairs[:, 1], starts[1:])
    return [(own[k : k + 1], block) for k, of in enumerate(partners) for block in _blocks(of)] if len(own) else []


def _blocks(these: Int[np.ndarray, " C"]) -> list[Int[np.ndarray, " B"]]:
    return [these[first : first + LANES] for first in range(0, len(these), LANES)]


def _packed(chains: Sequence[str], rule: Rule) -> Packed:
    lengths = np.array([len(chain) for chain in chains], np.int64)
    needed = np.maximum(1, np.ceil(rule.coverage * lengths - ROUNDING).astype(np.int64))
    codes = CODES[np.frombuffer("".join(chains).encode("latin-1", "replace"), np.uint8)]
    return Packed(codes, np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]), needed)


def _codes() -> UInt[np.ndarray, " 256"]:
    found = np.full(256, ORDER.index("*"), np.uint8)
    for place, letter in enumerate(ORDER):
        found[[ord(letter), ord(letter.lower())]] = place
    return found


def _gains() -> Int[np.ndarray, "25 25"]:
    found = np.full((PAD + 1, PAD + 1), COST, np.int8)
    found[:PAD, :PAD] = np.array(parasail.blosum62.matrix)[:PAD, :PAD]
    return found


CODES, GAINS = _codes(), _gains()


@njit(nogil=True, cache=True)
def _block(codes, starts, needed, own, right, right_starts, right_needed, block, gains, shorter, share):  # pyright: ignore
    """[A, B]: whether each of ``own`` and each of ``block`` reach their highest score at an end that is late enough."""
    lengths = np.zeros(LANES, np.int64)
    for lane in range(len(block)):
        lengths[lane] = right_starts[block[lane] + 1] - right_starts[block[lane]]
    profile, late = _profile(right, right_starts, right_needed, block, lengths.max(), gains)
    longest = 0
    for i in own:
        longest = max(longest, starts[i + 1] - starts[i])
    scores, gaps = np.empty((longest, LANES), np.int8), np.empty((longest, LANES), np.int8)
    work = np.empty((LINES, LANES), np.int8)
    kept = np.zeros((len(own), len(block)), np.bool_)
    for a in range(len(own)):
        size = starts[own[a] + 1] - starts[own[a]]
        possible = False
        for lane in range(len(block)):
            possible |= min(size, lengths[lane]) >= share * max(size, lengths[lane])
            work[2, lane] = -1 if shorter and size >= lengths[lane] else 0  # this chain may end anywhere
            work[3, lane] = -1 if shorter and size <= lengths[lane] else 0  # the other may
        if not possible:
            continue
        work[:2] = 0
        scores[:size] = 0
        gaps[:size] = 0
        query = codes[starts[own[a]] : starts[own[a] + 1]]
        for j in range(0, len(profile), COLUMNS):
            _columns(  # pyright: ignore
                scores.ctypes.data, gaps.ctypes.data, profile[j].ctypes.data, query.ctypes.data, np.uintp(needed[own[a]] - 1),
                np.uintp(size), late[j].ctypes.data, work.ctypes.data,
            )  # fmt: skip
        for lane in range(len(block)):
            if min(size, lengths[lane]) >= share * max(size, lengths[lane]):
                kept[a, lane] = work[0, lane] == FULL or work[1, lane] == work[0, lane]
    return kept


@njit(nogil=True, cache=True)
def _highest(codes, starts, own, right, right_starts, right_needed, block, gains):  # pyright: ignore
    """[A, B]: the best score of each of ``own`` with each of ``block``, 127 where it is that or more."""
    longest = 0
    for lane in range(len(block)):
        longest = max(longest, right_starts[block[lane] + 1] - right_starts[block[lane]])
    profile, late = _profile(right, right_starts, right_needed, block, longest, gains)
    longest = 0
    for i in own:
        longest = max(longest, starts[i + 1] - starts[i])
    scores, gaps = np.empty((longest, LANES), np.int8), np.empty((longest, LANES), np.int8)
    work = np.zeros((LINES, LANES), np.int8)
    found = np.zeros((len(own), len(block)), np.int8)
    for a in range(len(own)):
        size = starts[own[a] + 1] - starts[own[a]]
        work[:2] = 0
        scores[:size] = 0
        gaps[:size] = 0
        query = codes[starts[own[a]] : starts[own[a] + 1]]
        for j in range(0, len(profile), COLUMNS):
            _columns(  # pyright: ignore
                scores.ctypes.data, gaps.ctypes.data, profile[j].ctypes.data, query.ctypes.data, np.uintp(0),
                np.uintp(size), late[j].ctypes.data, work.ctypes.data,
            )  # fmt: skip
        for lane in range(len(block)):
            found[a, lane] = work[0, lane]
    return found


@njit(nogil=True, cache=True)
def _profile(codes, starts, needed, block, longest, gains):  # pyright: ignore
    """[L, letters, LANES] what a residue gains against each chain's residue j; [L, LANES] all bits where an end at j is late enough."""
    longest = -(-longest // COLUMNS) * COLUMNS
    profile = np.full((longest, len(gains), LANES), COST, np.int8)
    late = np.zeros((longest, LANES), np.int8)
    for lane in range(len(block)):
        first, last = starts[block[lane]], starts[block[lane] + 1]
        for j in range(last - first):
            for letter in range(len(gains)):
                profile[j, letter, lane] = gains[letter, codes[first + j]]
        late[needed[block[lane]] - 1 :, lane] = -1
    return profile, late


class _Lanes:
    """Emits operations on rows of `LANES` bytes. Addresses are numbers."""

    def __init__(self, builder: Any, word: Any) -> None:
        self.builder = builder
        self.word = word
        self.vector = ir.VectorType(ir.IntType(8), LANES)
        self.add, self.most, self.less = self._named("sadd.sat"), self._named("smax"), builder.sub

    def _named(self, name: str) -> Callable[[Any, Any], Any]:
        kind = ir.FunctionType(self.vector, [self.vector, self.vector])
        function = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.{name}.v{LANES}i8")
        return lambda a, b: self.builder.call(function, [a, b])

    def constant(self, value: int) -> Any:
        return ir.Constant(self.vector, [value] * LANES)

    def zeros(self, number: int) -> list[Any]:
        return [cgutils.alloca_once_value(self.builder, self.constant(0)) for _ in range(number)]

    def row(self, base: Any, number: Any) -> Any:
        place = self.builder.add(base, self.builder.mul(number, self.word(LANES)))
        return self.builder.inttoptr(place, self.vector.as_pointer())

    def load(self, place: Any) -> Any:
        return self.builder.load(place, align=1)

    def store(self, value: Any, place: Any) -> None:
        self.builder.store(value, place, align=1)

    def byte(self, base: Any, number: Any) -> Any:
        place = self.builder.inttoptr(self.builder.add(base, number), ir.IntType(8).as_pointer())
        return self.builder.zext(self.builder.load(place), self.word)


@intrinsic
def _columns(typing, scores, gaps, profile, query, first, last, late, work):  # pyright: ignore
    """The next residues of each of 64 chains against residues 0 to ``last`` of the query; from ``first`` on they end late enough.
    All others are addresses, of rows of 64 bytes: a row a residue of the query, or a row a letter, or one; of the query, of its bytes."""

    def emit(context: Any, builder: Any, signature: Any, given: Sequence[Any]) -> Any:
        scores, gaps, profile, query, first, last, late, work = given
        word = first.type
        lanes = _Lanes(builder, word)
        add, most, less, row, load = lanes.add, lanes.most, lanes.less, lanes.row, lanes.load
        down, diagonal = lanes.zeros(COLUMNS), lanes.zeros(COLUMNS)
        highest = []  # of each column: of its early rows, of its late ones
        for begin, end in ((word(0), first), (first, last)):
            best = lanes.zeros(COLUMNS)
            with cgutils.for_range_slice(builder, begin, end, word(1)) as (i, _):
                letter = lanes.byte(query, i)
                before, along = load(row(scores, i)), load(row(gaps, i))
                for k in range(COLUMNS):
                    gain = load(row(builder.add(profile, word(k * len(GAINS) * LANES)), letter))
                    score = most(add(builder.load(diagonal[k]), gain), lanes.constant(0))
                    score = most(most(score, along), builder.load(down[k]))
                    opened = less(score, lanes.constant(GAP_OPEN))
                    builder.store(most(less(builder.load(down[k]), lanes.constant(GAP_EXTEND)), opened), down[k])
                    builder.store(before, diagonal[k])
                    builder.store(most(builder.load(best[k]), score), best[k])
                    along = most(less(along, lanes.constant(GAP_EXTEND)), opened)
                    before = score
                lanes.store(before, row(scores, i))
                lanes.store(along, row(gaps, i))
            highest.append([builder.load(one) for one in best])
        top, at_end, any_row, any_column = (row(work, word(k)) for k in range(LINES))
        for k, (early, latest) in enumerate(zip(*highest, strict=True)):
            at_late = most(latest, builder.and_(early, load(any_row)))
            at_late = builder.and_(at_late, builder.or_(load(row(late, word(k))), load(any_column)))
            lanes.store(most(load(top), most(early, latest)), top)
            lanes.store(most(load(at_end), at_late), at_end)
        return context.get_dummy_value()

    return types.void(*[types.uintp] * 8), emit
