import math
import re

import pytest
import yaml
from huggingface_hub import ModelCard

from pipeline.stage.card_facts import began_as, front_matter, licence_of, source_of

REVISION = "0123456789" * 4
TEST = {
    "retrieval/tickets": {"task": "retrieval", "kind": "retrieval", "corpus": "tickets", "metric": "ndcg@10", "value": 0.25},
    "alike/pairs": {"task": "alike", "kind": "sts", "corpus": "pairs", "metric": "spearman", "value": 0.5},
}


def card(backbone, corpora=()):
    cfg = {"encoder": {"backbone": backbone}, "ingest": {"corpora": dict(corpora)}}
    text = front_matter(cfg, "ties", TEST, [{"name": name, **source_of(cfg, name)} for name in dict(corpora)])
    return ModelCard(f"---\n{text}\n---\n\n# A model\n").data  # ModelCard raises where the Hub's own checks would


def test_base_data_and_scores_are_read_by_the_hub_s_own_classes():
    hub = {"source": {"repo": "owner/tickets", "revision": REVISION}}
    found = card({"name": "owner/model", "revision": REVISION}, {"tickets": hub, "pairs": {"source": {"path": "pairs.csv"}}})
    assert (found.base_model, found.base_model_relation, found.datasets) == ("owner/model", "finetune", ["owner/tickets"])
    assert (found.license, found.library_name, found.pipeline_tag) == ("other", "sentence-transformers", "sentence-similarity")
    alike, tickets = found.eval_results
    assert (tickets.task_type, tickets.dataset_type, tickets.dataset_revision) == ("Retrieval", "owner/tickets", REVISION)
    assert (tickets.metric_type, tickets.metric_value, tickets.dataset_split) == ("ndcg@10", 0.25, "test")
    assert (alike.task_type, alike.dataset_type, alike.dataset_revision) == ("STS", "pairs", None)
    assert found.model_name == "ties"


@pytest.mark.parametrize(
    "backbone", [{"package": "some_package"}, {"name": "checkpoints/mine", "revision": None}, {"width": 16}]
)
def test_a_base_that_is_not_of_the_hub_is_no_base_model_there(backbone):
    found = card(backbone)
    assert (found.base_model, found.datasets) == (None, None)


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        ("---\nlicense: apache-2.0\n---\n# A model\n", "apache-2.0"),
        ("---\nlicense: other\nlicense_name: gemma\n---\n", "gemma"),
        ("# No front matter\n---\nlicense: mit\n---\n", "not stated"),
        ("---\nlicense: [\n---\n", "not stated"),
        (None, "not stated"),
    ],
)
def test_the_licence_of_the_base_is_what_its_own_card_states(tmp_path, text, licence):
    if text is not None:
        (tmp_path / "README.md").write_text(text)
    assert licence_of({"name": str(tmp_path), "revision": None}) == licence
    assert licence_of({"width": 16}) == "not stated"


def test_the_source_names_revision_or_path_and_licence():
    hub = {"source": {"repo": "a/b", "revision": REVISION}, "licence": "CC0"}
    cfg = {"ingest": {"corpora": {"hub": hub, "file": {"source": {"path": "data/source/x.csv"}}}}}
    assert source_of(cfg, "hub") == {"repo": "a/b", "revision": REVISION, "from": f"`a/b` at `{REVISION}`", "licence": "CC0"}
    assert source_of(cfg, "file")["from"] == "`data/source/x.csv`"
    assert (source_of(cfg, "gone")["from"], source_of(cfg, "gone")["licence"]) == ("not stated", "not stated")


@pytest.mark.parametrize(
    ("backbone", "told"),
    [
        (
            {"name": "owner/model", "revision": REVISION},
            f"the weights of owner/model at revision {REVISION} (licence: not stated)",
        ),
        ({"name": "folder/here", "revision": None}, "the weights of folder/here (licence: not stated)"),
        ({"package": "no_such_package", "sha256": "0"}, "the weights of no_such_package (licence: not stated)"),
        ({"width": 16, "layers": 2}, "weights drawn at random, trained from scratch here"),
    ],
)
def test_the_card_says_which_weights_a_model_began_with(backbone, told):
    assert began_as(backbone) == told


@pytest.mark.parametrize(
    "backbone", [{"name": "owner/model", "revision": REVISION}, {"package": "some_package"}, {"width": 16}]
)
def test_the_front_matter_keeps_the_rules_that_the_hub_checks(backbone):
    """Those of huggingface.co/docs/hub/model-cards and of its `modelcard.md`, which can be told without asking the Hub."""
    cfg = {
        "encoder": {"backbone": backbone},
        "ingest": {"corpora": {"tickets": {"source": {"repo": "a/b", "revision": REVISION}}}},
    }
    front = yaml.safe_load(front_matter(cfg, "ties", TEST, [{"name": "tickets", **source_of(cfg, "tickets")}]))
    assert front["license"] == "other"
    assert re.fullmatch(r"[a-z0-9-]+", front["license_name"])
    assert front["license_link"]
    assert len(set(front["tags"])) == len(front["tags"])
    assert all(re.fullmatch(r"[\w.-]+/[\w.-]+", name) for name in [*front.get("datasets", []), front.get("base_model", "a/b")])
    assert front.get("base_model_relation", "finetune") in ("adapter", "merge", "quantized", "finetune")
    (model,) = front["model-index"]
    assert model["name"] == "ties"
    for result in model["results"]:
        assert result["task"]["type"]
        assert result["dataset"]["type"]
        assert result["dataset"]["name"]
        for metric in result["metrics"]:
            assert metric["type"]
            assert math.isfinite(metric["value"])
