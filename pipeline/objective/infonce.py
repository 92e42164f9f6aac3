"""InfoNCE with in-batch and hard negatives.

Each query must score its own documents above every other candidate in the batch: all documents, the hard negatives of all
queries among them, but none that is known to answer it, or reads like an answer or like the query itself (`negatives`). With several
positives each stands alone against the negatives, the others being left out, and their costs are averaged.
Price: an answer that no row marks, in other tokens than those that do, is punished as a negative.

Source: van den Oord et al. 2018, arXiv:1807.03748, eq. 4. Same-side negatives: Li et al. 2023 (GTE), arXiv:2308.03281, eq. 4.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pipeline.objective.candidates import log_sum, share_cost
from pipeline.objective.cosine import own_cosines, pair_cosines
from pipeline.objective.negatives import (
    every_document,
    no_negative_documents,
    no_negative_queries,
    no_negative_twins,
    no_negatives,
    positives,
)
from pipeline.objective.objective import Objective
from pipeline.tensors import EmbeddedPairs


def query_costs(
    pairs: EmbeddedPairs, rows: slice, *, temperature: float, symmetric: bool, same_side: Sequence[str]
) -> Float[Tensor, " R"]:
    """The cost of each query of ``rows``: ``-log`` of the share of a positive among itself and the negatives, averaged over
    its positives.

    ``symmetric``: half of it is the cost of finding the query among all queries, given the positive.
    ``same_side``: the other queries (``query``), or the documents as seen from the positive (``document``), are negatives too.
    """
    limits = {"temperature": temperature, "rows_at_once": pairs.rows_at_once}
    query, given = pairs.query[rows], pairs.positive[rows] >= 0
    own = positives(pairs, rows)  # R P D
    match = own_cosines(query, own) / temperature
    others = log_sum(query, pairs.document, no_negatives(pairs, rows, pairs.document_text, every_document(pairs)), **limits)
    if "query" in same_side:
        same = no_negative_twins(pairs, rows)
        others = torch.logaddexp(others, log_sum(query, pairs.query, same, **limits))
    others = others[:, None].expand_as(match)
    slots = range(given.shape[1])
    if "document" in same_side:
        seen = [log_sum(own[:, p], pairs.document, no_negative_documents(pairs, rows, p), **limits) for p in slots]
        others = torch.logaddexp(others, torch.stack(seen, dim=1))
    cost = share_cost(match, others)
    if symmetric:
        seen = [log_sum(own[:, p], pairs.query, no_negative_queries(pairs, rows, p), **limits) for p in slots]
        back = torch.stack(seen, dim=1)
        cost = (cost + share_cost(match, back)) / 2
    return (cost * given).sum(1) / given.sum(1)


def best_pairs_cost(
    pairs: EmbeddedPairs,
    query: Float[Tensor, "B D"],
    document: Float[Tensor, "N D"],
    best: Bool[Tensor, " B"],
    *,
    temperature: float,
) -> Float[Tensor, ""]:
    """InfoNCE of the ``best`` queries among the main documents of all; 0 where there is none."""
    if not bool(best.any()):
        return query.sum() * 0
    main = pairs.positive[:, 0]
    candidate, text = document.index_select(0, main), pairs.document_text[main]
    own = best.nonzero().squeeze(1)
    entries = no_negatives(pairs, own, text, main)
    others = log_sum(query[own], candidate, entries, temperature=temperature, rows_at_once=pairs.rows_at_once)
    return share_cost(pair_cosines(query[own], candidate[own]) / temperature, others).mean()


class InfoNCE(Objective):
    """The mean of `query_costs` over the anchors."""

    def __init__(self, *, temperature: float, symmetric: bool, same_side: Sequence[Literal["query", "document"]]) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature must be positive, got {temperature}; see conf/objective/infonce.yaml")
        if set(same_side) - {"query", "document"} or len(set(same_side)) < len(same_side):
            raise ValueError(f"same_side may hold query and document, got {list(same_side)}; see conf/objective/infonce.yaml")
        self.temperature = temperature
        self.symmetric = symmetric
        self.same_side = tuple(same_side)

    def forward(self, pairs: EmbeddedPairs) -> Float[Tensor, ""]:
        settings = {"temperature": self.temperature, "symmetric": self.symmetric, "same_side": self.same_side}
        return query_costs(pairs, pairs.anchors, **settings).mean()
