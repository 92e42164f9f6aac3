import json
import re
import time

import pytest
import yaml

from pipeline.build import load


def test_every_expert_and_method_gets_its_section_and_nothing_is_left_open(finished):
    config = load(finished / "data/config.yaml")
    assert sorted(config["train"]) == ["joint", "retrieval", "sts"]
    assert sorted(config["merge"]) == ["slerp", "soup"]
    assert sorted(config["train"]["joint"]["tasks"]) == ["retrieval", "sts"]
    assert sorted(config["ingest"]["corpora"]) == ["graded", "labels", "questions"]
    text = (finished / "data/config.yaml").read_text()
    assert "${" not in text
    assert "???" not in text


def test_a_value_of_params_yaml_reaches_one_expert_or_all(finished):
    train = load(finished / "data/config.yaml")["train"]
    assert {name: training["steps_per_task"] for name, training in train.items()} == {"joint": 4, "retrieval": 4, "sts": 4}
    assert train["joint"]["tasks"]["sts"]["batch_size"] == 8


MISTAKES = {
    "a misspelt key": (
        {"set": {"mine.max_querys": 5}},
        "params.yaml: set.mine.max_querys: no key 'max_querys' under mine (did you mean 'max_queries'?)",
    ),
    "a misspelt group": ({"choose": {"encodre": "scratch"}}, "choose.encodre: no such group (did you mean 'encoder'?)"),
    "a misspelt choice": ({"choose": {"encoder": "scrach"}}, "no conf/encoder/scrach.yaml (did you mean 'scratch'?)"),
    "a misspelt expert": (
        {"experts": {"retreival": "checkpoints/experts/x"}},
        "no conf/expert/retreival.yaml (did you mean 'retrieval'?)",
    ),
    "a misspelt guard": (
        {"set": {"evaluate.guards": ["grded"]}},
        "evaluate.guards: no corpus 'grded' (did you mean 'graded'?)",
    ),
    "a misspelt method": ({"methods": ["slurp"]}, "no conf/method/slurp.yaml (did you mean 'slerp'?)"),
    "a misspelt source": (
        {"corpora": {"mine": {"source": "tabel", "path": "x"}}},
        "corpora.mine.source: no conf/source/tabel.yaml (did you mean 'table'?)",
    ),
    "a corpus without a source": ({"corpora": {"mine": {"path": "x"}}}, "corpora.mine: expected `source: <name>`"),
    "a path that is not given": ({"corpora": {"mine": {"source": "table"}}}, "path must be given"),
    "no corpus": ({"corpora": {}}, "no corpus: choose an experiment that names some"),
    "a value of another type": ({"set": {"mine.max_queries": "many"}}, "mine.max_queries"),
    "a method whose probe nothing is set aside for": (
        {"methods": ["soup", "self_positioning"], "set": {}},
        "merge.self_positioning tries merges on rows that nothing is trained on: expected curate.probe.rows of at least 256 for each of "
        "its tasks, twice its probe.pairs_per_task, got retrieval 0, sts 0; add `curate.probe.rows: {retrieval: 256, sts: 256}`",
    ),
    "a probe with too few rows of one task": (
        {"methods": ["fisher"], "set": {"merge.probe.pairs_per_task": 10, "curate.probe.rows": {"retrieval": 20, "sts": 19}}},
        "expected curate.probe.rows of at least 20 for each of its tasks, twice its probe.pairs_per_task, got sts 19",
    ),
    "a misspelt derivation": (
        {"derivations": {"white": {"derivation": "whitten", "of": "checkpoints/merged/soup"}}},
        "derivations.white.derivation: no conf/derivation/whitten.yaml (did you mean 'whiten'?)",
    ),
    "a derivation of nothing": (
        {"derivations": {"white": {"derivation": "whiten"}}},
        "derivations.white: expected `derivation: <name>`, one of conf/derivation, and `of: <directory of a model>`; got 'whiten' and None",
    ),
    "a value that a derivation has not": (
        {"derivations": {"white": {"derivation": "whiten", "of": "checkpoints/base", "dim": 8}}},
        "params.yaml: derivations.white.dim: no key 'dim' under the top (did you mean 'dims'?)",
    ),
    "a value that a derivation needs": (
        {"derivations": {"cut": {"derivation": "shallow", "of": "checkpoints/base"}}},
        "params.yaml: derivations.cut: layers must be given",
    ),
    "a derivation of a model that is not made": (
        {"derivations": {"white": {"derivation": "whiten", "of": "checkpoints/merged/soop"}}},
        "derivations.white.of: no model is made in checkpoints/merged/soop (did you mean 'checkpoints/merged/soup'?)",
    ),
    "a derivation of a name": (
        {"derivations": {"white": {"derivation": "whiten", "of": "soup"}}},
        "derivations.white.of: expected a directory, which DVC can follow, got a name; write checkpoints/merged/soup",
    ),
    "a derivation of itself": (
        {"derivations": {"white": {"derivation": "whiten", "of": "checkpoints/derived/white"}}},
        "it comes of itself: checkpoints/derived/white <- checkpoints/derived/white; a derivation is of a model made before it",
    ),
    "derivations in a circle": (
        {
            "derivations": {
                "a": {"derivation": "whiten", "of": "checkpoints/derived/b"},
                "b": {"derivation": "shallow", "of": "checkpoints/derived/a", "layers": 1},
            }
        },
        "derivations.a.of: it comes of itself: checkpoints/derived/a <- checkpoints/derived/b <- checkpoints/derived/a",
    ),
    "a derived model that no derivation makes": (
        {
            "derivations": {"white": {"derivation": "whiten", "of": "checkpoints/base"}},
            "models": {"white": "checkpoints/derived/wite", "base": "checkpoints/base"},
        },
        "params.yaml: models.white: no derivation makes checkpoints/derived/wite (did you mean 'checkpoints/derived/white'?)",
    ),
    "a line too many": ({"sett": {}}, "params.yaml: unknown key sett (did you mean 'set'?)"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_and_no_configuration_is_written(workspace, run, capsys, mistake):
    page, message = MISTAKES[mistake]
    folder = workspace(**page)
    assert run(folder, "compose") == 1
    error = capsys.readouterr().err
    assert error.startswith("\nerror in compose: ")
    assert message in error
    assert sorted(path.name for path in (folder / "data").iterdir()) == ["source"]


# --- told within two seconds of work

HUB = {"experiment": "tiny", "encoder": "hub"}
MODEL = {"encoder.backbone": {"name": "model", "revision": None}}
STATIC = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.StaticEmbedding"}]
AT_ONCE = {
    "an unknown group": (
        {"choose": {"objektive@train.tasks.sts.objective": "cosent"}},
        "no such group (did you mean 'objective'?)",
    ),
    "an unknown name": (
        {"choose": {"objective@train.tasks.sts.objective": "cosin"}},
        "objective/cosin.yaml (did you mean 'cosent'?)",
    ),
    "an unknown place": (
        {"choose": {"experiment": "tiny", "encoder": "scratch", "filter@curate.filtrs.x": "length"}},
        "no key 'filtrs' under curate (did you mean 'filters'?); filter stands at curate.filters.identical",
    ),
    "an unknown kind of task": (
        {"corpora": {"mine": {"source": "table", "path": "x", "task": "legal", "kind": "retreival"}}},
        "corpora.mine: task 'legal': 'retreival' is no kind of task (did you mean 'retrieval'?)",
    ),
    "a training of a corpus that is not there": (
        {"set": {"pretrain.phases.weak.corpora": ["lables"]}},
        "pretrain.phases.weak.corpora: no corpus 'lables' (did you mean 'labels'?); expected some of graded, labels, questions",
    ),
    "a model with code of its own": (
        {"choose": HUB, "set": MODEL},
        "encoder.backbone.name: model/config.json: auto_map names code of the model's own (AutoModel), which is not run",
    ),
    "a pooling of a model that pools nothing": (
        {"choose": HUB | {"pooling": "mean"}, "set": MODEL},
        "encoder.pooling replaces the pooling of a model, and model has 0 (sentence_transformers.models.StaticEmbedding)",
    ),
    "an audit of chains for texts": (
        {"choose": {"experiment": "tiny", "encoder": "scratch", "audit": "chains"}},
        "curate.audit: a page has one split and one audit, and this audit looks for leaks in residues alone, but corpora have rows of "
        "retrieval prose, sts prose, weak prose",
    ),
    "an unknown pooling": (
        {"choose": HUB | {"pooling": "lst"}, "set": MODEL},
        "no conf/pooling/lst.yaml (did you mean 'last'?)",
    ),
    "an unknown mode of pooling": (
        {"choose": HUB | {"pooling": "mean"}, "set": MODEL | {"encoder.pooling.mode": "lastoken"}},
        "encoder.pooling.mode: expected Literal",
        "(did you mean 'lasttoken'?)",
    ),
}


@pytest.mark.parametrize("mistake", AT_ONCE)
def test_a_mistake_is_told_within_two_seconds_with_the_nearest_name(workspace, run, capsys, mistake):
    page, *words = AT_ONCE[mistake]
    folder = workspace(**page)
    (folder / "model").mkdir()
    (folder / "model/modules.json").write_text(json.dumps(STATIC))
    config = {"auto_map": {"AutoModel": "owner/code--modeling.Model"}} if mistake == "a model with code of its own" else {}
    (folder / "model/config.json").write_text(json.dumps(config))
    begun = time.process_time()  # seconds of work, whatever else the machine does
    assert run(folder, "compose") == 1
    seconds = time.process_time() - begun
    error = capsys.readouterr().err
    assert re.search(".*".join(map(re.escape, words)), error), error
    assert seconds < 2.0


def test_a_corpus_that_no_experiment_knows_is_named(workspace, run, capsys):
    folder = workspace()
    (folder / "conf/experiment/tiny.yaml").write_text("# @package _global_\ncorpora: [scifcat]\n")
    assert run(folder, "compose") == 1
    assert "no conf/corpus/scifcat.yaml (did you mean 'scifact'?)" in capsys.readouterr().err


def test_a_stage_before_compose_says_what_to_run(workspace, run, capsys):
    assert run(workspace(), "ingest") == 1
    assert "data/config.yaml is missing; run `python -m pipeline compose`" in capsys.readouterr().err


def test_params_yaml_that_is_no_yaml_is_told(workspace, run, capsys):
    folder = workspace()
    (folder / "params.yaml").write_text("choose: {")
    assert run(folder, "compose") == 1
    assert "params.yaml is not valid YAML" in capsys.readouterr().err


def test_a_derivation_takes_the_values_of_its_line_and_the_seed_of_the_run(workspace, run):
    line = {"derivation": "whiten", "of": "checkpoints/derived/cut", "dims": 8}
    cut = {"derivation": "shallow", "of": "checkpoints/merged/soup", "layers": 1}
    folder = workspace(derivations={"white": line, "cut": cut}, set={"seed": 7})
    assert run(folder, "compose") == 0
    derive = load(folder / "data/config.yaml")["derive"]
    assert derive["white"]["of"] == "checkpoints/derived/cut"
    assert derive["white"]["derivation"].items() >= {"dims": 8, "seed": 7, "texts": 10000}.items()
    assert derive["cut"]["derivation"] == {"_target_": "pipeline.derivation.shallow.Shallow", "layers": 1, "dims": None}


def test_the_configuration_holds_what_params_yaml_says_of_paths(finished):
    page = yaml.safe_load((finished / "params.yaml").read_text())
    config = load(finished / "data/config.yaml")
    assert config["experts"] == page["experts"]
    assert config["models"] == page["models"]
