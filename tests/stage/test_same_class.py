"""Texts with the names of their classes, from a table to a model, beside the same training on rows dealt at random."""

import json

import pytest

from pipeline.checkpoint import learned_from, read_json

WORDS = {
    "card": ["card", "lost", "stolen", "new", "replace", "order"],
    "rate": ["rate", "exchange", "money", "abroad", "fee", "euro"],
    "pin": ["pin", "wrong", "blocked", "change", "forgot", "code"],
}
STAGES = (
    "compose", "ingest", "curate", "pretrain", "mine", "train intent", "train intent_random", "baseline bm25", "evaluate intent",
    "evaluate intent_random", "evaluate backbone", "final", "report",
)  # fmt: skip


@pytest.fixture(scope="module")
def finished(make, run, tmp_path_factory):
    folder = make(
        tmp_path_factory.mktemp("classes"),
        choose={"experiment": "own", "encoder": "scratch"},
        corpora={
            "bank": {"source": "table", "path": "data/source/bank.jsonl", "task": "intent", "kind": "same_class",
                     "columns": {"query": "text", "document": "label"}},
        },
        experts={"intent": "checkpoints/experts/intent", "intent_random": "checkpoints/controls/intent_random"},
        methods=[], derivations={}, baselines=["bm25"],
        models={"intent": "checkpoints/experts/intent", "intent_random": "checkpoints/controls/intent_random",
                "backbone": "checkpoints/backbone"},
        set={
            "near.threshold": 1.0,
            "encoder": {"backbone": {"vocabulary": 200, "width": 16, "layers": 1, "intermediate": 32}, "max_length_tokens": 32},
            "train": {"steps_per_task": 4, "intent.tasks.intent.batch_size": 8},
            "evaluate.resamples": 50,
            "final": {"resamples": 50, "forms": {"onnx": None, "int8": None}, "paraphrases": None},
            "runtime": {"accelerator": "cpu", "threads": 1, "tracker": "disabled", "mirror": None},
        },
    )  # fmt: skip
    rows = [
        {"text": f"{a} {b} {c}", "label": name}
        for name, words in WORDS.items() for a in words for b in words for c in words if len({a, b, c}) == 3
    ]  # fmt: skip
    (folder / "data/source/bank.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [words for words in STAGES if run(folder, *words.split())] == []
    return folder


def scores(folder, name):
    return read_json(folder / f"data/metrics/evaluate/{name}.json")["test"]


def test_new_texts_are_searched_among_the_train_texts_of_their_class(finished):
    (intent,) = scores(finished, "intent").items()
    assert intent[0] == "intent/bank"
    assert (intent[1]["kind"], intent[1]["metric"], intent[1]["num_items"]) == ("same_class", "ndcg@10", 36)
    assert scores(finished, "bm25")["intent/bank"]["value"] == pytest.approx(1)  # no two classes share a word


def test_the_twin_learns_from_rows_dealt_at_random_and_is_scored_on_them(finished):
    assert learned_from(finished / "checkpoints/controls/intent_random") == "random"
    assert learned_from(finished / "checkpoints/experts/intent") is None
    assert list(scores(finished, "intent_random")) == ["intent/bank@random"]
    config = [
        read_json(finished / f"checkpoints/{at}/provenance.json")["config"]
        for at in ("experts/intent", "controls/intent_random")
    ]
    assert config[0] == {**config[1], "train": {**config[1]["train"], "control": None}}
    assert config[0]["train"]["tasks"]["intent"]["batch_size"] == 8  # what the page sets for `intent` holds for its twin


def test_the_page_shows_both_beside_each_other_and_the_twin_is_never_final(finished):
    page = (finished / "data/report/report.md").read_text()
    assert "## What a random split would have shown" in page
    own, random = scores(finished, "intent")["intent/bank"], scores(finished, "intent_random")["intent/bank@random"]
    assert f"| {own['value']:.4f} | {random['value']:.4f} | {random['value'] - own['value']:+.4f} [" in page
    assert read_json(finished / "checkpoints/final/chosen.json")["model"] != "intent_random"
