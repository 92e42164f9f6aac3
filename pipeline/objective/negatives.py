"""What must not be a negative: one mask for all objectives.

A candidate is left out where it reads like the anchor or like one of the anchor's positives, or where the two are known to belong
together (`EmbeddedPairs.known`). It costs nothing there and gets no gradient. Where a query has only the negatives that were mined for it
(`EmbeddedPairs.own_alone`), all else is left out: one entry for each query and each candidate is then held.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pipeline.objective.candidates import Entries, all_of, belonging, equal_text
from pipeline.tensors import EmbeddedPairs


def no_negatives(
    pairs: EmbeddedPairs, rows: slice | Int[Tensor, " R"], text: Int[Tensor, " N"], place: Int[Tensor, " N"]
) -> Entries:
    """Entries ``(r, n)`` of ``rows`` of the queries where candidate ``text[n]``, document ``place[n]`` (-1: none), is no negative of
    query ``r``."""
    positive = pairs.positive[rows]
    row, slot = (positive >= 0).nonzero(as_tuple=True)
    answers = equal_text(row, pairs.document_text[positive[row, slot]], text)
    found = belonging(pairs.query_text[rows], text, pairs.known), answers
    return all_of(*found, _not_mined(pairs.negative[rows], place)) if pairs.own_alone else all_of(*found)


def every_document(pairs: EmbeddedPairs) -> Int[Tensor, " N"]:
    """The places of all documents as candidates."""
    return torch.arange(len(pairs.document), device=pairs.document.device)


def _not_mined(negative: Int[Tensor, "R H"], place: Int[Tensor, " N"]) -> Entries:
    mined = (negative[:, :, None] == place).any(1) & (place >= 0)
    row, column = (~mined).nonzero(as_tuple=True)
    return row, column


def no_negative_twins(pairs: EmbeddedPairs, rows: slice) -> Entries:
    """Entries ``(r, j)`` where query ``j`` is no negative of query ``r``."""
    every = _queries(pairs, rows) if pairs.own_alone else ()
    return all_of(belonging(pairs.query_text[rows], pairs.query_text, pairs.known), *every)


def _queries(pairs: EmbeddedPairs, rows: slice) -> tuple[Entries]:
    """All of them, which are nobody's own negatives."""
    return (_not_mined(pairs.negative[rows], torch.full_like(pairs.query_text, -1)),)


def no_negative_queries(pairs: EmbeddedPairs, rows: slice, slot: int) -> Entries:
    """Entries ``(r, j)`` where query ``j`` is no negative of the positive that query ``r`` has in ``slot``: it belongs to query ``r``,
    or to that positive. Any entries stand where there is no such positive."""
    text = pairs.document_text[pairs.positive[rows, slot].clamp(min=0)]
    query, place = (pairs.positive >= 0).nonzero(as_tuple=True)
    row, found = equal_text(
        torch.arange(len(text), device=text.device), text, pairs.document_text[pairs.positive[query, place]]
    )
    of_query = belonging(pairs.query_text[rows], pairs.query_text, pairs.known)
    every = _queries(pairs, rows) if pairs.own_alone else ()
    return all_of(of_query, belonging(text, pairs.query_text, pairs.known), (row, query[found]), *every)


def no_negative_documents(pairs: EmbeddedPairs, rows: slice, slot: int) -> Entries:
    """Entries ``(r, n)`` where document ``n`` is no negative of the positive that query ``r`` has in ``slot``: it is none of query
    ``r``, or belongs to that positive. Any entries stand where there is no such positive."""
    text = pairs.document_text[pairs.positive[rows, slot].clamp(min=0)]
    of_query = no_negatives(pairs, rows, pairs.document_text, every_document(pairs))
    return all_of(of_query, belonging(text, pairs.document_text, pairs.known))


def positives(pairs: EmbeddedPairs, rows: slice) -> Float[Tensor, "R P D"]:
    """Vectors of the documents that answer the queries of ``rows``; where a query has fewer, any vector stands there."""
    return documents_of(pairs, pairs.positive[rows])


def documents_of(pairs: EmbeddedPairs, index: Int[Tensor, "R H"]) -> Float[Tensor, "R H D"]:
    """Vectors of documents by their rows; where the index is -1, any vector stands there."""
    return pairs.document.index_select(0, index.clamp(min=0).flatten()).reshape(*index.shape, -1)
