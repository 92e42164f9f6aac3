"""The page of the protein experiment, from base to report, on made complexes: pKd follows from the letters of the two sides."""

import random
import re
import shutil
from dataclasses import replace

import pytest
import torch
import yaml
from safetensors.torch import load_file

from pipeline.checkpoint import read_json, write_json
from pipeline.corpus.collection import collections
from pipeline.corpus.files import Dropped, write
from pipeline.corpus.row import Document, Row

STAGES = (
    *(("pretrain",), ("mine",)),
    *(("train", name) for name in ("ec", "sc", "hp", "pad", "hp_random")),
    *(("evaluate", name) for name in ("ec", "sc", "hp", "pad", "hp_random")),
    *(("baseline", "length"), ("baseline", "nearest"), ("final",), ("stress",), ("report",)),
)
SET = {
    "seed": 0,
    "encoder": {"backbone": {"width": 16, "layers": 1, "heads": 2, "intermediate": 32}, "max_length_tokens": 64},
    "pretrain.phases.masking": {"fit.batch_size": 8, "steps": 3, "max_length_tokens": 64, "chunk_tokens": 256},
    "train": {"max_length_tokens": 64, "chunk_tokens": 256, "warmup": 0.1, "steps_per_task": 6, "optimizer": {"lr": 0.01}},
    "train.tasks.affinity.batch_size": 8,
    "train.affinity.look": {"every_steps": 3, "complexes": 8},
    "evaluate": {"resamples": 50, "evaluators.affinity.least": 4},
    "final": {"resamples": 50},
    "runtime": {"accelerator": "cpu", "threads": 1, "tracker": "disabled", "mirror": None},
}


def complexes():
    draw = random.Random(0)
    rows = []
    for i in range(48):
        ligand, receptor = ("".join(draw.choices("ACDEFGHIKLMNPQRSTVWY", k=draw.randint(8, 20))) for _ in range(2))
        ligand = f"{ligand}:{ligand[::-1][:8]}" if i % 3 == 0 else ligand
        pkd = 5 + 10 * (ligand.count("W") / len(ligand) + receptor.count("K") / len(receptor))
        strata = f"mutated={'yes' if i % 2 else 'no'};source={'ABC'[i % 3]}"
        rows.append(Row("affinity", f"l{i}", ligand, f"r{i}", receptor, score=pkd, group=f"{i}abc", strata=strata))
    return rows


def deal(folder, rows):
    folder.mkdir(parents=True)
    for name, part in (("train", rows[:24]), ("validation", rows[24:36]), ("test", rows[36:])):
        write(folder / f"{name}.parquet", Row, [replace(row, split=name) for row in part])


@pytest.fixture(scope="module")
def ready(root, tmp_path_factory):
    """The protein page, composed, with curated complexes and their random deal."""
    folder = tmp_path_factory.mktemp("proteins") / "workspace"
    shutil.copytree(root / "conf", folder / "conf")
    shutil.copy(root / "constraints.txt", folder)
    page = yaml.safe_load((root / "conf/page/ppb_affinity.yaml").read_text(encoding="utf-8"))
    keep = ("ec", "sc", "hp", "pad", "hp_random")
    page |= {"set": SET} | {part: {name: page[part][name] for name in keep} for part in ("experts", "models")}
    (folder / "params.yaml").write_text(yaml.safe_dump(page, sort_keys=False), encoding="utf-8")
    rows, curated = complexes(), folder / "data/curated/ppb_affinity"
    deal(curated, rows)
    deal(curated / "controls/random", rows[::-1])
    write(curated / "documents.parquet", Document, [])
    write(curated / "dropped.parquet", Dropped, [])
    kept = {"train": 24, "validation": 12, "test": 12}
    card = {
        "raw": {"rows": {"affinity": 48}, "rejected": 0, "documents": 0},
        "kept": {f"{split}/affinity": number for split, number in kept.items()},
        "probe": {},
        "splits": kept,
        "dropped": {},
        "funnel": [["read", 48]],
    }
    card |= {"clusters": {}, "similarity": [], "leakage": {}, "controls": {}}
    write_json(curated / "card.json", card)
    return folder


