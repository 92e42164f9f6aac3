"""`python -m pipeline merge --base DIR --expert DIR merging=... out=DIR`, on models of any origin."""

import json
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.checkpoint import sha256


@pytest.fixture
def place(root, tmp_path):
    """A folder with conf/, and a base and two experts without anything of this project beside the weights."""
    (tmp_path / "conf").symlink_to(root / "conf")
    base = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    for k, name in enumerate(("base", "one", "two")):
        folder = tmp_path / name
        folder.mkdir()
        moved = base + 0.1 * bool(k) * torch.randn(6, 4, generator=torch.Generator().manual_seed(k))
        save_file({"w": moved, "ids": torch.arange(3)}, folder / "model.safetensors")
        (folder / "config.json").write_text('{"model_type": "bert"}')
        (folder / "tokenizer.json").write_text("{}")
    return tmp_path


WORDS = ("merge", "--base", "base", "--expert", "one", "--expert", "two")


@pytest.mark.parametrize("method", ["soup", "ties"])
def test_any_directories_with_a_common_base_are_merged(place, run, method):
    assert run(place, *WORDS, f"merging={method}", "out=merged/x") == 0
    found, one, two = (load_file(place / name / "model.safetensors") for name in ("merged/x", "one", "two"))
    assert torch.equal(found["ids"], one["ids"])
    if method == "soup":
        torch.testing.assert_close(found["w"], (one["w"] + two["w"]) / 2)
    inputs = json.loads((place / "merged/x/provenance.json").read_text())["inputs"]
    assert inputs == {name: sha256(place / name) for name in ("base", "one", "two")}
    assert (place / "merged/x/tokenizer.json").is_file()


def test_the_same_inputs_give_the_same_bytes(place, run):
    for out in ("x", "y"):
        assert run(place, *WORDS, "merging=dare", f"out={out}") == 0
    assert sha256(place / "x") == sha256(place / "y")


def test_values_of_the_method_are_given_as_to_hydra(place, run):
    assert run(place, *WORDS, "merging=task_arithmetic", "merge.method.norm=0.0", "out=x") == 0
    assert torch.equal(load_file(place / "x/model.safetensors")["w"], load_file(place / "base/model.safetensors")["w"])


def broken(key, value):
    def change(folder):
        state = load_file(folder / "model.safetensors")
        state[key] = value(state)
        save_file({name: tensor for name, tensor in state.items() if tensor is not None}, folder / "model.safetensors")

    return change


def to_pickle(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({}))


BAD = {
    "architecture": (
        lambda f: (f / "config.json").write_text('{"model_type": "gpt2"}'),
        "two/config.json: model_type is 'gpt2'",
    ),
    "missing": (broken("w", lambda s: None), "missing ['w'], as in base/model.safetensors"),
    "extra": (broken("more", lambda s: torch.zeros(2)), "unknown ['more'], in two/model.safetensors"),
    "tokenizer": (
        lambda f: (f / "tokenizer.json").write_text('{"model": {"type": "BPE"}}'),
        "two has another tokenizer than base",
    ),
    "shape": (broken("w", lambda s: s["w"][:3]), "two/model.safetensors, tensor w: shape (3, 4), the base has (6, 4)"),
    "NaN": (broken("w", lambda s: s["w"] / 0), "two/model.safetensors, tensor w holds NaN or infinity"),
    "pickle": (to_pickle, "two/pytorch_model.bin is a pickle"),
    "no common base": (broken("w", lambda s: s["w"].flip(0)), "two has no base in common"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_told_by_tensor_and_file_and_nothing_is_written(place, run, capsys, case):
    change, message = BAD[case]
    change(place / "two")
    before = sorted(place.iterdir())
    assert run(place, *WORDS, "merging=soup", "out=x") == 1
    assert message in capsys.readouterr().err
    assert sorted(place.iterdir()) == before


def test_what_is_missing_or_there_already_is_told(place, run, capsys):
    for words, message in (
        (["out=x"], "merging= is missing"),
        (["merging=sloup", "out=x"], "did you mean 'soup'"),
        (["merging=soup", "out=one"], "out=one exists"),
    ):
        assert run(place, *WORDS, *words) == 1
        assert message in capsys.readouterr().err


def test_opposite_task_vectors_have_no_spherical_mean_and_nothing_is_written(place, run, capsys):
    base, one = (load_file(place / name / "model.safetensors") for name in ("base", "one"))
    save_file({"w": 2 * base["w"] - one["w"], "ids": one["ids"]}, place / "two/model.safetensors")
    assert run(place, *WORDS, "merging=multislerp", "out=x") == 1
    assert "one/model.safetensors, tensor w: the task vectors cancel (anti-parallel)" in capsys.readouterr().err
    assert not (place / "x").exists()


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(place, monkeypatch):
    """A cache of the Hub, made by hand, that holds the three models at one commit; and no Hub."""
    from huggingface_hub import constants

    for name in ("base", "one", "two"):
        kept = place / f"hub/models--someone--{name}"
        (kept / "refs").mkdir(parents=True)
        (kept / "refs/main").write_text(COMMIT)
        (kept / "snapshots").mkdir()
        (place / name).rename(kept / "snapshots" / COMMIT)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(place / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return place


def test_models_are_named_by_hub_id_and_commit_too(hub, run):
    named = [f"someone/{name}@{COMMIT}" for name in ("base", "one", "two")]
    words = ("merge", "--base", named[0], "--expert", named[1], "--expert", named[2])
    assert run(hub, *words, "merging=soup", "out=x") == 0
    one, two = (load_file(hub / f"hub/models--someone--{n}/snapshots/{COMMIT}/model.safetensors") for n in ("one", "two"))
    torch.testing.assert_close(load_file(hub / "x/model.safetensors")["w"], (one["w"] + two["w"]) / 2)
    inputs = json.loads((hub / "x/provenance.json").read_text())["inputs"]
    assert sorted(inputs) == named


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (f"someone/three@{COMMIT}", f"someone/three@{COMMIT} is no directory, and the Hub does not give it"),
        (
            "someone/one",
            "someone/one: expected a directory, or a model of the Hub at a commit, someone/one@<40 hex digits>, found no commit",
        ),
        ("someone/one@main", "found 'main'; copy it from https://huggingface.co/someone/one/commits/main"),
    ],
)
def test_a_hub_id_that_is_not_there_or_moves_is_told_and_nothing_is_written(hub, run, capsys, name, message):
    words = ("merge", "--base", f"someone/base@{COMMIT}", "--expert", name)
    assert run(hub, *words, "merging=soup", "out=x") == 1
    assert message in capsys.readouterr().err
    assert not (hub / "x").exists()


def test_an_average_along_a_trajectory_is_an_expert_of_the_next_merge(place, run):
    assert run(place, *WORDS, "merging=average", "merge.method.last=2", "merge.method.decay=0.5", "out=mean") == 0
    words = ("merge", "--base", "base", "--expert", "mean", "--expert", "one", "merging=soup", "out=x")
    assert run(place, *words) == 0
    one, two, found = (load_file(place / name / "model.safetensors")["w"] for name in ("one", "two", "x"))
    torch.testing.assert_close(found, ((one + 2 * two) / 3 + one) / 2)
