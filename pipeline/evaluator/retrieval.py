"""Retrieval: are the judged documents ranked first?

nDCG@10 (the main score), recall@100 and MRR@10 as trec_eval computes them (package pytrec_eval-terrier); of documents with
equal scores the last by id ranks first, as there.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import faiss
import numpy as np
import pytrec_eval
from jaxtyping import Float

from pipeline.corpus.collection import Collection, Encode

Search: TypeAlias = Callable[[list[str], list[str], int], tuple[np.ndarray, np.ndarray]]  # queries, documents, depth


def dense(encode: Encode) -> Search:
    """Exact nearest documents by inner product: ``(scores, rows)``, each ``[B, depth]``, best first."""

    def search(queries: list[str], documents: list[str], depth: int) -> tuple[np.ndarray, np.ndarray]:
        document_ND = encode(documents, "document", "retrieval")
        query_BD = encode(queries, "query", "retrieval")
        for side, vectors in (("document", document_ND), ("query", query_BD)):
            if not np.isfinite(vectors).all():
                raise ValueError(f"the model gives NaN or infinity for {side} {int(np.argmin(np.isfinite(vectors).all(1)))}")
        index = faiss.IndexFlatIP(document_ND.shape[1])
        index.add(document_ND)
        return index.search(query_BD, min(depth, len(documents)))

    return search


class Retrieval:
    """``depth``: documents ranked per query, at least 100 for recall@100."""

    task = "retrieval"
    main = "ndcg@10"

    def __init__(self, *, depth: int) -> None:
        if depth < 100:
            raise ValueError(
                f"depth must be at least 100, got {depth}: recall@100 looks that far; see conf/evaluator/retrieval.yaml"
            )
        self.depth = depth

    def evaluate(self, encode: Encode, collection: Collection) -> tuple[dict[str, float], dict[str, list[Any]]]:
        """`judge` of the nearest documents by ``encode``."""
        return self.judge(dense(encode), collection)

    def judge(self, search: Search, collection: Collection) -> tuple[dict[str, float], dict[str, list[Any]]]:
        """``(scores, items)``: the means over queries, and per query its id and its nDCG@10."""
        queries, documents = sorted(collection.queries), sorted(collection.documents)
        unknown = sorted({d for grades in collection.judgements.values() for d in grades} - set(documents))
        if unknown:
            raise ValueError(f"{collection.corpus}: judgements name documents that are not there: {unknown[:3]}")
        texts = ([collection.queries[q] for q in queries], [collection.documents[d] for d in documents])
        score_BK, row_BK = search(*texts, self.depth)
        run = {
            query: {documents[row]: float(score) for score, row in zip(score_BK[i], row_BK[i], strict=True) if row >= 0}
            for i, query in enumerate(queries)
        }
        first_ten = {
            query: dict(sorted(ranked.items(), key=lambda kv: (kv[1], kv[0]), reverse=True)[:10])
            for query, ranked in run.items()
        }
        found = pytrec_eval.RelevanceEvaluator(collection.judgements, {"ndcg_cut.10", "recall.100"}).evaluate(run)
        reciprocal = pytrec_eval.RelevanceEvaluator(collection.judgements, {"recip_rank"}).evaluate(first_ten)
        per_query = [found[query]["ndcg_cut_10"] for query in queries]
        scores = {
            "ndcg@10": float(np.mean(per_query)),
            "recall@100": float(np.mean([found[query]["recall_100"] for query in queries])),
            "mrr@10": float(np.mean([reciprocal[query]["recip_rank"] for query in queries])),
        }
        return scores, {"id": queries, "ndcg@10": per_query}

    def resampled(self, items: dict[str, Any], index: np.ndarray) -> Float[np.ndarray, " R"]:
        """The main score on each draw of queries."""
        return np.asarray(items["ndcg@10"])[index].mean(-1)
