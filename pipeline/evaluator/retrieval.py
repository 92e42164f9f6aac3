"""Retrieval: are the judged documents ranked first?

nDCG@10 (the main score), recall@100 and MRR@10 as trec_eval computes them (`pipeline/evaluator/ranking.py`).
"""

from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

import faiss
import numpy as np
from pydantic import Field

from pipeline.corpus.collection import Encode, Judged, checked_judgements, without_twins
from pipeline.evaluator.items import MeanOfItems, finite
from pipeline.evaluator.ranking import Ranked

Search: TypeAlias = Callable[[list[str], list[str], int], tuple[np.ndarray, np.ndarray]]  # queries, documents, depth


def dense(encode: Encode, task: str) -> Search:
    """Exact nearest documents by inner product, with the prompts of ``task``: ``(scores, rows)``, each ``[B, depth]``, best first."""

    def search(queries: list[str], documents: list[str], depth: int) -> tuple[np.ndarray, np.ndarray]:
        document_ND = finite(encode(documents, "document", task), "document")
        query_BD = finite(encode(queries, "query", task), "query")
        index = faiss.IndexFlatIP(document_ND.shape[1])
        index.add(document_ND)
        return index.search(query_BD, min(depth, len(documents)))

    return search


class Retrieval(MeanOfItems):
    """``depth``: documents ranked per query, at least 100 for recall@100."""

    kind = "retrieval"
    main = "ndcg@10"

    def __init__(self, *, depth: Annotated[int, Field(ge=100)]) -> None:
        if depth < 100:
            raise ValueError(
                f"depth must be at least 100, got {depth}: recall@100 looks that far; see conf/evaluator/retrieval.yaml"
            )
        self.depth = depth

    def evaluate(self, encode: Encode, collection: Judged) -> tuple[dict[str, float], dict[str, list[Any]]]:
        """`judge` of the nearest documents by ``encode``."""
        return self.judge(dense(encode, collection.task), collection)

    def judge(self, search: Search, collection: Judged) -> tuple[dict[str, float], dict[str, list[Any]]]:
        """``(scores, items)``: the means over queries, and per query its id, its nDCG@10 and the document found first."""
        checked_judgements(collection)
        collection = without_twins(collection)
        queries, documents = sorted(collection.queries), sorted(collection.documents)
        texts = ([collection.queries[q] for q in queries], [collection.documents[d] for d in documents])
        score_BK, row_BK = search(*texts, self.depth)
        ranked = Ranked(score_BK, row_BK, queries, documents, collection.judgements)
        per_query = ranked.ndcg(10)
        scores = {
            "ndcg@10": float(per_query.mean()),
            "recall@100": float(ranked.recall(100).mean()),
            "mrr@10": float(ranked.mrr(10).mean()),
        }
        first = [documents[row] if row >= 0 else "" for row in ranked.row_BK[:, 0]]
        return scores, {"id": queries, "ndcg@10": per_query.tolist(), "first": first}
