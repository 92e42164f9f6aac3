import csv

import pytest
from safetensors.torch import load_file


def test_the_backbone_is_kept_as_it_came_and_the_base_has_learned(finished):
    backbone = load_file(finished / "checkpoints/backbone/model.safetensors")
    base = load_file(finished / "checkpoints/base/model.safetensors")
    assert backbone.keys() == base.keys()
    assert not any(backbone[key].equal(base[key]) for key in base if "encoder.layer.0.attention.self.query" in key)
    assert (finished / "checkpoints/backbone/tokenizer.json").read_bytes() == (
        finished / "checkpoints/base/tokenizer.json"
    ).read_bytes()


def test_the_curve_has_a_point_for_every_step_of_every_phase(finished):
    with (finished / "data/metrics/pretrain.csv").open() as lines:
        points = list(csv.DictReader(lines))
    assert [(point["phase"], point["step"]) for point in points] == [("weak", "0"), ("weak", "1"), ("weak", "2")]
    assert all(float(point["loss"]) == float(point["loss/weak"]) > 0 for point in points)


def test_without_phases_the_base_is_the_backbone(finished, copied, run):
    folder = copied("data/curated", "data/config.yaml", pretrain={"phases": {}})
    assert run(folder, "pretrain") == 0
    base, backbone = (folder / f"checkpoints/{name}/model.safetensors" for name in ("base", "backbone"))
    assert base.read_bytes() == backbone.read_bytes() == (finished / "checkpoints/backbone/model.safetensors").read_bytes()


def test_a_task_without_rows_is_told_and_leaves_no_base(copied, run, capsys, finished):
    from pipeline.corpus.files import write
    from pipeline.corpus.row import Row

    folder = copied("data/curated", "data/config.yaml")
    write(folder / "data/curated/labels/train.parquet", Row, [])
    assert run(folder, "pretrain") == 1
    assert "task weak: a batch of 8 needs" in capsys.readouterr().err
    assert not (folder / "checkpoints/base").exists()
    assert list(folder.rglob("*.partial")) == []


PHASES = """# @package _global_
defaults:
  - /phase@pretrain.phases.pairs: peg_pairs
  - /phase@pretrain.phases.hard: peg_hard
  - _self_
corpora: []
"""
SMALL = {
    "pairs": {"steps_per_task": 3, "tasks.weak.batch_size": 16},
    "hard": {"steps_per_task": 4, "tasks.retrieval.batch_size": 8, "mine.max_queries": None, "mine.miner.max_ratio": 1.0},
}


@pytest.fixture
def peg(workspace, run):
    """A workspace of two phases, curated: pairs first, then hard negatives that the first phase's model finds."""
    import yaml

    folder = workspace()
    (folder / "conf/experiment/tiny.yaml").write_text(PHASES, encoding="utf-8")
    page = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    del page["set"]["pretrain.phases.weak"]
    page["set"]["pretrain"] = {"phases": SMALL}
    (folder / "params.yaml").write_text(yaml.safe_dump(page), encoding="utf-8")
    for stage in ("compose", "ingest", "curate"):
        assert run(folder, stage) == 0
    return folder


def test_phases_run_in_their_order_and_a_stopped_one_begins_at_the_last_boundary(peg, run, monkeypatch):
    import pipeline.training.curated as stage

    fit, begun = stage.fit, []

    def stopping(*arguments, name, **named):
        begun.append(name)
        if name == "pretrain-hard" and len(begun) == 2:
            raise ValueError("stopped")
        return fit(*arguments, name=name, **named)

    monkeypatch.setattr(stage, "fit", stopping)
    assert run(peg, "pretrain") == 1
    assert not (peg / "checkpoints/base").exists()
    assert run(peg, "pretrain") == 0
    assert begun == ["pretrain-pairs", "pretrain-hard", "pretrain-hard"]
    stopped = [(peg / file).read_bytes() for file in ("checkpoints/base/model.safetensors", "data/metrics/pretrain.csv")]
    assert list((peg / "data/runs").iterdir()) == []
    assert run(peg, "pretrain") == 0
    assert begun[3:] == ["pretrain-pairs", "pretrain-hard"]
    assert stopped == [
        (peg / file).read_bytes() for file in ("checkpoints/base/model.safetensors", "data/metrics/pretrain.csv")
    ]


def test_the_backbone_keeps_its_own_pooling_prompts_and_length_whatever_the_page_chooses(finished, copied, run):
    """What is compared with is the model off the shelf, not it under the page's settings."""
    from sentence_transformers import SentenceTransformer

    shelf = finished / "checkpoints/backbone"
    chosen = {
        "backbone": {
            "_target_": "pipeline.encoder.pretrained.NamedBackbone",
            "name": str(shelf),
            "revision": None,
            "causal": None,
        },
        "pooling": {"_target_": "pipeline.pooling.standard.standard", "mode": "cls"},
        "prompts": {"pooled": True, "texts": {"retrieval": {"query": "asked: "}}},
        "max_length_tokens": 9,
    }
    folder = copied("data/curated", "data/config.yaml", drop=("encoder", "backbone"), encoder=chosen, pretrain={"phases": {}})
    assert run(folder, "pretrain") == 0
    text = ["How do I clean the lamp in the kitchen, and how do I sell the kettle of the garden?"]
    vectors = {
        name: SentenceTransformer(str(place), device="cpu").encode(text, show_progress_bar=False)
        for name, place in (("shelf", shelf), *((name, folder / f"checkpoints/{name}") for name in ("backbone", "base")))
    }
    assert (vectors["backbone"] == vectors["shelf"]).all()
    assert abs(vectors["base"] - vectors["shelf"]).max() > 1e-3
    backbone, base = (SentenceTransformer(str(folder / f"checkpoints/{name}"), device="cpu") for name in ("backbone", "base"))
    assert (backbone.max_seq_length, base.max_seq_length) == (SentenceTransformer(str(shelf)).max_seq_length, 9)
    assert (backbone.prompts.get("retrieval_query"), base.prompts["retrieval_query"]) == (None, "asked: ")
