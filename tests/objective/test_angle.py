import cmath
import math

import pytest
import torch
import torch.nn.functional as F

from pipeline.objective.angle import AnglE, angle_similarity, in_batch_cost

SETTINGS = {
    "cosine": 0.5, "cosine_scale": 20.0, "angle": 0.02, "angle_scale": 10.0,
    "in_batch": 1.0, "temperature": 0.05, "best_from": 1.0,
}  # fmt: skip


def test_the_similarity_is_the_quotient_of_complex_vectors(drawn):
    x, y = 3 * drawn(4, 6, seed=0), 0.5 * drawn(4, 6, seed=1)
    for i, found in enumerate(angle_similarity(x, y).tolist()):
        z = [complex(a, b) for a, b in zip(x[i, :3].tolist(), x[i, 3:].tolist(), strict=True)]
        w = [complex(c, d) for c, d in zip(y[i, :3].tolist(), y[i, 3:].tolist(), strict=True)]
        total = sum(abs(c) ** 2 for c in w)
        quotient = sum(a * c.conjugate() / total for a, c in zip(z, w, strict=True))
        length = (sum(abs(a) ** 2 for a in z) / total) ** 0.5
        assert found == pytest.approx(abs(quotient.real + quotient.imag) / length, rel=1e-12)


def test_a_turn_of_the_complex_plane_is_seen_where_the_cosine_is_flat():
    x = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    turned = cmath.exp(0.01j)
    y = torch.tensor([[turned.real, turned.imag]], dtype=torch.float64, requires_grad=True)
    by_angle = torch.autograd.grad(angle_similarity(x, y).sum(), y)[0]
    by_cosine = torch.autograd.grad(F.cosine_similarity(x, y).sum(), y)[0]
    assert by_angle.norm() > 50 * by_cosine.norm()


def cosent_by_hand(similarity, score, scale):
    """Eq. 3: every pair of pairs, one exponential at a time."""
    size = range(len(score))
    return math.log(
        1 + sum(math.exp(scale * (similarity[j] - similarity[i])) for i in size for j in size if score[i] > score[j])
    )


def in_batch_by_hand(pairs, best_from, temperature):
    """Every text an anchor, one exponential at a time: the pairs below ``best_from`` cost nothing and are counted."""
    size, main = len(pairs.query), pairs.positive[:, 0].tolist()
    vectors = [*pairs.query.tolist(), *(pairs.document[n].tolist() for n in main)]
    text = [*pairs.query_text.tolist(), *(int(pairs.document_text[n]) for n in main)]
    known = {tuple(pair) for pair in pairs.known.tolist()}
    answers = [{int(pairs.document_text[n]) for n in row if n >= 0} for row in pairs.positive.tolist()]

    def e(k, j):
        return math.exp(sum(a * b for a, b in zip(vectors[k], vectors[j], strict=True)) / temperature)

    def belong(one, other):
        return one == other or (one, other) in known

    total = 0.0
    for k in range(2 * size):
        i, partner = k % size, (k + size) % (2 * size)
        if pairs.score[i] >= best_from:
            others = [
                j
                for j in range(2 * size)
                if not belong(text[k], text[j]) and not belong(text[partner], text[j]) and text[j] not in answers[i]
            ]
            total -= math.log(e(k, partner) / (e(k, partner) + sum(e(k, j) for j in others)))
    return total / (2 * size)


@pytest.mark.parametrize("rows_at_once", [3, 100])
@pytest.mark.parametrize("best_from", [0.5, 1.0, 2.0])
def test_the_best_pairs_find_each_other_among_all_texts_on_average_over_all_texts(rich, best_from, rows_at_once):
    given = rich(width=6, rows_at_once=rows_at_once)
    found = in_batch_cost(given, given.score >= best_from, temperature=0.05)
    assert float(found) == pytest.approx(in_batch_by_hand(given, best_from, 0.05), rel=1e-12, abs=1e-15)


def test_the_in_batch_term_is_the_trainers_where_all_texts_are_strangers(pairs, drawn):
    """As `in_batch_negative_loss` of the authors computes it: rows q1, d1, q2, d2, ..., targets one off the diagonal."""
    query, document = drawn(5, 6, seed=0), drawn(5, 6, seed=1)
    best = torch.tensor([True, False, True, False, False])
    rows = torch.stack([query, document], dim=1).reshape(10, 6)
    logits = rows @ rows.T / 0.05 - torch.eye(10) * 1e12
    target = torch.zeros(10, 10, dtype=torch.float64)
    for i in range(5):
        target[2 * i, 2 * i + 1] = target[2 * i + 1, 2 * i] = float(best[i])
    expected = -(logits.log_softmax(1) * target).sum(1).mean()
    found = in_batch_cost(pairs(query, document), best, temperature=0.05)
    assert float(found) == pytest.approx(float(expected), rel=1e-9)


def test_the_loss_is_the_sum_of_its_parts_by_their_coefficients(rich):
    given = rich(width=6)
    query, document, score = given.query.tolist(), given.document[:6].tolist(), given.score.tolist()
    cosine = [sum(a * b for a, b in zip(x, y, strict=True)) for x, y in zip(query, document, strict=True)]
    angle = []
    for x, y in zip(query, document, strict=True):
        z, w = ([complex(*part) for part in zip(v[:3], v[3:], strict=True)] for v in (x, y))
        quotient = sum(a * b.conjugate() for a, b in zip(z, w, strict=True))
        angle.append(abs(quotient.real + quotient.imag))  # lengths are 1
    expected = 0.5 * cosent_by_hand(cosine, score, 20.0) + 0.02 * cosent_by_hand(angle, score, 10.0)
    expected += in_batch_by_hand(given, 1.0, 0.05)
    assert float(AnglE(**SETTINGS)(given)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("zero", ["query", "document", "both"])
def test_a_vector_of_length_0_has_no_angle_and_leaves_every_gradient_finite(pairs, drawn, zero):
    query, document = drawn(4, 6, seed=0), drawn(4, 6, seed=1)
    for name, vectors in (("query", query), ("document", document)):
        if zero in (name, "both"):
            vectors[1] = 0
    assert float(angle_similarity(query, document)[1]) == 0
    leaves = [query.requires_grad_(), document.requires_grad_()]
    loss = AnglE(**SETTINGS)(pairs(*leaves, score=torch.tensor([1.0, 1.0, 0.5, 0.0])))
    assert torch.isfinite(loss)
    assert all(torch.isfinite(grad).all() for grad in torch.autograd.grad(loss, leaves))


def test_an_odd_width_is_refused(rich):
    with pytest.raises(ValueError, match="its width is 5; it must be even"):
        AnglE(**SETTINGS)(rich(width=5))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"angle_scale": 0.0}, r"must be positive, got \(20.0, 0.0, 0.05\)"),
        ({"angle": -1.0}, "coefficients must be 0 or more"),
        ({"angle": 0.0, "cosine": 0.0, "in_batch": 0.0}, "one of them more"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        AnglE(**SETTINGS | changes)
