"""Temperature, positions and static through the stages, beside settings that change nothing; and what the gate makes of them."""

import json

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer

from pipeline.checkpoint import read_json
from pipeline.encoder.encoder import Encoder

SOUP, BASE = "checkpoints/merged/soup", "checkpoints/base"
NOTHING = {  # settings that change nothing
    "tau_1": {"derivation": "temperature", "of": BASE, "tau": 1.0},
    "factor_1": {"derivation": "positions", "of": BASE, "factor": 1, "way": "grouped"},
    "all_layers": {"derivation": "shallow", "of": BASE, "layers": 1},
}
CHANGED = {
    "sharp": {"derivation": "temperature", "of": BASE, "tau": 0.7},
    "flat": {"derivation": "temperature", "of": BASE, "tau": 1.3},
    "longer": {"derivation": "positions", "of": BASE, "factor": 4, "way": "recurrent"},
    "scrambled": {"derivation": "positions", "of": BASE, "factor": 4, "way": "recurrent"},  # random rows replace its own
    "table": {"derivation": "static", "of": BASE, "texts": 50},
}
DERIVATIONS = NOTHING | CHANGED
PLACES = {name: f"checkpoints/derived/{name}" for name in DERIVATIONS}
OWN = {"derivation.json", "provenance.json", "SHA256SUMS"}  # say how a directory came about, or list these
TEXTS = ["How do I clean the lamp?", "a", "", "wipe it with the kettle " * 12]
WORDS = [
    f"{start}{end}" for start in ("lam", "ket", "car", "win", "tab") for end in ("al", "es", "in", "or", "um", "et", "ax", "ip")
]
FILLER = "the note goes on " * 10  # 40 words, more than the 32 tokens that the base reads


@pytest.fixture(scope="module")
def place(make, run, tmp_path_factory):
    """A workspace whose documents say what they are about behind the 32nd token; all derivations are made and evaluated."""
    folder = tmp_path_factory.mktemp("kinds") / "workspace"
    long = {"source": "table", "path": "data/source/long.jsonl", "columns": {"query": "question", "document": "answer"}}
    models = {"base": BASE, **PLACES}
    make(folder, corpora={"long": long}, experts={}, methods=[], baselines=[], models=models, derivations=DERIVATIONS, forms=[])
    page = yaml.safe_load((folder / "params.yaml").read_text())
    page["set"] = {key: value for key, value in page["set"].items() if key not in ("train", "merge.slerp.method.norm")}
    page["set"]["final"] = {"resamples": 500}
    (folder / "params.yaml").write_text(yaml.safe_dump(page))
    pairs = [(a, b) for i, a in enumerate(WORDS) for b in WORDS[i + 1 :]]
    lines = [json.dumps({"question": f"{a} {b}", "answer": f"{FILLER} {a} {b} {a} {b}"}) for a, b in pairs[::2]]
    (folder / "data/source/long.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    stages = [(stage, name) for name in PLACES for stage in ("derive", "evaluate")]
    for words in [("compose",), ("ingest",), ("curate",), ("pretrain",), ("evaluate", "base"), *stages]:
        assert run(folder, *words) == 0, words
        if words == ("derive", "scrambled"):
            scramble(folder / PLACES["scrambled"] / "model.safetensors")
    return folder


def scramble(file):
    weights = load_file(file)
    (name,) = [name for name in weights if name.endswith("position_embeddings.weight")]
    weights[name] = torch.randn(weights[name].shape, generator=torch.Generator().manual_seed(0))
    save_file(weights, file, metadata={"format": "pt"})
    (file.parent / "SHA256SUMS").unlink()  # the change is meant


def files(folder):
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and file.name not in OWN
    }


@pytest.mark.parametrize("name", NOTHING)
def test_a_setting_that_changes_nothing_gives_the_bytes_of_the_source(place, name):
    source = {name: content for name, content in files(place / BASE).items() if name in files(place / PLACES["sharp"])}
    assert files(place / PLACES[name]) == source
    assert "model.safetensors" in source


@pytest.mark.parametrize("name", PLACES)
def test_sentence_transformers_reads_every_derived_model_as_we_do(place, name):
    ours = Encoder.load(place / PLACES[name]).encode(TEXTS, max_length_tokens=None, batch_tokens=1000, title="")
    theirs = SentenceTransformer(str(place / PLACES[name]), device="cpu").encode(TEXTS, show_progress_bar=False)
    np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", CHANGED)
def test_what_is_derived_of_a_model_is_other_files(place, name):
    assert files(place / PLACES[name]) != files(place / PLACES["tau_1"])


def scores(place, name):
    (one,) = read_json(place / f"data/metrics/evaluate/{name}.json")["validation"].values()
    return one["value"]


def test_the_gate_takes_what_reads_more_and_refuses_what_gains_nothing_or_harms(place, run):
    """Positions that let the model read on, and a table of words that reads all of a text, are better beyond chance. A temperature changes
    nothing that counts in so small a model. Random positions undo what reading on gains."""
    assert run(place, "final") == 0
    chosen = read_json(place / "checkpoints/final/chosen.json")
    assert (chosen["best_single"], chosen["model"]) == ("base", "table")
    assert [name for name, one in chosen["merges"].items() if one["accepted"]] == ["longer", "table"]
    assert chosen["refused"] == sorted({*PLACES} - {"longer", "table"})
    assert scores(place, "longer") > scores(place, "base") + 0.2
    assert scores(place, "scrambled") < scores(place, "longer") - 0.2
    assert not any(chosen["merges"][name]["differs"] for name in NOTHING)
