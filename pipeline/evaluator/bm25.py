"""BM25, the ranking without a model (package bm25s), in the variant of Lucene with k1 0.9 and b 0.4 as BEIR reports it.

Source: Robertson and Zaragoza 2009, doi:10.1561/1500000019; Lù 2024, arXiv:2407.03618.
"""

import bm25s
import numpy as np


def bm25(queries: list[str], documents: list[str], depth: int) -> tuple[np.ndarray, np.ndarray]:
    """``(scores, rows)``, each ``[B, depth]``, best first; English stop words are left out."""
    index = bm25s.BM25(method="lucene", k1=0.9, b=0.4)
    index.index(bm25s.tokenize(documents, stopwords="en", show_progress=False), show_progress=False)
    tokens = bm25s.tokenize(queries, stopwords="en", show_progress=False)
    rows, scores = index.retrieve(tokens, k=min(depth, len(documents)), show_progress=False)
    return scores, rows
