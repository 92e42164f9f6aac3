"""Negation: does a vector tell a statement from its contrary?

A document with an auxiliary verb is negated behind the first one. It should come to lie farther from the query it answered.
Only English is negated so; a line counts the documents that are in another script.
"""

import random
import re

import numpy as np

from pipeline.behaviour.subject import Measured, Subject
from pipeline.corpus.script import is_latin

AUXILIARY = re.compile(
    r"\b(is|are|was|were|has|have|had|can|could|will|would|should|must|may|might|does|do|did)\b(?! not)", re.IGNORECASE
)


class Negation:
    """``pairs`` of query and relevant document of each retrieval collection."""

    def __init__(self, *, pairs: int) -> None:
        if pairs < 1:
            raise ValueError(f"pairs must be at least 1, got {pairs}; see conf/behaviour/negation.yaml")
        self.pairs = pairs

    def measure(self, subject: Subject) -> Measured | None:
        """None where no relevant document holds an auxiliary verb."""
        rows: dict[str, list[float]] = {}
        for c in subject.ranked():
            relevant = {d for grades in c.judgements.values() for d, grade in grades.items() if grade > 0}
            if other := sum(not is_latin(c.documents[document]) for document in relevant):
                told = f"{other} of {len(relevant)} relevant documents are not in Latin letters"
                print(f"negation: {c.corpus}: {told}; only English is negated")
            given = [
                (c.queries[query], c.documents[document])
                for query, grades in sorted(c.judgements.items())
                for document, grade in sorted(grades.items())
                if grade > 0 and AUXILIARY.search(c.documents[document])
            ]
            given = random.Random(subject.seed).sample(given, min(self.pairs, len(given)))
            if not given:
                continue
            query = subject.encode([pair[0] for pair in given], "query", c.task)
            plain = subject.encode([pair[1] for pair in given], "document", c.task)
            contrary = subject.encode([negated(pair[1]) for pair in given], "document", c.task)
            nearer = (query * contrary).sum(1) >= (query * plain).sum(1)
            rows[c.corpus] = [float((plain * contrary).sum(1).mean()), float(np.mean(nearer))]
        about = (
            f"Up to {self.pairs} relevant English documents with one `not` put in: their mean cosine with what they were (1: no "
            "difference seen), and the share that came no farther from their query (0.5: by chance)."
        )
        return Measured(about, "", ["cosine", "share not farther"], rows) if rows else None


def negated(text: str) -> str:
    """``text`` with `not` behind its first auxiliary verb."""
    return AUXILIARY.sub(lambda match: f"{match[0]} not", text, count=1)
