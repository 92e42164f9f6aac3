"""What holds for every stage, or for all of them together."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.build import load
from pipeline.checkpoint import sha256
from pipeline.code_hash import Code, code_of
from pipeline.encoder.encoder import Encoder

ENCODERS = (
    *("checkpoints/backbone", "checkpoints/base", "checkpoints/experts/retrieval", "checkpoints/experts/sts"),
    *("checkpoints/controls/joint", "checkpoints/merged/soup", "checkpoints/merged/slerp", "checkpoints/final"),
)
WRITTEN = {
    *(f"data/raw/{corpus}/{name}" for corpus in ("questions", "labels", "graded")
      for name in ("rows.parquet", "documents.parquet", "rejected.parquet", "card.json")),
    *(f"data/curated/{corpus}/{name}.parquet" for corpus in ("questions", "labels", "graded")
      for name in ("train", "validation", "test", "documents", "dropped")),
    *(f"data/curated/{corpus}/card.json" for corpus in ("questions", "labels", "graded")),
    *(f"{encoder}/{name}" for encoder in ENCODERS
      for name in ("model.safetensors", "config.json", "encoder.yaml", "tokenizer.json", "modules.json", "provenance.json")),
    *(f"data/{kind}/{model}.json" for kind in ("metrics/evaluate", "evaluated")
      for model in ("bm25", "static", "soup", "slerp", "backbone", "base", "retrieval", "sts", "joint")),
    *(f"data/metrics/{name}.csv" for name in ("pretrain", "train/retrieval", "train/sts", "train/joint")),
    *("data/config.yaml", "data/mined/questions.parquet", "data/report/index.html", "data/metrics/stress.json"),
    *("checkpoints/final/chosen.json", "checkpoints/final/README.md"),
}  # fmt: skip


def files(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


@pytest.fixture(scope="module")
def again(finished, root, tmp_path_factory):
    """Folders by DVC name in which each stage has run a second time, alone: see isolated.py."""
    folder = tmp_path_factory.mktemp("again") / "elsewhere"
    command = [sys.executable, str(Path(__file__).with_name("isolated.py")), str(finished), str(folder)]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(root)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_file_that_the_stages_promise_is_there(finished):
    assert WRITTEN - files(finished).keys() == set()


def test_no_stage_leaves_a_partial_or_a_file_that_dvc_does_not_list(finished, stand_in):
    listed = [out for node in stand_in.nodes(finished).values() for out in node.outs] + ["data/config.yaml"]
    made = [
        name for name in files(finished) if name.startswith(("data/", "checkpoints/")) and not name.startswith("data/source/")
    ]
    assert [name for name in made if not any(Path(name).is_relative_to(out) for out in listed)] == []
    assert [path for path in finished.rglob("*") if path.name.endswith(".partial")] == []


def test_a_second_run_with_nothing_but_what_dvc_lists_writes_the_same_bytes(finished, again, stand_in):
    first = files(finished)
    for name, node in stand_in.nodes(finished).items():
        second = files(again / name)
        outs = node.outs or ["data/config.yaml"]
        made = {file for file in first if any(Path(file).is_relative_to(out) for out in outs)}
        assert made
        assert [file for file in sorted(made) if second.get(file) != first[file]] == [], f"{name} wrote other bytes"


def test_no_stage_imports_a_module_that_its_hash_leaves_out(finished, again, stand_in):
    config, code = load(finished / "data/config.yaml"), Code()
    for name in stand_in.nodes(finished):
        imported = json.loads((again / name / "modules.json").read_text())
        assert f"pipeline.stage.{name.split('@')[0]}" in imported
        files = {file for module in imported for file in code.named(module)} - code.reached(["pipeline.report.costs"])
        if name != "compose":
            assert files - code_of(code, config, *name.split("@")) == set(), name


@pytest.mark.parametrize("encoder", ENCODERS)
def test_sentence_transformers_loads_the_directory_and_gives_the_same_vectors(finished, encoder):
    from sentence_transformers import SentenceTransformer

    texts = ["How do I clean the lamp?", "a", "Words nobody has seen, ünïcode and 数字.", "the kettle " * 60]
    ours = Encoder.load(finished / encoder).encode(texts, max_length_tokens=512, batch_tokens=64, title="")
    theirs = SentenceTransformer(str(finished / encoder), device="cpu").encode(texts, show_progress_bar=False)
    np.testing.assert_allclose(ours, theirs, atol=1e-6, rtol=0)


def test_provenance_names_inputs_by_their_hashes_and_no_place_or_time(finished):
    for directory in ENCODERS:
        record = json.loads((finished / directory / "provenance.json").read_text())
        assert set(record) == {"tributary", "config", "inputs"}
        assert record["inputs"]
        for path, known in record["inputs"].items():
            assert not Path(path).is_absolute()
            assert sha256(finished / path) == known
        assert not re.search(r"\d{4}-\d\d-\d\d|\d\d:\d\d", json.dumps(record["config"]))


def test_no_output_holds_the_place_it_was_made_in(finished):
    assert [name for name, content in files(finished).items() if str(finished).encode() in content] == []