@pytest.fixture(scope="module")
def proteins(ready, run):
    assert run(ready, "compose") == 0
    for words in STAGES:
        assert run(ready, *words) == 0, words
    return ready


def scores(folder, model):
    return read_json(folder / f"data/metrics/evaluate/{model}.json")["test"]


def test_each_model_is_evaluated_on_the_deal_it_learned_from_and_baselines_on_both(proteins):
    own, control = "affinity/ppb_affinity", "affinity/ppb_affinity@random"
    for model in ("ec", "sc", "hp", "pad"):
        assert list(scores(proteins, model)) == [own]
        score = scores(proteins, model)[own]
        assert (score["metric"], score["others"].keys()) == ("spearman", {"pearson", "rmse", "shuffled"})
        assert "strata" in score
    assert list(scores(proteins, "hp_random")) == [control]
    for baseline in ("length", "nearest"):
        assert sorted(scores(proteins, baseline)) == [own, control]
    items = read_json(proteins / "data/evaluated/hp_random.json")["test"][control]
    rows = collections(proteins / "data/curated", "ppb_affinity", "test", deal="random")[0]
    assert items["id"] == [pair[0] for pair in rows.pairs]


def test_a_frozen_backbone_is_handed_on_as_it_was_and_computed_once_for_each_way_to_read(proteins):
    base = (proteins / "checkpoints/base/model.safetensors").read_bytes()
    backbone = load_file(proteins / "checkpoints/backbone/model.safetensors")
    assert any(
        not value.equal(backbone[name]) for name, value in load_file(proteins / "checkpoints/base/model.safetensors").items()
    )
    for expert in ("experts/ec", "experts/sc", "experts/hp", "experts/pad", "controls/hp_random"):
        assert (proteins / f"checkpoints/{expert}/model.safetensors").read_bytes() == base
    assert len(list(proteins.glob("data/tokens/*/*.safetensors"))) == 3  # sides, chains, whole complexes
    assert list((proteins / "data/runs").iterdir()) == []


def test_another_start_gives_the_same_bytes(proteins, run, tmp_path):
    folder = tmp_path / "again"
    for part in ("conf", "data/curated", "data/mined", "data/config.yaml", "checkpoints/base", "constraints.txt"):
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (proteins / part).is_dir() else shutil.copy)(proteins / part, folder / part)
    assert run(folder, "train", "hp") == 0
    for name in ("architecture.safetensors", "architecture.yaml", "model.safetensors", "provenance.json"):
        file = f"checkpoints/experts/hp/{name}"
        assert (folder / file).read_bytes() == (proteins / file).read_bytes(), name


def test_the_report_tells_the_price_of_leakage_and_draws_predictions(proteins):
    page = (proteins / "data/report/index.html").read_text(encoding="utf-8")
    assert "price of leakage" in page
    assert "predicted = measured" in page
    assert re.search(r"RMSE \d+\.\d\d pKd", page)
    assert "mutated=yes" in page
    plain = (proteins / "data/report/report.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| -?\d\.\d{3} \[.*\] \| .* \| [+-]\d\.\d{3} \[.*\] \|", plain, flags=re.MULTILINE)
    assert rows == ["hp", "length", "nearest"]  # the others have no control on this page
    assert "Merges against" not in page
    chosen = read_json(proteins / "checkpoints/final/chosen.json")["model"]
    assert (proteins / "checkpoints/final/architecture.safetensors").is_file()
    assert chosen in ("ec", "sc", "hp", "pad")
    assert "AffinityModel.load" in (proteins / "checkpoints/final/README.md").read_text(encoding="utf-8")


