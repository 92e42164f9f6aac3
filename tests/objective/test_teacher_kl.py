from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import entropy

from pipeline.objective.teacher_kl import TeacherKL


def taught(rich, **changes):
    return replace(rich(**changes), teacher=torch.randn(6, 3, generator=torch.Generator().manual_seed(0)).double())


def by_hand(pairs, temperature, teacher_temperature):
    similarity = (pairs.query @ pairs.document.T).numpy()
    costs = []
    for i in range(len(similarity))[pairs.anchors]:
        index = [int(pairs.positive[i, 0]), *pairs.negative[i].tolist()]
        kept = [k for k, n in enumerate(index) if n >= 0]
        teacher = softmax(pairs.teacher[i].numpy()[kept] / teacher_temperature)
        costs.append(entropy(teacher, softmax(similarity[i][[index[k] for k in kept]] / temperature)))
    return float(np.mean(costs))


@pytest.mark.parametrize(("temperature", "teacher_temperature"), [(0.05, 1.0), (1.0, 0.3)])
def test_the_loss_equals_a_loop_over_queries(rich, temperature, teacher_temperature):
    for anchors in (slice(0, 6), slice(2, 5)):
        given = taught(rich, anchors=anchors)
        found = TeacherKL(temperature=temperature, teacher_temperature=teacher_temperature)(given)
        assert float(found) == pytest.approx(by_hand(given, temperature, teacher_temperature), rel=1e-9)


def test_negatives_that_are_missing_leave_gradients_finite(rich):
    given = taught(rich)
    given.query.requires_grad_()
    TeacherKL(temperature=0.05, teacher_temperature=1.0)(given).backward()
    assert torch.isfinite(given.query.grad).all()
    assert not given.query.grad[3].any()  # query 3 has none


def test_temperatures_that_are_not_positive_are_refused():
    with pytest.raises(ValueError, match=r"temperatures must be positive, got 0.05 and 0.0"):
        TeacherKL(temperature=0.05, teacher_temperature=0.0)
