import json

import numpy as np
import pytest
from huggingface_hub import ModelCard

from pipeline.checkpoint import read_json, sha256
from pipeline.form.truncated import Truncated
from pipeline.metric import spearman

SINGLES = ("base", "retrieval", "sts", "joint")
IDENTITY = ("task", "kind", "corpus", "deal")
MAIN = {"retrieval/questions": "ndcg@10", "sts/graded": "spearman"}
NEEDED = (
    *("data/config.yaml", "data/metrics/evaluate", "data/evaluated", "data/curated"),
    *("checkpoints/base", "checkpoints/controls", "checkpoints/experts", "checkpoints/merged"),
)


@pytest.fixture(scope="module")
def chosen(finished):
    return read_json(finished / "checkpoints/final/chosen.json")


@pytest.fixture(scope="module")
def card(finished):
    return (finished / "checkpoints/final/README.md").read_text(encoding="utf-8")


def mean(finished, model):
    scores = read_json(finished / f"data/metrics/evaluate/{model}.json")["validation"]
    assert {name: score["metric"] for name, score in scores.items()} == MAIN
    return sum(score["value"] for score in scores.values()) / len(MAIN)


def test_final_is_the_model_of_the_verdict(finished, chosen):
    folder = read_model_folder(finished, chosen["model"])
    assert sha256(folder / "model.safetensors") == chosen["sha256"] == sha256(finished / "checkpoints/final/model.safetensors")
    assert chosen["test"] == read_json(finished / f"data/metrics/evaluate/{chosen['model']}.json")["test"]


def test_what_dvc_shows_is_the_final_model_in_a_few_numbers(finished, chosen, root):
    import yaml

    found = read_json(finished / "data/metrics/summary.json")
    assert sorted(found) == ["final", "gain", "mean", "retention", "test"]
    assert found["final"] == chosen["model"]
    assert found["test"] == {name: one["value"] for name, one in chosen["test"].items()}
    assert found["mean"] == pytest.approx(sum(found["test"].values()) / len(found["test"]))
    stages = yaml.safe_load((root / "dvc.yaml").read_text())["stages"]
    shown = [one for stage in stages.values() for one in stage.get("do", stage).get("metrics", [])]
    assert shown == ["data/metrics/summary.json"]  # a column for each task, and no more


def read_model_folder(finished, model):
    import yaml

    return finished / yaml.safe_load((finished / "params.yaml").read_text())["models"][model]


def test_the_verdict_goes_by_the_mean_on_validation(finished, chosen):
    best = max(SINGLES, key=lambda model: mean(finished, model))
    if chosen["model"] in SINGLES:
        assert chosen["model"] == best
        assert chosen["verdict"].startswith(f"{best}, the best single model on validation, is final")
    else:
        assert mean(finished, chosen["model"]) > mean(finished, best)


def test_a_merge_that_is_better_on_every_validation_item_becomes_final(copied, run, finished):
    """Of enough items: six queries, as the fixture has, would prove nothing."""
    folder = copied(*NEEDED)
    draw, ids = np.random.default_rng(0), [str(i) for i in range(80)]
    gold = draw.permutation(80).astype(float)
    for file in sorted((folder / "data/evaluated").glob("*.json")):
        soup = file.stem == "soup"
        gain, cosine = (0.9 if soup else 0.3) + 0.1 * draw.random(80), gold if soup else gold + 40 * draw.normal(size=80)
        items, scores = read_json(file), read_json(folder / f"data/metrics/evaluate/{file.name}")
        if set(MAIN) <= set(items["validation"]):
            of = {name: {key: one[key] for key in IDENTITY} for name, one in items["validation"].items()}
            items["validation"] = {
                "retrieval/questions": of["retrieval/questions"] | {"id": ids, "ndcg@10": gain.tolist(), "group": ids},
                "sts/graded": of["sts/graded"] | {"id": ids, "cosine": cosine.tolist(), "score": gold.tolist(), "group": ids},
            }
            scores["validation"]["retrieval/questions"]["value"] = float(gain.mean())
            scores["validation"]["sts/graded"]["value"] = float(spearman(cosine, gold))
        file.write_text(json.dumps(items))
        (folder / f"data/metrics/evaluate/{file.name}").write_text(json.dumps(scores))
    assert run(folder, "final") == 0
    chosen = read_json(folder / "checkpoints/final/chosen.json")
    assert chosen["model"] == "soup"
    assert "no task is lost by 0.01 or more" in chosen["verdict"]
    assert "retrieval/questions 80 items in 80 groups" in chosen["rows"]
    assert chosen["merges"]["soup"]["mean"]["low"] > 0
    assert sha256(folder / "checkpoints/final/model.safetensors") == sha256(
        finished / "checkpoints/merged/soup/model.safetensors"
    )


