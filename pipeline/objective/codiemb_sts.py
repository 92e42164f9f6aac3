"""CoDiEmb's similarity objective: the cosines of graded pairs must follow their scores.

The sum of four losses of the whole batch, in float32: Pearson correlation, the order of all pairs (rank-KL), each pair against
all that score lower (PRO), and InfoNCE over the best pairs in the middle block.
Price: scores must lie in a range known beforehand, as PRO weighs differences of scores and the best pairs are those at its top.

Source: Zhang et al. 2025 (CoDiEmb), arXiv:2508.11442, in the form of its training code, whence the four coefficients. Ours: an
epsilon in the correlation, and pairs with a grade of their own are no negatives, nor are texts that read alike.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.objective.candidates import in_blocks, share_cost
from pipeline.objective.cosine import pair_cosines
from pipeline.objective.infonce import best_pairs_cost
from pipeline.objective.objective import Objective
from pipeline.tensors import EmbeddedPairs

EPSILON = 1e-6  # beside the standard deviations: keeps the gradient finite where all cosines are equal
TIE = 1e-8  # scores closer than this are equal


def pearson_loss(cosine: Float[Tensor, " B"], score: Float[Tensor, " B"]) -> Float[Tensor, ""]:
    """One minus the correlation; 0 where all scores are equal."""
    if bool((score == score[0]).all()):
        return cosine.sum() * 0
    c, s = cosine - cosine.mean(), score - score.mean()
    return 1 - (c * s).mean() / ((c.square().mean() + EPSILON**2) * (s.square().mean() + EPSILON**2)).sqrt()


def rank_kl(cosine: Float[Tensor, " B"], score: Float[Tensor, " B"], *, temperature: float) -> Float[Tensor, ""]:
    """KL divergence from ``softmax(u / temperature)`` to that of the cosines, divided by ``B``; ``u`` falls from 1 to 0 with the
    rank of the score, equal scores sharing their mean rank."""
    size = len(score)
    ordered = score.sort().values
    lower, not_higher = torch.searchsorted(ordered, score), torch.searchsorted(ordered, score, right=True)
    u = (lower + not_higher - 1).to(cosine.dtype) / (2 * (size - 1))
    target, predicted = (u / temperature).log_softmax(0), (cosine / temperature).log_softmax(0)
    return (target.exp() * (target - predicted)).sum() / size


def pro_loss(
    cosine: Float[Tensor, " B"], score: Float[Tensor, " B"], *, temperature: float, rows_at_once: int
) -> Float[Tensor, ""]:
    """Each pair ``k`` against all ``j`` that score lower, ``j`` raised to the power ``score_k - score_j`` and ``k`` to the
    largest of these; the mean over the pairs that have a lower one."""
    z = cosine / temperature

    def cost(z_k: Tensor, score_k: Tensor) -> Tensor:
        gap = score_k[:, None] - score
        others = (gap * z).masked_fill(gap <= TIE, float("-inf")).logsumexp(1)
        return share_cost(gap.amax(1) * z_k, others)

    has_lower = score - score.min() > TIE
    if not bool(has_lower.any()):
        return cosine.sum() * 0
    return in_blocks(cost, z[has_lower], score[has_lower], rows_at_once=rows_at_once).mean()


def unit_scores(score: Float[Tensor, " B"], *, lowest: float, highest: float) -> Float[Tensor, " B"]:
    """Scores mapped from [lowest, highest] to [0, 1]; ValueError where one lies outside."""
    check_range(float(score.min()), float(score.max()), lowest=lowest, highest=highest)
    return (score - lowest) / (highest - lowest)


def check_range(low: float, high: float, *, lowest: float, highest: float) -> None:
    if low < lowest or high > highest:
        raise ValueError(
            f"scores run from {low} to {high}, but the objective was told {lowest} to {highest}; "
            f"set lowest_score and highest_score of the objective to the range of your data"
        )


class CoDiEmbSTS(Objective):
    """``lowest_score`` and ``highest_score`` are the ends of the scale of the data, ``best_from`` of the pairs InfoNCE looks at,
    as a share of that scale."""

    needs_score = True

    def __init__(
        self,
        *,
        lowest_score: float,
        highest_score: float,
        pearson: float,
        rank_kl: float,
        pro: float,
        middle: float,
        temperature: float,
        middle_temperature: float,
        best_from: float,
    ) -> None:
        super().__init__()
        where = "see conf/objective/codiemb_sts.yaml"
        if lowest_score >= highest_score:
            raise ValueError(f"lowest_score must lie below highest_score, got {lowest_score} and {highest_score}; {where}")
        if temperature <= 0 or middle_temperature <= 0:
            raise ValueError(f"temperatures must be positive, got {temperature} and {middle_temperature}; {where}")
        if min(pearson, rank_kl, pro, middle) < 0 or not pearson + rank_kl + pro + middle:
            raise ValueError(
                f"coefficients must be 0 or more, one of them more, got {(pearson, rank_kl, pro, middle)}; {where}"
            )
        self.lowest_score = lowest_score
        self.highest_score = highest_score
        self.pearson = pearson
        self.rank_kl = rank_kl
        self.pro = pro
        self.middle = middle
        self.temperature = temperature
        self.middle_temperature = middle_temperature
        self.best_from = best_from
        self.needs_layers = middle > 0

    def check_scores(self, scores: Sequence[float]) -> None:
        if scores:
            check_range(min(scores), max(scores), lowest=self.lowest_score, highest=self.highest_score)

    def forward(self, pairs: EmbeddedPairs) -> Float[Tensor, ""]:
        assert pairs.score is not None, "rows without a score are refused before training"
        if len(pairs.query) < 2:
            raise ValueError("a correlation needs at least 2 pairs in a batch, got 1; raise batch_size")
        score = unit_scores(pairs.score, lowest=self.lowest_score, highest=self.highest_score)
        cosine = pair_cosines(pairs.query, pairs.document.index_select(0, pairs.positive[:, 0]))
        score = score.to(cosine.dtype)
        with torch.autocast(cosine.device.type, enabled=False):
            loss = self.pearson * pearson_loss(cosine, score)
            loss = loss + self.rank_kl * rank_kl(cosine, score, temperature=self.temperature)
            limits = {"temperature": self.temperature, "rows_at_once": pairs.rows_at_once}
            loss = loss + self.pro * pro_loss(cosine, score, **limits)
            if self.middle:
                middle = (len(pairs.layers) + 1) // 2 - 1  # entry L // 2 of the L hidden states, of which the first is no block
                best = score >= self.best_from
                cost = best_pairs_cost(pairs, *pairs.layers[max(middle, 0)], best, temperature=self.middle_temperature)
                loss = loss + self.middle * cost
        return loss
