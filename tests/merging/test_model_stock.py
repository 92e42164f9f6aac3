import torch
import torch.nn.functional as F

from pipeline.merging.model_stock import ModelStock


def test_the_share_of_the_experts_follows_the_angle_between_them(state, merged):
    base, experts = state(0), [state(k) for k in (1, 2, 3)]
    experts = [
        {n: base[n] + (e[n] - base[n]) + 0.5 * (state(9)[n] - base[n]) for n in base} for e in experts
    ]  # positive cosines
    for name, value in merged(ModelStock(), base, experts).items():
        deltas = [(e[name] - base[name]).flatten() for e in experts]
        c = sum(float(F.cosine_similarity(deltas[i], deltas[j], dim=0)) for i, j in ((0, 1), (0, 2), (1, 2))) / 3
        t = min(1, max(0, 3 * c / (1 + 2 * c)))
        expected = t * sum(e[name] for e in experts) / 3 + (1 - t) * base[name]
        torch.testing.assert_close(value, expected, atol=1e-6, rtol=0)


def test_opposite_experts_leave_the_base(state, merged):
    base, one = state(0), state(1)
    opposite = {name: 2 * base[name] - one[name] for name in base}
    assert all(torch.equal(v, base[n]) for n, v in merged(ModelStock(), base, [one, opposite]).items())
