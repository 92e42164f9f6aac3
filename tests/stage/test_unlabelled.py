"""`choose.experiment=unlabelled`: a folder of texts and nothing else, through every stage to scores of base and backbone."""

import json

from safetensors.torch import load_file

from pipeline.build import load

CORPORA = {"texts": {"source": "texts", "path": "data/source/texts"}}
THINGS, PLACES = ("lamp", "table", "window", "carpet", "kettle", "shelf"), ("kitchen", "garden", "cellar", "attic")
DEEDS = {"clean": "Wipe it with a damp cloth", "repair": "Replace the broken part", "sell": "Ask a fair price for it"}
ENCODER = {"backbone": {"vocabulary": 200, "width": 16, "layers": 1, "intermediate": 32}, "max_length_tokens": 32}
MODELS = {name: f"checkpoints/{name}" for name in ("backbone", "base")} | {"retrieval": "checkpoints/experts/retrieval"}


def test_texts_alone_make_a_base_an_expert_and_their_scores(workspace, run, capsys):
    folder = workspace(
        choose={"experiment": "unlabelled", "encoder": "scratch"}, corpora=CORPORA, methods=[], baselines=["bm25"], models=MODELS,
        experts={"retrieval": "checkpoints/experts/retrieval"},
        set={
            "near.threshold": 1.0, "encoder": ENCODER, "evaluate.resamples": 50,
            "mine.miner": {"max_ratio": 1.0},  # random weights find all texts alike
            "pretrain.phases.reading_back": {"steps": 3, "fit.batch_size": 8},
            "pretrain.phases.own_text": {"steps_per_task": 3, "tasks.retrieval.batch_size": 8},
            "train": {"steps_per_task": 3, "retrieval.tasks.retrieval.batch_size": 8},
            "runtime": {"accelerator": "cpu", "threads": 1, "tracker": "disabled", "mirror": None},
        },
    )  # fmt: skip
    texts = folder / "data/source/texts"
    texts.mkdir()
    for thing in THINGS:
        notes = [
            f"How to {deed} the {thing} of the {place}. {how}, the {thing} of a {place} needs it."
            for place in PLACES
            for deed, how in DEEDS.items()
        ]
        (texts / f"{thing}.md").write_text("\n\n".join(notes) + "\n", encoding="utf-8")
    for words in (
        "compose",
        "ingest",
        "curate",
        "pretrain",
        "mine",
        "train retrieval",
        "evaluate backbone",
        "evaluate base",
        "evaluate retrieval",
    ):
        assert run(folder, *words.split()) == 0, (words, capsys.readouterr().err[-2000:])
    assert json.loads((folder / "data/raw/texts/card.json").read_text())["rows"] == {"retrieval": 72}
    assert sorted(load(folder / "data/config.yaml")["pretrain"]["phases"]) == ["own_text", "reading_back"]
    weights = {name: load_file(folder / place / "model.safetensors") for name, place in MODELS.items()}
    name = "encoder.layer.0.attention.self.query.weight"
    assert len({weights[model][name].numpy().tobytes() for model in MODELS}) == 3  # each step has learned something
    assert set(weights["base"]) == set(weights["backbone"])  # what answered is gone
    curve = (folder / "data/metrics/pretrain.csv").read_text()
    assert curve.count("reading_back") == 3 + 1  # with its column
    for model in MODELS:
        assert json.loads((folder / f"data/metrics/evaluate/{model}.json").read_text())
