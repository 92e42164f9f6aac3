"""The control: rows whose queries have the documents of other queries. What a model gains on these it did not learn from pairs.

All that was found for a query goes with its document: the negatives mined for it, and a teacher's scores of these documents among
themselves, which say nothing of the query that they are dealt to. Grades of pairs go apart from documents: a grade that stayed with its
document would still teach what a document alone says (that one receptor binds more tightly than another).
"""

import random
from collections.abc import Hashable, Sequence, Set
from dataclasses import replace

from pipeline.corpus.row import Row


def dealt(
    rows: Sequence[Row], answers: Sequence[Set[Hashable]], document: Sequence[Hashable], seed: int
) -> tuple[list[Row], list[int]]:
    """``(rows, source)``: rows with the document of ``rows[source[i]]`` and a third row's score. ``document[i]`` is none of
    ``answers[i]`` in what comes out; a row for which no document is left is left out."""
    own = range(len(rows))
    source = _deal(answers, document, f"{seed} control")
    graded = _deal([{i, j} for i, j in zip(own, source, strict=True)], own, f"{seed} scores")
    kept = [i for i in own if document[source[i]] not in answers[i]]
    found = [
        replace(
            rows[i], document_id=rows[source[i]].document_id, document=rows[source[i]].document, score=rows[graded[i]].score
        )
        for i in kept
    ]
    return found, [source[i] for i in kept]


def shuffled(rows: Sequence[Row], seed: int) -> list[Row]:
    """`dealt`, where a text is the same as another if its letters are."""
    known: dict[str, set[Hashable]] = {}
    for row in rows:
        known.setdefault(row.query, {row.query}).add(row.document)
        known.setdefault(row.document, {row.document}).add(row.query)
    return dealt(rows, [known[row.query] for row in rows], [row.document for row in rows], seed)[0]


def _deal(barred: Sequence[Set[Hashable]], thing: Sequence[Hashable], seed: str) -> list[int]:
    """A random order of the things, in which place ``i`` has none that is ``barred[i]``, where swaps of two can do that."""
    draw = random.Random(seed)
    order = list(range(len(thing)))
    draw.shuffle(order)
    others = list(order)
    draw.shuffle(others)
    for i in range(len(order)):
        if thing[order[i]] not in barred[i]:
            continue
        for j in others:
            if thing[order[j]] not in barred[i] and thing[order[i]] not in barred[j]:
                order[i], order[j] = order[j], order[i]
                break
    return order
