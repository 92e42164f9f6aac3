"""The gate, the weights behind it, and that they spare mismatched pairs where the teacher knows them."""

from dataclasses import replace

import pytest
import torch

from pipeline.objective.infonce import InfoNCE, query_costs
from pipeline.objective.progressive import focal_importance
from pipeline.objective.progressive_gated import ProgressiveGated, gate, gated_importance

INFONCE = {"temperature": 0.05, "symmetric": False, "same_side": ()}
SETTINGS = {
    "temperature": 0.05,
    "margin": 0.0,
    "max_gamma": 0.0,
    "start": 0.1,
    "end": 0.7,
    "epsilon": 0.001,
    "max_importance": 9.0,
}


def objective(**changes):
    return ProgressiveGated(**SETTINGS | changes)


def taught(rich, teacher, **changes):
    return rich(teacher=torch.tensor(teacher, dtype=torch.float64), **changes)


TEACHER = [[0.9, 0.1, 0.2], [0.5, 0.6, 0.0], [0.5, 0.5, 0.1], [0.0, 0.0, 0.0], [0.3, 0.1, 0.4], [-0.2, -0.3, -0.4]]


def test_a_query_counts_where_no_mined_text_is_better_than_its_answer(rich):
    """The third query's tie counts; the fourth has nothing mined for it; the second slot of the second is empty, and so no 0."""
    batch = taught(rich, TEACHER)
    assert gate(batch, 0.0).tolist() == [True, False, True, True, False, True]
    assert gate(batch, 0.11).tolist() == [True] * 6
    assert gate(batch, -0.05).tolist() == [True, False, False, True, False, True]
    low = [row.copy() for row in TEACHER]
    low[1] = [-0.5, -0.6, 0.0]  # 0 stands for what is not there
    assert gate(taught(rich, low), 0.0)[1]


def test_the_loss_is_the_mean_of_the_costs_of_those_that_pass(rich):
    batch = taught(rich, TEACHER)
    cost = query_costs(batch, slice(0, 6), **INFONCE)
    torch.testing.assert_close(objective()(batch), cost[[0, 2, 3, 5]].mean())


def test_where_all_pass_it_is_infonce_and_with_gamma_the_focal_weights(rich):
    batch = taught(rich, [[1.0, 0.0, 0.0]] * 6, progress=0.4)
    torch.testing.assert_close(objective()(batch), InfoNCE(temperature=0.05, symmetric=False, same_side=[])(batch))
    cost = query_costs(batch, slice(0, 6), **INFONCE)
    half = focal_importance(cost, gamma=1.0, epsilon=0.001, max_importance=9.0)  # halfway between start and end
    torch.testing.assert_close(objective(max_gamma=2.0)(batch), (half * cost).mean())


def test_where_none_passes_nothing_is_learned_and_nothing_breaks(rich):
    batch = taught(rich, [[0.0, 1.0, 1.0]] * 6)
    batch = replace(batch, negative=torch.tensor([[14, 15]] * 6), query=batch.query.clone().requires_grad_())
    loss = objective()(batch)
    loss.backward()
    assert loss.item() == 0
    assert not batch.query.grad.any()


def auc(clean, mismatched):
    """How often a clean pair counts more than a mismatched one; a tie is half."""
    more = (clean[:, None] > mismatched).double() + 0.5 * (clean[:, None] == mismatched)
    return float(more.mean())


@pytest.mark.parametrize("gamma", [0.0, 1.0])
def test_mismatched_pairs_are_spared_and_a_teacher_that_knows_nothing_spares_none(gamma):
    """2,000 queries, a fifth mismatched, which cost most. The teacher's score of an answer is higher by two deviations if it is right."""
    draw = torch.Generator().manual_seed(0)
    wrong = torch.arange(2000) % 5 == 0
    cost = torch.where(wrong, 4.0, 0.5) + torch.rand(2000, generator=draw)
    answer = torch.randn(2000, generator=draw) + torch.where(wrong, 0.0, 4.0)
    mined = torch.randn(2000, 3, generator=draw) + 1.0
    limits = {"gamma": gamma, "epsilon": 0.001, "max_importance": 5.0}

    def weights(answer):
        return gated_importance(cost, answer >= mined.amax(1), **limits)

    found = weights(answer)
    assert auc(found[~wrong], found[wrong]) > 0.8
    focal = focal_importance(cost, gamma=1.0, epsilon=0.001, max_importance=5.0)
    assert auc(focal[~wrong], focal[wrong]) < 0.1  # what it is there to mend
    shuffled = answer[torch.randperm(2000, generator=draw)]
    flat = gated_importance(cost, shuffled >= mined.amax(1), **limits | {"gamma": 0.0})
    assert 0.45 < auc(flat[~wrong], flat[wrong]) < 0.55


@pytest.mark.parametrize("wrong", [{"temperature": 0.0}, {"start": 0.8}, {"epsilon": 0.0}, {"max_gamma": -1.0}])
def test_what_no_weight_can_be_is_refused(wrong):
    with pytest.raises(ValueError, match=r"progressive_gated\.yaml"):
        objective(**wrong)
