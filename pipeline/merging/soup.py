"""Soup: the weighted mean of the experts.

Source: Wortsman et al. 2022, arXiv:2203.05482.
"""

from collections.abc import Sequence

from pipeline.delta import Models
from pipeline.merging.method import Linear, shares


class Soup(Linear):
    """``base + sum w_k delta_k`` with weights of sum 1, which is the mean of the experts."""

    def __init__(self, *, weights: Sequence[float]) -> None:
        super().__init__()
        self.weights = weights
        self.symmetric = not weights

    def coefficients(self, models: Models) -> dict[str, Sequence[float]]:
        return {"all": shares(self.weights, len(models.experts), "see conf/merging/soup.yaml")}
