"""Reranking: are the relevant ones of a query's own candidates put first? Mean average precision, nDCG@10 and MRR@10.

The candidates of a query are all documents that are judged for it, with 0 or above.
"""

from typing import Any

import numpy as np

from pipeline.corpus.collection import Encode, Judged, checked_judgements
from pipeline.evaluator.items import MeanOfItems, finite
from pipeline.evaluator.ranking import Ranked


class Reranking(MeanOfItems):
    kind = "reranking"
    main = "map"

    def evaluate(self, encode: Encode, collection: Judged) -> tuple[dict[str, float], dict[str, list[Any]]]:
        """``(scores, items)``: the means over queries, and per query its id, average precision and the candidate put first."""
        checked_judgements(collection)
        queries, documents = sorted(collection.queries), sorted(collection.documents)
        place = {document: i for i, document in enumerate(documents)}
        query_BD = finite(encode([collection.queries[q] for q in queries], "query", collection.task), "query")
        document_ND = finite(encode([collection.documents[d] for d in documents], "document", collection.task), "document")
        longest = max(len(collection.judgements[q]) for q in queries)
        row_BK = np.full((len(queries), longest), -1)
        score_BK = np.full((len(queries), longest), -np.inf, dtype=np.float32)
        for i, query in enumerate(queries):
            rows = [place[document] for document in sorted(collection.judgements[query])]
            row_BK[i, : len(rows)] = rows
            score_BK[i, : len(rows)] = document_ND[rows] @ query_BD[i]
        ranked = Ranked(score_BK, row_BK, queries, documents, collection.judgements)
        per_query = ranked.average_precision()
        scores = {
            self.main: float(per_query.mean()),
            "ndcg@10": float(ranked.ndcg(10).mean()),
            "mrr@10": float(ranked.mrr(10).mean()),
        }
        first = [documents[row] for row in ranked.row_BK[:, 0]]
        return scores, {"id": queries, self.main: per_query.tolist(), "first": first}
