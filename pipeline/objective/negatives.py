"""What must not be a negative: one mask for all objectives.

A candidate is left out where it reads like the anchor or like one of the anchor's positives, or where the two are known to belong
together (`EmbeddedPairs.known`). It costs nothing there and gets no gradient.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pipeline.objective.candidates import Entries, all_of, belonging, equal_text
from pipeline.tensors import EmbeddedPairs


def no_negatives(pairs: EmbeddedPairs, rows: slice | Int[Tensor, " R"], text: Int[Tensor, " N"]) -> Entries:
    """Entries ``(r, n)`` of ``rows`` of the queries where candidate ``text[n]`` is no negative of query ``r``."""
    positive = pairs.positive[rows]
    row, slot = (positive >= 0).nonzero(as_tuple=True)
    answers = equal_text(row, pairs.document_text[positive[row, slot]], text)
    return all_of(belonging(pairs.query_text[rows], text, pairs.known), answers)


def no_negative_queries(pairs: EmbeddedPairs, rows: slice, slot: int) -> Entries:
    """Entries ``(r, j)`` where query ``j`` is no negative of the positive that query ``r`` has in ``slot``: it belongs to query ``r``,
    or to that positive. Any entries stand where there is no such positive."""
    text = pairs.document_text[pairs.positive[rows, slot].clamp(min=0)]
    query, place = (pairs.positive >= 0).nonzero(as_tuple=True)
    row, found = equal_text(
        torch.arange(len(text), device=text.device), text, pairs.document_text[pairs.positive[query, place]]
    )
    of_query = belonging(pairs.query_text[rows], pairs.query_text, pairs.known)
    return all_of(of_query, belonging(text, pairs.query_text, pairs.known), (row, query[found]))


def no_negative_documents(pairs: EmbeddedPairs, rows: slice, slot: int) -> Entries:
    """Entries ``(r, n)`` where document ``n`` is no negative of the positive that query ``r`` has in ``slot``: it is none of query
    ``r``, or belongs to that positive. Any entries stand where there is no such positive."""
    text = pairs.document_text[pairs.positive[rows, slot].clamp(min=0)]
    of_query = no_negatives(pairs, rows, pairs.document_text)
    return all_of(of_query, belonging(text, pairs.document_text, pairs.known))


def positives(pairs: EmbeddedPairs, rows: slice) -> Float[Tensor, "R P D"]:
    """Vectors of the documents that answer the queries of ``rows``; where a query has fewer, any vector stands there."""
    return documents_of(pairs, pairs.positive[rows])


def documents_of(pairs: EmbeddedPairs, index: Int[Tensor, "R H"]) -> Float[Tensor, "R H D"]:
    """Vectors of documents by their rows; where the index is -1, any vector stands there."""
    return pairs.document.index_select(0, index.clamp(min=0).flatten()).reshape(*index.shape, -1)
