"""Derived models of the tiny run, from the page to what becomes final."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize

from pipeline.build import load
from pipeline.checkpoint import read_json, sha256
from pipeline.code_hash import Code, code_of
from pipeline.corpus.files import read
from pipeline.corpus.row import Row
from pipeline.encoder.encoder import Encoder

DERIVATIONS = {
    "white": {"derivation": "whiten", "of": "checkpoints/merged/soup", "dims": 6},
    "beside": {"derivation": "concat", "of": "checkpoints/experts"},
    "white_half": {"derivation": "shallow", "of": "checkpoints/derived/white", "layers": None, "dims": 3},
}
MODELS = {name: f"checkpoints/derived/{name}" for name in DERIVATIONS}
LIMITS = {"max_length_tokens": 48, "batch_tokens": 1000, "title": ""}


@pytest.fixture(scope="module")
def derived(finished, run, tmp_path_factory):
    """A copy of the finished workspace with two derivations on its page, and all stages behind them run."""
    folder = tmp_path_factory.mktemp("derived") / "workspace"
    shutil.copytree(finished, folder)
    page = yaml.safe_load((folder / "params.yaml").read_text())
    page |= {"derivations": DERIVATIONS, "models": page["models"] | MODELS}
    (folder / "params.yaml").write_text(yaml.safe_dump(page))
    stages = [(stage, name) for name in DERIVATIONS for stage in ("derive", "evaluate")]
    for words in [("compose",), *stages, ("final",), ("report",)]:
        assert run(folder, *words) == 0, words
    return folder


def train_texts(folder):
    """Texts of all train rows of the tiny corpora: of each both sides, since the kinds there have no classes and no prompts."""
    rows = [
        row for name in ("questions", "labels", "graded") for row in read(folder / f"data/curated/{name}/train.parquet", Row)
    ]
    return sorted({text for row in rows for text in (row.query, row.document)})


def test_whitened_vectors_of_the_train_texts_have_covariance_1(derived):
    """Before the last Normalize, over exactly the texts of train, neither validation nor test."""
    encoder = Encoder.load(derived / MODELS["white"])
    assert isinstance(encoder.model[-1], Normalize)
    del encoder.model[-1]
    texts = train_texts(derived)
    vectors = encoder.encode(texts, **LIMITS).astype(np.float64)
    assert read_json(derived / MODELS["white"] / "derivation.json")["texts"] == len(texts)
    np.testing.assert_allclose(vectors.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(np.cov(vectors.T), np.eye(6), atol=1e-4)  # of 32-bit numbers; test_whiten has the exact one


def test_sentence_transformers_loads_what_is_derived_of_what_is_derived(derived):
    texts = ["How do I clean the lamp?", "a", "the kettle " * 60]
    found = [
        Encoder.load(derived / MODELS[name]).encode(texts, **LIMITS | {"max_length_tokens": 512})
        for name in ("white", "white_half")
    ]
    np.testing.assert_allclose(found[1], found[0][:, :3] / np.linalg.norm(found[0][:, :3], axis=1, keepdims=True), atol=1e-5)
    theirs = SentenceTransformer(str(derived / MODELS["white_half"]), device="cpu").encode(texts, show_progress_bar=False)
    np.testing.assert_allclose(found[1], theirs, atol=1e-5, rtol=0)


def test_provenance_names_what_it_was_made_of_and_by_what(derived):
    record = read_json(derived / MODELS["white"] / "provenance.json")
    assert record["config"]["derive"] == load(derived / "data/config.yaml")["derive"]["white"]
    assert record["inputs"] == {path: sha256(derived / path) for path in ("checkpoints/merged/soup", "data/curated")}
    half = read_json(derived / MODELS["white_half"] / "provenance.json")
    assert half["inputs"] == {MODELS["white"]: sha256(derived / MODELS["white"])}


def test_experts_side_by_side_are_of_all_that_merges_take(derived):
    texts = ["How do I clean the lamp?", "a"]
    own = [
        Encoder.load(derived / f"checkpoints/experts/{name}").encode(texts, **LIMITS, unit=True)
        for name in ("retrieval", "sts")
    ]
    found = Encoder.load(derived / MODELS["beside"]).encode(texts, **LIMITS)
    np.testing.assert_allclose(found, np.hstack(own) / 2**0.5, atol=1e-5)
    inputs = read_json(derived / MODELS["beside"] / "provenance.json")["inputs"]
    assert set(inputs) == {"checkpoints/experts/retrieval", "checkpoints/experts/sts"}


def test_derived_models_are_evaluated_judged_beside_the_merges_and_shown(derived):
    chosen = read_json(derived / "checkpoints/final/chosen.json")
    assert sorted(chosen["merges"]) == ["beside", "slerp", "soup", "white", "white_half"]
    assert chosen["best_single"] in ("base", "retrieval", "sts", "joint")
    assert "merge or derived model" in chosen["verdict"] or "merges and derived models" in chosen["verdict"]
    assert "| white |" in (derived / "checkpoints/final/README.md").read_text()
    page = (derived / "data/report/index.html").read_text()
    assert "checkpoints/derived/white_half" in page


def test_with_what_dvc_lists_alone_the_same_bytes_come_out_of_code_that_the_hash_knows(derived, root, tmp_path):
    """In another process and another place: see isolated.py."""
    nodes = [f"derive@{name}" for name in MODELS]
    program = str(Path(__file__).with_name("isolated.py"))
    command = [sys.executable, program, str(derived), str(tmp_path / "alone"), *nodes]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(root)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    config, code = load(derived / "data/config.yaml"), Code()
    for node, (name, path) in zip(nodes, MODELS.items(), strict=True):
        assert sha256(tmp_path / "alone" / node / path) == sha256(derived / path)
        imported = json.loads((tmp_path / "alone" / node / "modules.json").read_text())
        files = {file for module in imported for file in code.named(module)} - code.reached(["pipeline.report.costs"])
        assert files - code_of(code, config, "derive", name) == set()


@pytest.fixture
def with_cut(copied):
    """A workspace with the soup alone, and a derivation of it that keeps so many layers."""

    def made(layers):
        folder = copied("data/config.yaml", "checkpoints/merged/soup")
        config = load(folder / "data/config.yaml")
        node = {"_target_": "pipeline.derivation.shallow.Shallow", "layers": layers, "dims": None}
        config["derive"] = {"cut": {"of": "checkpoints/merged/soup", "derivation": node}}
        (folder / "data/config.yaml").write_text(yaml.safe_dump(config))
        return folder

    return made


def test_a_model_that_does_not_allow_it_is_told_with_the_line_of_the_page(with_cut, run, capsys):
    folder = with_cut(9)
    assert run(folder, "derive", "cut") == 1
    assert "derivations.cut, of checkpoints/merged/soup: layers is 9, but BertModel has 1" in capsys.readouterr().err
    assert not (folder / "checkpoints/derived").exists()


def test_an_unknown_derivation_is_told_with_those_that_there_are(derived, run, capsys):
    assert run(derived, "derive", "whitee") == 1
    assert "derive needs one derivation of beside, white, white_half; got 'whitee'" in capsys.readouterr().err


def test_a_model_of_complexes_is_not_derived(with_cut, run, capsys):
    folder = with_cut(1)
    (folder / "checkpoints/merged/soup/architecture.yaml").write_text("load: {}\nmerge: {}\n")
    assert run(folder, "derive", "cut") == 1
    assert "checkpoints/merged/soup predicts complexes" in capsys.readouterr().err
