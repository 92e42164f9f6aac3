"""Methods that look at training pairs, on a probe whose answers are given."""

import pytest
import torch

from pipeline.merging.ada_merging import AdaMerging
from pipeline.merging.fisher import Fisher
from pipeline.merging.greedy_soup import GreedySoup
from pipeline.merging.lm_cocktail import LmCocktail
from pipeline.merging.regmean import RegMean


class Given:
    """A probe on K experts. ``loss``: of coefficients, by task."""

    def __init__(self, num, loss=None, squares=None, inner=None):
        self.num, self.loss, self.squares, self.inner = num, loss, squares, inner

    def losses(self, c, *, half):
        assert half == "search"
        return self.loss(c["all"])

    def squared_gradients(self, expert):
        return {name: value.flatten() for name, value in self.squares[expert].items()}

    def input_grams(self, expert):
        return self.inner[expert]


def changes(states, base):
    return [{name: (value - base[name]).double() for name, value in one.items()} for one in states]


def test_a_cocktail_weighs_experts_by_the_exponential_of_their_mean_loss(state, models):
    method = LmCocktail(temperature=0.5)
    method.look(Given(3, lambda c: {"x": 1.0 * c[0] + 2.0 * c[1], "y": 3.0 * c[0] + 2.0 * c[1] + 1.0 * c[2]}))
    found = torch.tensor(method.coefficients(models(state(0), [state(k) for k in (1, 2, 3)]))["all"])
    raw = torch.tensor([-2.0, -2.0, -0.5]).div(0.5).exp()
    torch.testing.assert_close(found, raw / raw.sum())
    assert method.seen()["losses"][1] == {"x": 2.0, "y": 2.0}


def test_a_greedy_soup_adds_the_best_first_and_leaves_out_who_harms(state, models):
    target = torch.tensor([0.5, 0.0, 0.5])  # the mean of the first and the last is best; the last alone is second best
    method = GreedySoup(slack=0.0)
    method.look(Given(3, lambda c: {"x": float((torch.tensor(c) - target).square().sum()) + 0.1 * c[0]}))
    assert method.coefficients(models(state(0), [state(k) for k in (1, 2, 3)])) == {"all": [0.5, 0.0, 0.5]}
    assert [one["experts"] for one in method.seen()["tried"]] == [[0], [1], [2], [0, 2], [0, 1, 2]]


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_fisher_is_the_mean_weighted_by_squared_gradients(state, merged, smoothing, normalise):
    base, experts = state(0), [state(k) for k in (1, 2)]
    squares = [{n: (5 * k + 1) * state(10 + k)[n].square() for n in base} for k in range(2)]
    squares[1]["b"] = torch.zeros_like(squares[1]["b"])
    method = Fisher(smoothing=smoothing, normalise=normalise)
    method.look(Given(2, squares=squares))
    found = merged(method, base, experts)
    means = [torch.cat([v.flatten() for v in one.values()]).mean() for one in squares]
    scales = means if normalise else [(means[0] + means[1]) / 2] * 2
    for name in base:
        f = [one[name] / scale + smoothing for one, scale in zip(squares, scales, strict=True)]
        expected = (f[0] * experts[0][name] + f[1] * experts[1][name]) / (f[0] + f[1])
        torch.testing.assert_close(found[name], expected, atol=1e-6, rtol=0)


def test_where_no_gradient_came_fisher_takes_the_mean(state, merged):
    base, experts = state(0), [state(k) for k in (1, 2)]
    method = Fisher(smoothing=0.0, normalise=False)
    method.look(Given(2, squares=[{n: torch.zeros_like(v) for n, v in base.items()} | {"b": torch.ones(7)}] * 2))
    torch.testing.assert_close(
        merged(method, base, experts)["layer.0.w"], (experts[0]["layer.0.w"] + experts[1]["layer.0.w"]) / 2
    )


def test_regmean_answers_inputs_as_the_experts_do(state, merged):
    """The least-squares solution, by another way: stacked inputs and answers."""
    base, experts = state(0), [state(k) for k in (1, 2)]
    random = torch.Generator().manual_seed(5)
    inputs = [torch.randn(9, 4, generator=random, dtype=torch.float64) * scale for scale in (1.0, 3.0)]
    method = RegMean(off_diagonal=1.0, ridge=1e-12)
    method.look(Given(2, inner=[{"layer.0.w": x.T @ x / len(x)} for x in inputs]))
    found = merged(method, base, experts)
    answers = torch.cat([x @ e["layer.0.w"].double().T for x, e in zip(inputs, experts, strict=True)])
    expected = torch.linalg.lstsq(torch.cat(inputs), answers).solution.T
    torch.testing.assert_close(found["layer.0.w"].double(), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(found["b"], (experts[0]["b"] + experts[1]["b"]) / 2)


def test_regmean_without_off_diagonals_is_a_mean_by_column(state, merged):
    base, experts = state(0), [state(k) for k in (1, 2)]
    inner = [torch.diag(torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)) + 0.5, torch.eye(4, dtype=torch.float64)]
    method = RegMean(off_diagonal=0.0, ridge=1e-12)
    method.look(Given(2, inner=[{"layer.0.w": one} for one in inner]))
    w = [one.diagonal().float() for one in inner]
    expected = (w[0] * experts[0]["layer.0.w"] + w[1] * experts[1]["layer.0.w"]) / (w[0] + w[1])
    torch.testing.assert_close(merged(method, base, experts)["layer.0.w"], expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "make", [lambda: Fisher(smoothing=0.01, normalise=True), lambda: RegMean(off_diagonal=0.9, ridge=1e-6)]
)
@pytest.mark.parametrize("num", [1, 2])
def test_equal_experts_and_one_alone_are_given_back_whatever_was_seen(state, merged, make, num):
    base, one = state(0), state(1)
    random = torch.Generator().manual_seed(3)
    grams = [torch.randn(9, 4, generator=random, dtype=torch.float64) for _ in range(num)]
    method = make()
    method.look(Given(num, squares=[state(7), state(8)][:num], inner=[{"layer.0.w": x.T @ x} for x in grams]))
    for name, value in merged(method, base, [one] * num).items():
        torch.testing.assert_close(value, one[name], atol=1e-6, rtol=0)


def test_each_layer_has_coefficients_of_its_own(state, merged):
    base, experts = state(0), [state(k) for k in (1, 2)]
    method = AdaMerging(scope="layer")
    method.start(2, sorted(base))
    assert method.groups == ["b", "layer.0", "layer.1"]
    with torch.no_grad():
        method.raw.copy_(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, 2.0]]))
    found = merged(method, base, experts)
    torch.testing.assert_close(found["b"], base["b"])
    torch.testing.assert_close(found["layer.0.w"], experts[0]["layer.0.w"], atol=1e-6, rtol=0)
    d = changes(experts, base)
    expected = base["layer.1.w"] + (0.5 * d[0]["layer.1.w"] + 2.0 * d[1]["layer.1.w"]).float()
    torch.testing.assert_close(found["layer.1.w"], expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("make", "file"),
    [
        (lambda: LmCocktail(temperature=0.0), "lm_cocktail"),
        (lambda: Fisher(smoothing=-1.0, normalise=True), "fisher"),
        (lambda: RegMean(off_diagonal=1.5, ridge=1.0), "regmean"),
        (lambda: RegMean(off_diagonal=0.5, ridge=0.0), "regmean"),
    ],
)
def test_settings_out_of_range_are_refused_with_their_file(make, file):
    with pytest.raises(ValueError, match=f"got .*conf/merging/{file}.yaml"):
        make()
