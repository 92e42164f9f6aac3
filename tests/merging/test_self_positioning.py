import pytest
import torch

from pipeline.merging.self_positioning import SelfPositioning
from pipeline.merging.slerp import Slerp

SETTINGS = {"penalty": 0.0, "path": "slerp", "scope": "model", "previous": "mean", "linear_above": 0.9995}


def test_before_a_search_it_is_slerp(state, merged):
    base, experts = state(0), [state(k) for k in (1, 2, 3)]
    expected = merged(Slerp(norm=1.0, linear_above=0.9995, scope="model"), base, experts)
    for name, value in merged(SelfPositioning(**SETTINGS), base, experts).items():
        torch.testing.assert_close(value, expected[name], atol=1e-6, rtol=0)  # softplus gives 1 up to rounding


@pytest.mark.parametrize("scope", ["layer", "tensor"])
def test_each_part_has_arcs_of_its_own_where_the_scope_is_less_than_the_model(state, merged, scope):
    base, experts = state(0), [state(k) for k in (1, 2)]
    whole = {"layer.0.w": "layer.0.w", "layer.0.b": "b"} if scope == "layer" else {"layer.0.w": "layer.0.w"}  # one layer
    parts = {"layer.1.w": "layer.1.w"}
    named = [{new: one[old] for new, old in (whole | parts).items()} for one in (base, *experts)]
    found = merged(SelfPositioning(**SETTINGS | {"scope": scope}), named[0], named[1:])
    for part in (whole, parts):
        one, two = (torch.cat([(e[n] - named[0][n]).flatten() for n in part]) for e in named[1:])
        angle = torch.acos(torch.cosine_similarity(one, two, dim=0))
        expected = torch.sin(angle / 2) / torch.sin(angle) * (one + two)
        moved = torch.cat([(found[n] - named[0][n]).flatten() for n in part])
        torch.testing.assert_close(moved, expected, atol=1e-5, rtol=0)


def test_one_expert_is_scaled_by_the_norm_alone_and_norm_zero_is_the_base(state, merged):
    base, one = state(0), state(1)
    for raw, norm in ((2.0, 2.126928), (-800.0, 0.0)):
        method = SelfPositioning(**SETTINGS)
        method.start(1, [])
        torch.nn.init.constant_(method.raw_norm, raw)
        for name, value in merged(method, base, [one]).items():
            torch.testing.assert_close(value, base[name] + norm * (one[name] - base[name]), atol=1e-5, rtol=0)


def test_the_linear_path_is_the_sequence_of_plain_means():
    method = SelfPositioning(**SETTINGS | {"path": "linear"})
    method.start(3, [])
    gram = torch.eye(4, dtype=torch.float64)
    gram[1:, 1:] = torch.tensor([[1.0, -0.3, 0.1], [-0.3, 2.0, 0.0], [0.1, 0.0, 1.0]])
    expected = torch.tensor([0.25, 0.25, 0.5], dtype=torch.float64)
    torch.testing.assert_close(method.effective({"w": gram})["all"], expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("change", [{"penalty": -1.0}, {"linear_above": 1.0}])
def test_settings_out_of_range_are_refused_with_their_file(change):
    with pytest.raises(ValueError, match=r"got .*conf/merging/self_positioning.yaml"):
        SelfPositioning(**SETTINGS | change)
