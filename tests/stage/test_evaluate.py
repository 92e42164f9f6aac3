import math

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from scipy.stats import spearmanr

from pipeline.checkpoint import read_json
from pipeline.corpus.files import read, write
from pipeline.corpus.row import Row
from pipeline.encoder.encoder import Encoder
from pipeline.evaluator.retention import general_texts

MODELS = ("soup", "slerp", "backbone", "base", "retrieval", "sts", "joint")


def encoded(finished, texts):
    encoder = Encoder.load(finished / "checkpoints/experts/sts")
    return encoder.encode(texts, max_length_tokens=64, batch_tokens=8192, title="").astype(np.float64)


@pytest.mark.parametrize("model", MODELS)
def test_every_model_is_scored_on_both_held_out_splits_of_every_corpus(finished, model):
    scores = read_json(finished / f"data/metrics/evaluate/{model}.json")
    assert scores.pop("retention") == {}  # of random weights there is nothing to keep
    assert {split: sorted(of) for split, of in scores.items()} == {
        split: ["retrieval/questions", "sts/graded"] for split in ("validation", "test")
    }
    assert {name: score["num_items"] for name, score in scores["test"].items()} == {"retrieval/questions": 10, "sts/graded": 20}
    for name, score in [pair for of in scores.values() for pair in of.items()]:
        assert f"{score['task']}/{score['corpus']}" == name
        assert (score["kind"], score["deal"]) == (score["task"], None)
        assert score["metric"] == {"retrieval": "ndcg@10", "sts": "spearman"}[score["task"]]
        assert -1 <= score["interval"]["low"] <= score["value"] <= score["interval"]["high"] <= 1, (name, score)


def test_the_similarity_score_is_spearman_s_of_the_cosines(finished):
    rows = read(finished / "data/curated/graded/test.parquet", Row)
    left, right = encoded(finished, [row.query for row in rows]), encoded(finished, [row.document for row in rows])
    expected = spearmanr((left * right).sum(-1), [row.score for row in rows]).statistic
    found = read_json(finished / "data/metrics/evaluate/sts.json")["test"]["sts/graded"]["value"]
    assert found == pytest.approx(expected, abs=1e-9)


def test_the_ranking_score_is_ndcg_over_the_documents_of_the_split(finished):
    """One answer each: 1 / log2(1 + its rank) if that is at most 10, else 0."""
    rows = read(finished / "data/curated/questions/test.parquet", Row)
    similarity = encoded(finished, [row.query for row in rows]) @ encoded(finished, [row.document for row in rows]).T
    ranks = [1 + int((similarity[i] > similarity[i, i]).sum()) for i in range(len(rows))]
    found = read_json(finished / "data/metrics/evaluate/sts.json")["test"]["retrieval/questions"]["value"]
    assert found == pytest.approx(np.mean([1 / math.log2(1 + rank) if rank <= 10 else 0 for rank in ranks]), abs=1e-6)


def test_the_scores_of_single_items_average_to_the_score(finished):
    items = read_json(finished / "data/evaluated/soup.json")["test"]["retrieval/questions"]
    score = read_json(finished / "data/metrics/evaluate/soup.json")["test"]["retrieval/questions"]
    assert np.mean(items["ndcg@10"]) == pytest.approx(score["value"])
    assert items["id"] == sorted(items["id"])


def test_an_unknown_model_is_told_with_the_known_ones(copied, run, capsys):
    folder = copied("data/config.yaml")
    assert run(folder, "evaluate", "soop") == 1
    assert (
        "evaluate needs one model of backbone, base, joint, retrieval, slerp, soup, sts; got 'soop'" in capsys.readouterr().err
    )
    assert not (folder / "data/metrics").exists()


def test_a_model_that_was_not_made_is_told(copied, run, capsys):
    folder = copied("data/config.yaml", "data/curated")
    assert run(folder, "evaluate", "soup") == 1
    assert "checkpoints/merged/soup is no encoder directory" in capsys.readouterr().err
    assert not (folder / "data/metrics").exists()


def test_kept_vectors_give_the_same_scores_without_encoding_again(copied, run, finished, monkeypatch):
    folder = copied("data/config.yaml", "data/curated", "checkpoints/merged/soup", runtime={"embeddings": "data/embeddings"})
    assert run(folder, "evaluate", "soup") == 0
    first = (folder / "data/metrics/evaluate/soup.json").read_bytes()
    assert first == (finished / "data/metrics/evaluate/soup.json").read_bytes()
    monkeypatch.setattr(Encoder, "encode", lambda *_, **__: pytest.fail("encoded again"))
    assert run(folder, "evaluate", "soup") == 0
    assert (folder / "data/metrics/evaluate/soup.json").read_bytes() == first