def test_the_card_holds_the_table_and_how_to_load(finished):
    card = (finished / "checkpoints/final/README.md").read_text(encoding="utf-8")
    assert "One vector a text cannot rank every combination of documents first" in card
    assert card.startswith("---\n")
    assert "\nlibrary_name: sentence-transformers\n" in card.partition("\n---\n")[0]
    assert 'SentenceTransformer("checkpoints/final")' in card
    assert "| soup |" in card or "| soup (this one) |" in card
    assert "cut" in card
    assert "32 tokens" in card


def test_the_card_holds_the_data_with_licences_and_what_it_was_made_from(card, chosen):
    for row in ("questions | 80 | 10 | 10", "graded | 49 | 20 | 20", "labels | 50 | 0 | 0"):  # train, validation, test
        assert f"| {row} | not stated |" in card
    assert f"`{chosen['sha256'][:16]}`" in card
    assert "| `data/curated` |" in card or "| `checkpoints/base` |" in card


def test_the_card_says_how_many_rows_each_training_saw(finished, card):
    for expert, task, rows in (("retrieval", "retrieval", 84), ("sts", "sts", 49)):
        one = read_json(finished / f"checkpoints/experts/{expert}/seen.json")["tasks"][task]
        assert one["rows"] <= rows
        assert one["drawn"] == 4 * 8
        assert f"| {expert} | {task} | {one['rows']} | {one['drawn']} | {one['seen']} |" in card


def test_the_front_matter_is_what_the_hub_reads(finished, chosen, card):
    found = ModelCard(card).data
    assert (found.license, found.pipeline_tag, found.model_name) == ("other", "sentence-similarity", chosen["model"])
    by_name = {(one.dataset_name, one.metric_type): one.metric_value for one in found.eval_results}
    assert by_name == {(one["corpus"], one["metric"]): pytest.approx(one["value"], abs=1e-6) for one in chosen["test"].values()}


def test_every_form_stands_in_the_card_with_its_change_on_test_rows(finished, card):
    found = read_json(finished / "data/metrics/final.json")
    assert sorted(found) == ["binary", "half", "quarter"]
    for name, form in found.items():
        assert sorted(form["test"]) == sorted(MAIN)
        for one in form["test"].values():
            assert one["low"] <= one["change"] <= one["high"]
            assert f"{one['change']:+.4f} [{one['low']:+.4f}, {one['high']:+.4f}]" in card
        assert f"**{name}**" in card
    assert (found["binary"]["vector_bytes"], found["half"]["vector_bytes"]) == (2, 32)
    assert "truncate_dim=8" in card


def test_a_vector_cut_in_half_changes_the_score_by_what_is_stated(finished):
    """Worked out anew, by sentence-transformers, as the card says to."""
    from scipy.stats import spearmanr
    from sentence_transformers import SentenceTransformer

    from pipeline.corpus.files import read
    from pipeline.corpus.row import Row

    rows = read(finished / "data/curated/graded/test.parquet", Row)
    model = SentenceTransformer(str(finished / "checkpoints/final"), device="cpu")

    def score(**settings):
        left, right = (
            model.encode([getattr(row, side) for row in rows], normalize_embeddings=True, show_progress_bar=False, **settings)
            for side in ("query", "document")
        )
        return spearmanr((left * right).sum(1).astype(np.float64), [row.score for row in rows]).statistic

    found = read_json(finished / "data/metrics/final.json")["half"]["test"]["sts/graded"]["change"]
    assert found == pytest.approx(score(truncate_dim=8) - score(), abs=1e-6)


def test_without_a_form_the_model_is_final_all_the_same(copied, run, finished):
    nothing = dict.fromkeys(("onnx", "int8", "binary", "half", "quarter"))
    folder = copied(*NEEDED, final={"forms": nothing})
    assert run(folder, "final") == 0
    assert read_json(folder / "data/metrics/final.json") == {}
    weights = [place / "checkpoints/final/model.safetensors" for place in (folder, finished)]
    assert sha256(weights[0]) == sha256(weights[1])
    assert "Smaller and faster" not in (folder / "checkpoints/final/README.md").read_text()


def test_a_form_that_should_equal_the_model_and_does_not_stops_the_stage(copied, run, capsys, monkeypatch):
    monkeypatch.setattr(Truncated, "tolerance", 1e-4)
    monkeypatch.setattr(Truncated, "make", lambda self, encoder, folder, plain, **_: lambda *text: -plain(*text))
    folder = copied(*NEEDED)
    assert run(folder, "final") == 1
    assert "final.forms.half: its vectors differ from the model's by" in capsys.readouterr().err
    assert not (folder / "checkpoints/final").exists()
    assert not (folder / "data/metrics/final.json").exists()


def test_a_model_that_was_not_evaluated_stops_the_stage(copied, run, capsys):
    folder = copied(*NEEDED)
    (folder / "data/metrics/evaluate/soup.json").unlink()
    assert run(folder, "final") == 1
    assert "data/metrics/evaluate/soup.json is missing; run `dvc repro`" in capsys.readouterr().err
    assert not (folder / "checkpoints/final").exists()
