import math

import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.delta import Models, check_distance, total
from pipeline.weights import PART


def state(seed, **changes):
    random = torch.Generator().manual_seed(seed)
    values = {"a": torch.randn(3, 2, generator=random), "b": torch.randn(4, generator=random), "ids": torch.arange(3)}
    return values | changes


@pytest.fixture
def models(tmp_path):
    def made(base, *experts):
        for name, one in zip(("base", "sts", "retrieval"), (base, *experts), strict=False):
            (tmp_path / name).mkdir(exist_ok=True)
            save_file(one, tmp_path / name / "model.safetensors")
        return Models(tmp_path / "base", [tmp_path / name for name in ("sts", "retrieval")[: len(experts)]])

    return made


def merged(given, tmp_path, coefficients):
    (tmp_path / "out").mkdir()
    given.write(tmp_path / "out", lambda name, start, rows: torch.tensor([1.0, *coefficients]) @ rows, whole=False)
    return load_file(tmp_path / "out/model.safetensors")


@pytest.mark.parametrize("whole", [False, True])
def test_rows_are_the_base_and_the_task_vectors_in_fp32_part_by_part(models, whole):
    base, expert = (torch.randn(PART + 5, generator=torch.Generator().manual_seed(k)).bfloat16() for k in (0, 1))
    given = models({"a": base}, {"a": expert})
    parts = [(start, rows.clone()) for start, rows in given.parts("a", whole=whole)]
    assert [start for start, _ in parts] == ([0] if whole else [0, PART])
    found = torch.cat([rows for _, rows in parts], dim=1)
    assert torch.equal(found, torch.stack([base.float(), expert.float() - base.float()]))
    given.close()


def test_the_combination_is_in_the_types_of_the_base_and_copies_whole_numbers(models, tmp_path):
    base, one, two = state(0, half=torch.ones(2).bfloat16()), state(1, half=torch.ones(2)), state(2, half=torch.zeros(2))
    found = merged(models(base, one, two), tmp_path, [0.5, -1.0])
    for key in ("a", "b"):
        torch.testing.assert_close(found[key], base[key] + 0.5 * (one[key] - base[key]) - (two[key] - base[key]))
    assert found["half"].dtype == torch.bfloat16
    assert found["half"].tolist() == [2, 2]
    assert torch.equal(found["ids"], base["ids"])


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_number_is_refused_by_file_and_tensor(models, bad):
    expert = state(1)
    expert["b"][2] = bad
    with pytest.raises(ValueError, match=r"sts/model.safetensors, tensor b holds NaN or infinity"):
        models(state(0), expert).grams()


def test_another_shape_or_kind_is_refused_by_file_and_tensor(models):
    with pytest.raises(ValueError, match=r"sts/model.safetensors, tensor a: shape \(2, 3\), the base has \(3, 2\)"):
        models(state(0), state(1, a=torch.zeros(2, 3)))
    with pytest.raises(ValueError, match=r"sts/model.safetensors, tensor ids: type F32, the base has I64"):
        models(state(0), state(1, ids=torch.zeros(3)))


def test_a_missing_or_unknown_tensor_is_named(models):
    expert = state(1, new=torch.zeros(1))
    del expert["b"]
    with pytest.raises(ValueError, match=r"sts and .*base hold different tensors: missing \['b'\], .*; unknown \['new'\], in"):
        models(state(0), expert)


def test_gram_matrices_hold_the_inner_products_of_base_and_task_vectors(models):
    states = [state(k) for k in (0, 1, 2)]
    given = models(*states)
    vectors = [
        [states[0][k].double().flatten(), *((e[k] - states[0][k]).double().flatten() for e in states[1:])] for k in ("a", "b")
    ]
    for key, rows in zip(("a", "b"), vectors, strict=True):
        torch.testing.assert_close(given.grams()[key], torch.stack(rows) @ torch.stack(rows).T, atol=1e-5, rtol=1e-6)
    everything = torch.stack([torch.cat(pair) for pair in zip(*vectors, strict=True)])
    torch.testing.assert_close(total(given.grams()), everything @ everything.T, atol=1e-5, rtol=1e-6)
    given.close()


def test_unrelated_models_have_no_common_base(models, tmp_path):
    given = models(state(0), state(0, a=-state(0)["a"], b=-state(0)["b"]))
    with pytest.raises(ValueError, match="sts has no base in common"):
        check_distance(total(given.grams()), [tmp_path / "sts"], max_distance=1.0)
    near = models(state(0), {key: value * 1.1 if key != "ids" else value for key, value in state(0).items()})
    check_distance(total(near.grams()), [tmp_path / "sts"], max_distance=1.0)
    given.close()
    near.close()


def test_a_tensor_without_elements_has_inner_products_of_zero(models):
    given = models(*(state(k, none=torch.zeros(0), empty=torch.zeros(3, 0)) for k in range(3)))
    grams = given.grams()
    assert torch.equal(grams["none"], torch.zeros(3, 3, dtype=torch.float64))
    assert torch.equal(grams["empty"], grams["none"])
    assert torch.equal(total(grams), grams["a"] + grams["b"])


@pytest.mark.parametrize(
    ("change", "type_", "wide"),
    [(1e-4, torch.bfloat16, True), (1.0, torch.bfloat16, False), (1e-5, torch.float16, True), (1e-4, torch.float32, False)],
)
def test_small_changes_of_a_model_of_half_precision_are_written_in_float32(models, tmp_path, change, type_, wide):
    base = {"a": torch.randn(64, 64, generator=torch.Generator().manual_seed(0)).to(type_), "ids": torch.arange(3)}
    noise = torch.randn(64, 64, generator=torch.Generator().manual_seed(1))
    one = {"a": base["a"].float() + change * noise, "ids": torch.arange(3)}
    given = models(base, one)
    (tmp_path / "out").mkdir()
    written = given.write(tmp_path / "out", lambda name, start, rows: rows[0] + rows[1] / 2, whole=False)
    found = load_file(tmp_path / "out/model.safetensors")
    assert written.widened == wide
    assert found["a"].dtype == (torch.float32 if wide else type_)
    error = (found["a"].float() - base["a"].float() - change * noise / 2).norm() / (change * noise / 2).norm()
    assert error < 0.1
    assert torch.equal(found["ids"], base["ids"])


def test_what_is_beyond_float16_is_written_in_float32(models, tmp_path):
    base, one = {"a": torch.full((2,), 6e4).half()}, {"a": torch.full((2,), 6.5e4)}
    (tmp_path / "out").mkdir()
    models(base, one).write(tmp_path / "out", lambda name, start, rows: rows[0] + 2 * rows[1], whole=False)
    assert load_file(tmp_path / "out/model.safetensors")["a"].tolist() == pytest.approx([7e4, 7e4], rel=1e-3)