def test_experts_that_started_alike_merge_and_others_are_told(proteins, run, tmp_path, capsys):
    folder = tmp_path / "merging"
    for part in ("conf", "data/curated", "checkpoints/base", "constraints.txt"):
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (proteins / part).is_dir() else shutil.copy)(proteins / part, folder / part)
    (folder / "data/mined").mkdir()
    page = yaml.safe_load((proteins / "params.yaml").read_text(encoding="utf-8"))
    page |= {"methods": ["soup"], "experts": {name: f"checkpoints/experts/{name}" for name in ("hp", "hp_2")}, "baselines": []}
    page["models"] = {"soup": "checkpoints/merged/soup", **page["experts"]}
    page["set"] = {key: value for key, value in page["set"].items() if key != "final"}
    (folder / "params.yaml").write_text(yaml.safe_dump(page, sort_keys=False), encoding="utf-8")
    for words in (("compose",), ("train", "hp"), ("train", "hp_2"), ("merge", "soup"), ("evaluate", "soup")):
        assert run(folder, *words) == 0, words
    merged, one, other = (
        load_file(folder / f"checkpoints/{name}/architecture.safetensors")
        for name in ("merged/soup", "experts/hp", "experts/hp_2")
    )
    assert any(not one[name].equal(other[name]) for name in one)
    for name, value in merged.items():
        torch.testing.assert_close(value, (one[name] + other[name]) / 2, atol=1e-6, rtol=1e-5)
    assert "affinity/ppb_affinity" in scores(folder, "soup")
    shutil.copytree(proteins / "checkpoints/experts/ec", folder / "checkpoints/ec")
    capsys.readouterr()
    experts = [word for name in ("experts/hp", "ec") for word in ("--expert", f"checkpoints/{name}")]
    assert run(folder, "merge", "--base", "checkpoints/base", *experts, "merging=soup", "out=nothing") == 1
    assert re.search(r"architecture is .*merge experts of one architecture", capsys.readouterr().err)
    assert not (folder / "nothing").exists()


def test_the_lists_of_text_are_told_with_the_command_that_mends_them(root, ready, run, tmp_path, capsys):
    folder = tmp_path / "mixed"
    shutil.copytree(ready / "conf", folder / "conf")
    page = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    page["choose"]["experiment"] = "ppb_affinity"
    (folder / "params.yaml").write_text(yaml.safe_dump(page, sort_keys=False), encoding="utf-8")
    assert run(folder, "compose") == 1
    told = capsys.readouterr().err
    assert "`experts` lists retrieval, sts, joint" in told
    assert told.splitlines()[-1] == "cp conf/page/ppb_affinity.yaml params.yaml && dvc repro"
    assert not (folder / "data").exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"train.hp.control": "randm"},
            r"train.hp.control: expected a name under curate.controls \(paper, random\).*got 'randm'",
        ),
        ({"train.hp.affinity": None}, r"train\.hp\.affinity: .* got None"),
        (
            {"train.hp.fit._target_": "pipeline.training.curated.Contrastive"},
            r"unknown key train\.hp\.control; keys there: fit, .*unknown key train\.hp\.affinity|unknown key train\.hp\.affinity",
        ),
        (
            {"train.hp.fit._target_": "pipeline.pretext.masked.Masked"},
            r"train\.hp\.fit: expected what trains experts, but pipeline\.pretext\.masked\.Masked trains phases only",
        ),
        ({"train.hp.affinity.bakbone": "frozen"}, r"no key 'bakbone' under train\.affinity \(did you mean 'backbone'"),
    ],
)
def test_what_a_section_cannot_ask_for_is_told_by_compose(ready, run, tmp_path, capsys, values, message):
    folder = tmp_path / "wrong"
    shutil.copytree(ready / "conf", folder / "conf")
    shutil.copy(ready / "constraints.txt", folder)
    page = yaml.safe_load((ready / "params.yaml").read_text(encoding="utf-8"))
    page["set"] = page["set"] | values
    (folder / "params.yaml").write_text(yaml.safe_dump(page, sort_keys=False), encoding="utf-8")
    assert run(folder, "compose") == 1
    assert re.search(message, capsys.readouterr().err)
