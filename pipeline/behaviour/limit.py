"""One vector a text against many: searches that a single vector cannot do well, whatever it was trained on.

The same test queries are answered by the model's vectors, by BM25, and by the model's vectors of tokens (each query token takes its
best document token, and these are added up), for which it was not trained.

Sources: Weller et al. 2025, arXiv:2508.21038 (LIMIT); Khattab and Zaharia 2020, arXiv:2004.12832, sec. 3.2 (max-sim).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pipeline.behaviour.subject import Measured, Subject
from pipeline.corpus.collection import Judged, checked_judgements, without_twins
from pipeline.evaluator.ranking import Ranked
from pipeline.evaluator.retrieval import Search, dense

AT = ["recall@2", "recall@10", "recall@20", "ndcg@10"]


class Limit:
    """``corpora`` whose retrieval test is looked at; ``lexical`` has a `search`, such as BM25's."""

    def __init__(self, *, corpora: Sequence[str], lexical: Any) -> None:
        self.corpora = corpora
        self.lexical = lexical

    def measure(self, subject: Subject) -> Measured | None:
        """None where the run has none of the corpora."""
        rows: dict[str, list[float]] = {}
        for c in subject.ranked(self.corpora):
            searches: dict[str, Search] = {
                "one vector": dense(subject.encode, c.task),
                "BM25": self.lexical.search,
                "vectors of tokens": max_sim(subject.tokens, c.task),
            }
            rows |= {f"{c.corpus}: {name}": scored(search, c) for name, search in searches.items()}
        about = "The same queries answered in three ways. LIMIT's are built so that one vector a text cannot rank all of them."
        return Measured(about, "", AT, rows) if rows else None


def scored(search: Search, c: Judged) -> list[float]:
    """The values of `AT`."""
    checked_judgements(c)
    c = without_twins(c)
    queries, documents = sorted(c.queries), sorted(c.documents)
    score_BK, row_BK = search([c.queries[q] for q in queries], [c.documents[d] for d in documents], 100)
    ranked = Ranked(score_BK, row_BK, queries, documents, c.judgements)
    return [*(float(ranked.recall(depth).mean()) for depth in (2, 10, 20)), float(ranked.ndcg(10).mean())]


def max_sim(tokens: Callable[[Sequence[str], str, str], list[np.ndarray]], task: str) -> Search:
    """Every document is scored: meant for small collections."""

    def search(queries: list[str], documents: list[str], depth: int) -> tuple[np.ndarray, np.ndarray]:
        query, document = tokens(queries, "query", task), tokens(documents, "document", task)
        every = np.concatenate(document)
        starts = np.cumsum([0, *(len(one) for one in document[:-1])])
        score_BN = np.stack([np.maximum.reduceat(one @ every.T, starts, axis=1).sum(0) for one in query])
        row_BK = np.argsort(-score_BN, axis=1, kind="stable")[:, :depth]
        return np.take_along_axis(score_BN, row_BK, axis=1), row_BK

    return search