@pytest.mark.parametrize("model", ["soup", "base"])
def test_the_geometry_of_every_collection_is_measured(finished, model):
    found = read_json(finished / f"data/metrics/geometry/{model}.json")["test"]
    assert sorted(found) == ["retrieval/questions", "sts/graded"]
    for one in found.values():
        assert 1 <= one["rankme"] <= 16.1  # the width is 16
        assert 0 <= one["isotropy"] <= 1
        assert 0 <= one["alignment"] <= 4
        assert one["uniformity"] <= 0


def test_an_unknown_mteb_task_stops_the_stage_with_the_nearest_name(copied, run, capsys):
    folder = copied("data/config.yaml", "data/curated", "checkpoints/merged/soup", evaluate={"mteb": ["SciFacts"]})
    assert run(folder, "evaluate", "soup") == 1
    assert "knows no task 'SciFacts' (did you mean 'SciFact'?)" in capsys.readouterr().err
    assert not (folder / "data/evaluated").exists()


@pytest.mark.parametrize(
    ("whole", "message"), [(True, "checkpoints/base: the vector of a text holds NaN"), (False, "the model gives NaN")]
)
def test_a_model_with_a_weight_that_is_no_number_stops_the_stage(copied, run, capsys, whole, message):
    """All rows of its table are none, or all but those of the short text that is tried when it is loaded."""
    folder = copied("data/config.yaml", "data/curated", "checkpoints/base")
    file = folder / "checkpoints/base/model.safetensors"
    tried = Encoder.load(file.parent).token_ids(["a text"], None)[0]
    weights = load_file(file)
    name = next(name for name in sorted(weights) if "word_embeddings" in name)
    kept = weights[name][tried].copy()
    weights[name][:] = float("nan")
    if not whole:
        weights[name][tried] = kept
    save_file(weights, file, metadata={"format": "pt"})
    assert run(folder, "evaluate", "base") == 1
    said = capsys.readouterr().err
    assert message in said
    assert whole or "validation rows: " in said
    assert not (folder / "data/metrics").exists()


@pytest.fixture
def kept(copied, run):
    """What the records of a model say of retention, under changes of section evaluate."""

    def made(model, **changes):
        folder = copied("data/config.yaml", "data/curated", "checkpoints", evaluate=changes)
        assert run(folder, "evaluate", model) == 0
        return read_json(folder / f"data/metrics/evaluate/{model}.json")["retention"]

    return made


def test_agreement_with_the_model_off_the_shelf_stands_beside_the_scores(finished, kept):
    texts = general_texts()
    own, shelf = (Encoder.load(finished / f"checkpoints/{name}") for name in ("experts/sts", "backbone"))
    limits = {"max_length_tokens": None, "batch_tokens": 8192, "title": "", "unit": True}
    cosines = [vectors @ vectors.T for vectors in (model.encode(texts, **limits).astype(float) for model in (own, shelf))]
    pairs = np.triu_indices(len(texts), 1)
    found = kept("sts", general=True)["general"]
    assert found["order"] == pytest.approx(spearmanr(*(cosine[pairs] for cosine in cosines)).statistic, abs=1e-4)
    assert found["texts"] == len(texts)
    assert 0 < found["neighbours"] <= 1


def test_the_model_off_the_shelf_agrees_with_itself(kept):
    assert kept("backbone", general=True)["general"] == {
        "order": pytest.approx(1),
        "neighbours": 1.0,
        "texts": len(general_texts()),
    }


def as_guard(folder):
    """Corpus `graded` without rows that anything is trained on."""
    for split in ("train", "validation"):
        write(folder / f"data/curated/graded/{split}.parquet", Row, [])


def test_a_guard_is_looked_at_beside_the_bundled_sentences_and_must_not_be_trained_on(copied, run, capsys):
    folder = copied("data/config.yaml", "data/curated", "checkpoints", evaluate={"guards": ["graded"], "guard_texts": 20})
    assert run(folder, "evaluate", "sts") == 1
    assert "evaluate.guards: graded has train and validation rows, and a guard is only evaluated" in capsys.readouterr().err
    as_guard(folder)
    assert run(folder, "evaluate", "sts") == 0
    found = read_json(folder / "data/metrics/evaluate/sts.json")
    assert {name: one["texts"] for name, one in found["retention"].items()} == {"graded": 20}
    assert "sts/graded" in found["test"]  # it is scored all the same
