"""Dense judgements against random ones: the same kind of texts and queries, as many of both; only what goes with what differs.

Texts are made as LIMIT's: a person and what this person likes; a query asks who likes one thing, and two persons do. Dense: the queries
ask for every pair of the fewest persons that have so many pairs. Random: their pairs are drawn among all persons. All persons like
equally many things. A vector with too few numbers for all pairs of a few loses more on the dense ones; words lose nothing on either.

Source: Weller et al. 2025, arXiv:2508.21038, sections 5.1 and 5.4. The words and the number of persons are ours.
"""

import random
from itertools import combinations, product
from typing import Any

from pipeline.behaviour.limit import AT, scored
from pipeline.behaviour.subject import Measured, Subject
from pipeline.corpus.collection import Judged
from pipeline.evaluator.retrieval import dense

FIRST = "Ada Ben Cleo Dan Eve Finn Gus Hal Ida Jon Kay Leo Mia Ned Ola Pia Ray Sue Tom Uma Vic Wes Xia Zoe"
LAST = "Adler Brook Carver Dale Ewing Frost Glover Hart Ives Jensen Keller Lowe"
HOW = "green old wooden cheap Italian spicy paper silent frozen antique striped tiny giant velvet copper salted blue foreign woollen"
WHAT = "apples clocks boats novels lamps violins sweaters maps kites cheeses buttons gardens trains candles mirrors carpets"


class Judgements:
    """``queries``, each with two answers, among ``persons``; ``lexical`` has a `search`, such as BM25's."""

    def __init__(self, *, queries: int, persons: int, lexical: Any) -> None:
        most, fewest = len(FIRST.split()) * len(LAST.split()), smallest(queries)
        things = len(HOW.split()) * len(WHAT.split())
        if queries < 1 or queries + fewest > things or not fewest <= persons <= most:
            raise ValueError(
                f"expected 1 to {things // 2} queries and at least as many persons as have so many pairs ({fewest}), at most {most}, got "
                f"{queries} and {persons}; see conf/behaviour/judgements.yaml"
            )
        self.queries = queries
        self.persons = persons
        self.lexical = lexical

    def measure(self, subject: Subject) -> Measured:
        rows: dict[str, list[float]] = {}
        for kind in ("dense", "random"):
            c = made(self.queries, self.persons, dense=kind == "dense", seed=subject.seed)
            rows |= {
                f"{kind}: one vector": scored(dense(subject.encode, c.task), c),
                f"{kind}: BM25": scored(self.lexical.search, c),
            }
        about = (
            f"{self.queries} queries, each with two answers among {self.persons} made texts. Dense: every pair of {smallest(self.queries)} "
            "of these is asked for; random: pairs of all."
        )
        return Measured(about, "", AT, rows)


def smallest(queries: int) -> int:
    """The fewest documents that have ``queries`` pairs."""
    num = 2
    while num * (num - 1) // 2 < queries:
        num += 1
    return num


def made(queries: int, persons: int, *, dense: bool, seed: int) -> Judged:
    """The collection. Both kinds have the same queries, persons and number of likes, and differ in who likes what."""
    draw = random.Random(f"{seed} judgements")
    names = [f"{first} {last}" for first, last in product(FIRST.split(), LAST.split())]
    things = [f"{how} {what}" for how, what in product(HOW.split(), WHAT.split())]
    draw.shuffle(names)
    draw.shuffle(things)
    asked, filler = things[:queries], things[queries:]
    pairs = list(combinations(range(smallest(queries) if dense else persons), 2))
    pairs = random.Random(f"{seed} pairs").sample(pairs, queries)
    likes: list[list[str]] = [[] for _ in range(persons)]
    for thing, pair in zip(asked, pairs, strict=True):
        for person in pair:
            likes[person].append(thing)
    num = max(smallest(queries) - 1, *map(len, likes))
    for own in likes:
        own += draw.sample(filler, num - len(own))
        draw.shuffle(own)
    documents = {f"d{i}": f"{names[i]} likes {', '.join(own[:-1])} and {own[-1]}." for i, own in enumerate(likes)}
    judgements = {f"q{i}": {f"d{person}": 1 for person in pair} for i, pair in enumerate(pairs)}
    return Judged("made", "retrieval", {f"q{i}": f"Who likes {thing}?" for i, thing in enumerate(asked)}, documents, judgements)
