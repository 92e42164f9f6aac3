"""Stress and forms of any model, as the stages make them of the final one, and nothing of DVC's is touched."""

import pytest

from pipeline.checkpoint import read_json, sha256

NEEDED = ("data/config.yaml", "data/curated", "checkpoints/final", "checkpoints/experts/sts")


@pytest.fixture
def place(copied):
    """Some of the finished workspace, and the hash of all that is kept there by DVC."""
    folder = copied(*NEEDED, stress={"behaviours": dict.fromkeys(("limit", "needle", "passkey", "typo"))})
    return folder, [sha256(folder / kept) for kept in ("data", "checkpoints")]


def untouched(folder, before):
    return [sha256(folder / kept) for kept in ("data", "checkpoints")] == before


def test_stress_of_the_directory_of_the_final_model_is_what_the_stage_writes(place, run):
    folder, before = place
    assert run(folder, "stress", "checkpoints/final", "out=out/here.json") == 0
    assert untouched(folder, before)
    assert run(folder, "stress") == 0
    found = read_json(folder / "out/here.json")
    assert sorted(found) == ["length"] or sorted(found) == ["length", "negation"]
    assert found == read_json(folder / "data/metrics/stress.json")


def test_stress_of_a_model_by_its_name_is_its_own(place, run):
    folder, before = place
    assert run(folder, "stress", "sts") == 0
    assert untouched(folder, before)
    assert run(folder, "stress", "checkpoints/experts/sts") == 0
    assert read_json(folder / "outputs/stress/sts.json")["length"]["rows"]["mean cosine"]


def test_forms_of_the_final_model_are_measured_as_the_stage_measures_them(place, run, finished):
    folder, before = place
    assert run(folder, "form", "checkpoints/final", "out=forms", "half", "binary") == 0
    assert untouched(folder, before)
    found, stage = read_json(folder / "forms/forms.json"), read_json(finished / "data/metrics/final.json")
    assert sorted(found) == ["binary", "half"]
    for name, form in found.items():
        assert form["test"] == stage[name]["test"]
        assert 'SentenceTransformer("forms")' in form["use"]
    assert sha256(folder / "forms/model.safetensors") == sha256(folder / "checkpoints/final/model.safetensors")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("stress", "stss"), "stress needs a model: expected a directory, or one of"),
        (("stress", "stss"), "got 'stss' (did you mean 'sts'?)"),
        (("stress", "soup"), "checkpoints/merged/soup is missing; run `dvc repro`"),
        (("stress", "sts", "final"), "stress takes one model, got sts, final"),
        (("stress", "sts", "out=data/metrics/stress.json"), "what lies there is made by stages"),
        (("form",), "form needs a model"),
        (("form", "sts"), "form needs a folder to write to: python -m pipeline form sts out=DIR"),
        (
            ("form", "sts", "out=forms", "halves"),
            "no form 'halves' (did you mean 'half'?); final.forms names binary, half, quarter",
        ),
        (("form", "sts", "out=conf", "half"), None),
    ],
)
def test_a_mistake_is_told_and_nothing_is_written(place, run, capsys, words, message):
    folder, before = place
    (folder / "conf").mkdir()
    assert run(folder, *words) == 1
    assert (message or "out=conf exists; name a directory that does not") in capsys.readouterr().err
    assert untouched(folder, before)
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoints", "conf", "data"]
