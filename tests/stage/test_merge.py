import json

import pytest
import torch
from safetensors.torch import load_file

INPUTS = ("checkpoints/base", "checkpoints/experts", "data/config.yaml")


@pytest.fixture(scope="module")
def states(finished):
    names = {
        "base": "base",
        "retrieval": "experts/retrieval",
        "sts": "experts/sts",
        "soup": "merged/soup",
        "slerp": "merged/slerp",
    }
    return {name: load_file(finished / f"checkpoints/{folder}/model.safetensors") for name, folder in names.items()}


def test_the_soup_is_the_mean_of_the_experts_and_joint_is_none_of_them(states):
    for key, merged in states["soup"].items():
        mean = (states["retrieval"][key].double() + states["sts"][key].double()) / 2
        torch.testing.assert_close(merged.double(), mean, atol=1e-7, rtol=1e-6)  # fp32 sums


def test_slerp_is_as_long_as_the_task_vectors_are(states):
    """Of two task vectors at any angle, half way along the arc: |v|^2 = (|a|^2 + |b|^2 + 2ab) / (4 cos^2(angle/2))."""
    a, b, merged = (
        torch.cat([(states[name][key] - states["base"][key]).double().flatten() for key in sorted(states["base"])])
        for name in ("retrieval", "sts", "slerp")
    )
    cosine = float(a @ b / a.norm() / b.norm())
    expected = (a + b) / (2 * ((1 + cosine) / 2) ** 0.5)
    torch.testing.assert_close(merged, expected, atol=1e-7, rtol=1e-3)  # task vectors are small differences of fp32 numbers


def test_the_record_says_what_went_in(finished):
    record = json.loads((finished / "checkpoints/merged/soup/merge.json").read_text())
    assert record["experts"] == ["retrieval", "sts"]
    assert record["coefficients"] == {"all": [0.5, 0.5]}
    assert record["task_vector_cosines"][0][0] == pytest.approx(1)
    assert record["task_vector_cosines"][0][1] == record["task_vector_cosines"][1][0]


def test_an_expert_that_was_taken_out_of_params_yaml_is_not_merged(copied, run):
    folder = copied(*INPUTS, drop=("experts", "sts"))
    assert (folder / "checkpoints/experts/sts").is_dir()
    assert run(folder, "merge", "soup") == 0
    assert json.loads((folder / "checkpoints/merged/soup/merge.json").read_text())["experts"] == ["retrieval"]


def test_an_expert_with_another_tokenizer_is_refused(copied, run, capsys):
    folder = copied(*INPUTS)
    file = folder / "checkpoints/experts/sts/tokenizer.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"normalizer": None}))
    assert run(folder, "merge", "soup") == 1
    assert "checkpoints/experts/sts has another tokenizer than checkpoints/base" in capsys.readouterr().err
    assert not (folder / "checkpoints/merged").exists()


def test_an_unknown_method_is_told_with_the_known_ones(copied, run, capsys):
    assert run(copied("data/config.yaml"), "merge", "sloup") == 1
    assert "merge needs one method of slerp, soup; got 'sloup'" in capsys.readouterr().err
