import math

import pytest
import torch

from pipeline.delta import combined, delta, gram


def state(seed, **changes):
    random = torch.Generator().manual_seed(seed)
    values = {"a": torch.randn(3, 2, generator=random), "b": torch.randn(4, generator=random), "ids": torch.arange(3)}
    return values | changes


def test_a_task_vector_is_the_expert_less_the_base_without_whole_numbers():
    base, expert = state(0), state(1)
    found = delta(expert, base, name="x")
    assert set(found) == {"a", "b"}
    for key, value in found.items():
        assert torch.equal(value, expert[key] - base[key])


def test_a_task_vector_is_fp32_whatever_the_models_are():
    half = {"a": torch.tensor([1.0, 2.0], dtype=torch.bfloat16)}
    found = delta({"a": torch.tensor([1.0078125, 2.0], dtype=torch.bfloat16)}, half, name="x")["a"]
    assert found.dtype == torch.float32
    assert found.tolist() == [0.0078125, 0.0]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_number_is_refused_by_expert_and_tensor(bad):
    expert = state(1)
    expert["b"][2] = bad
    with pytest.raises(ValueError, match="expert sts, tensor b holds NaN or infinity"):
        delta(expert, state(0), name="sts")


def test_another_shape_is_refused_by_expert_and_tensor():
    with pytest.raises(ValueError, match=r"expert sts, tensor a: shape \(2, 3\), base has \(3, 2\)"):
        delta(state(1, a=torch.zeros(2, 3)), state(0), name="sts")


def test_a_missing_or_unknown_tensor_is_named():
    expert = state(1, new=torch.zeros(1))
    del expert["b"]
    with pytest.raises(ValueError, match=r"expert sts and base .*missing \['b'\], unknown \['new'\]"):
        delta(expert, state(0), name="sts")


def test_the_combination_is_the_base_and_the_weighted_task_vectors():
    base = state(0)
    deltas = [{"a": torch.full((3, 2), 1.0), "b": torch.full((4,), 2.0)}, {"a": torch.full((3, 2), 10.0), "b": torch.zeros(4)}]
    found = combined(base, deltas, [0.5, -1.0])
    torch.testing.assert_close(found["a"], base["a"] + 0.5 - 10.0)
    torch.testing.assert_close(found["b"], base["b"] + 1.0)
    assert torch.equal(found["ids"], base["ids"])


def test_the_combination_keeps_the_types_of_the_base_and_shares_no_memory_with_it():
    base = {"half": torch.ones(2, dtype=torch.bfloat16), "full": torch.ones(2), "ids": torch.arange(2)}
    found = combined(base, [{"half": torch.zeros(2), "full": torch.zeros(2)}], [1.0])
    assert {key: value.dtype for key, value in found.items()} == {key: value.dtype for key, value in base.items()}
    for value in found.values():
        value += 1
    assert base["full"].tolist() == [1, 1]
    assert base["ids"].tolist() == [0, 1]


def test_an_expert_comes_back_from_its_own_task_vector():
    base, expert = state(0), state(1)
    found = combined(base, [delta(expert, base, name="x")], [1.0])
    for key, value in found.items():
        torch.testing.assert_close(value, expert[key] if value.is_floating_point() else base[key], atol=1e-6, rtol=0)


def test_the_gram_matrix_holds_the_inner_products_of_the_flattened_task_vectors():
    deltas = [delta(state(k), state(0), name="x") for k in (1, 2, 3)]
    flat = [[float(v) for key in ("a", "b") for v in one[key].flatten()] for one in deltas]
    found = gram(deltas)
    for i in range(3):
        for j in range(3):
            assert float(found[i, j]) == pytest.approx(sum(x * y for x, y in zip(flat[i], flat[j], strict=True)), rel=1e-12)


def test_the_gram_matrix_is_summed_in_double_precision():
    many = {"a": torch.full((4_000_000,), 0.1)}
    assert float(gram([many])[0, 0]) == pytest.approx(4_000_000 * float(torch.tensor(0.1)) ** 2, rel=1e-9)
