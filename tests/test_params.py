"""params.yaml and conf/ to data/config.yaml, in a copy of the catalogue; every mistake is a ValueError that says where and what."""

import copy
import re
import shutil
from pathlib import Path

import hydra
import pytest
import yaml

from pipeline.build import build, check_node, load, nodes, signature
from pipeline.choice import LISTS
from pipeline.derivable import check_controls, check_derivations, check_derived_of_complexes
from pipeline.params import compose_config, flat, read_page
from pipeline.sweeping import hydra_overrides, sweep_config
from pipeline.task import KINDS
from pipeline.trainable import check_trainings

ROOT = Path(__file__).parents[1]

SMALL = {  # one corpus, no items: composed in a moment
    "choose": {"experiment": "own"},
    "corpora": {"tickets": {"source": "table", "path": "tickets.jsonl"}},
    "experts": {},
    "methods": [],
    "derivations": {},
    "baselines": [],
    "models": {},
    "set": {},
}
TWO_EXPERTS = {"retrieval": "checkpoints/experts/retrieval", "sts": "checkpoints/experts/sts"}
ALL_THREE = TWO_EXPERTS | {"joint": "checkpoints/controls/joint"}
OWN = {"experiment": "own"}


@pytest.fixture(autouse=True)
def workspace(root, tmp_path, monkeypatch):
    shutil.copytree(root / "conf", tmp_path / "conf")
    shutil.copy(root / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def composed_anew(workspace):
    def composed(**changes):
        (workspace / "params.yaml").write_text(yaml.safe_dump(SMALL | changes))
        return compose_config(read_page())

    return composed


@pytest.fixture
def composed(composed_anew, remembered, monkeypatch):
    """As `composed_anew`, for tests that leave the catalogue as it is: Hydra composes equal choices once."""
    monkeypatch.setattr("pipeline.params.compose", remembered)
    monkeypatch.setattr("pipeline.choice.compose", remembered)
    return composed_anew


@pytest.fixture(scope="module")
def remembered():
    found = {}

    def compose(name, overrides=(), **how):
        key = (name, *overrides, *how)
        if key not in found:
            found[key] = hydra.compose(name, overrides=list(overrides), **how)
        return copy.deepcopy(found[key])

    return compose


def edit(file, old, new):
    text = file.read_text()
    assert text.count(old) == 1, f"{file} holds {old!r} {text.count(old)} times"
    file.write_text(text.replace(old, new))


def refuses(*words):
    """`pytest.raises` of a ValueError whose message holds ``words`` in this order."""
    return pytest.raises(ValueError, match="(?s)" + ".*".join(map(re.escape, words)))


def test_the_page_of_the_repository_composes():
    page = read_page()
    config = compose_config(page)
    assert sorted(config["train"]) == sorted(page.experts)
    assert sorted(config["merge"]) == sorted(page.methods)
    assert config["models"] == page.models
    assert "${" not in yaml.safe_dump(config)
    assert "???" not in yaml.safe_dump(config)


def test_composing_twice_gives_the_same(composed):
    assert composed() == composed()


# --- `set`


def test_a_value_of_train_that_names_no_expert_holds_for_every_expert(composed):
    train = composed(experts=TWO_EXPERTS, set={"train.steps_per_task": 5})["train"]
    assert [train[name]["steps_per_task"] for name in TWO_EXPERTS] == [5, 5]


def test_a_value_of_one_expert_leaves_the_others_alone(composed):
    before = composed(experts=TWO_EXPERTS)["train"]
    after = composed(experts=TWO_EXPERTS, set={"train": {"sts": {"steps_per_task": 5}}})["train"]
    assert after["retrieval"] == before["retrieval"]
    assert after["sts"] == before["sts"] | {"steps_per_task": 5}
    assert before["sts"]["steps_per_task"] != 5


def test_a_value_of_one_merge_method_leaves_the_others_alone(composed):
    merge = composed(methods=["soup", "slerp"], set={"merge.slerp.method.norm": 0.5})["merge"]
    assert merge["slerp"]["method"]["norm"] == 0.5
    assert merge["soup"]["method"] == {"_target_": "pipeline.merging.soup.Soup", "weights": []}


def test_a_root_value_reaches_every_section_that_interpolates_it(composed):
    config = composed(experts=TWO_EXPERTS, set={"seed": 7, "pace.quick.steps": 9})
    assert config["seed"] == 7
    assert config["curate"]["split"]["seed"] == 7
    assert [train["max_steps_per_task"] for train in config["train"].values()] == [9, 9]


def test_an_empty_mapping_empties_its_place(composed):
    choose = {"experiment": "apidocs"}
    assert composed(choose=choose)["pretrain"]["phases"]
    assert composed(choose=choose, set={"pretrain.phases": {}})["pretrain"]["phases"] == {}


def test_a_value_that_is_given_fills_a_missing_one(composed):
    values = {"encoder.backbone.name": "a/model", "encoder.backbone.revision": "0" * 40}
    config = composed(choose={"experiment": "own", "encoder": "hub"}, experts={"sts": "checkpoints/experts/sts"}, set=values)
    assert config["encoder"]["backbone"]["name"] == "a/model"
    assert config["encoder"]["backbone"]["revision"] == "0" * 40


def test_a_missing_value_that_is_not_given_is_named(composed):
    with refuses("params.yaml", "encoder.backbone.name must be given"):
        composed(choose={"experiment": "own", "encoder": "hub"})
    with refuses("params.yaml: corpora.tickets: path must be given"):
        composed(corpora={"tickets": {"source": "table"}})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"evaluate.resample": 5}, ("params.yaml: set.evaluate.resample", "did you mean 'resamples'?", "confidence")),
        ({"evaluat": {"resamples": 5}}, ("set.evaluat.resamples", "under the top", "did you mean 'evaluate'?", "curate")),
        ({"train.step_per_task": 5}, ("set.train.step_per_task", "did you mean 'steps_per_task'?", "warmup")),
        ({"train.stss.steps_per_task": 5}, ("set.train.stss.steps_per_task", "did you mean 'sts'?", "retrieval, sts")),
        ({"train.sts.tasks.sts.batchsize": 8}, ("'batchsize' under train.tasks.sts", "did you mean 'batch_size'?")),
        ({"train.sts": 5}, ("train.sts", "expected lines of `name: value`", "got 5")),
        ({"train.sts.steps_per_task": "5"}, ("train.sts.steps_per_task", "expected a whole number", "got '5'")),
        ({"train.sts.optimizer.lr": "fast"}, ("train.sts.optimizer.lr", "expected float", "got 'fast'")),
        ({"train.precision": "16"}, ("train.retrieval.precision", "'32-true'", "got '16'")),
    ],
)
def test_a_mistake_in_set_is_refused_by_place_with_what_was_expected(composed, values, words):
    with refuses(*words):
        composed(experts=TWO_EXPERTS, set=values)


def test_a_value_of_train_without_any_expert_is_refused(composed):
    with refuses("set.train.steps_per_task", "train has no items", "experts"):
        composed(set={"train.steps_per_task": 5})


def test_a_number_out_of_range_is_refused(composed):
    with refuses("data/config.yaml: final.confidence", "less than 1", "got 95"):
        composed(set={"final.confidence": 95})


# --- the page


def test_an_unknown_key_at_the_top_of_the_page_is_refused_with_the_nearest(composed):
    with refuses("params.yaml: unknown key expert", "did you mean 'experts'?", "choose, corpora, experts"):
        composed(expert=TWO_EXPERTS)


def test_a_key_the_page_lacks_is_named(workspace):
    (workspace / "params.yaml").write_text("choose: {}\n")
    with refuses("params.yaml: corpora is missing", "params.yaml: set is missing"):
        read_page()


@pytest.mark.parametrize(("text", "words"), [("[1, 2]", ("params.yaml", "got [1, 2]")), ("choose: [", ("is not valid YAML",))])
def test_a_page_that_is_no_page_is_refused(workspace, text, words):
    (workspace / "params.yaml").write_text(text)
    with refuses(*words):
        read_page()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"choose": {"encoder": "minilmm"}}, ("choose.encoder", "minilmm.yaml", "did you mean 'minilm'?", "hub, minilm")),
        ({"choose": {"poling": "mean"}}, ("choose.poling: no such group", "did you mean 'pooling'?", "encoder", "experiment")),
        ({"methods": ["soop"]}, ("params.yaml: methods", "did you mean 'soup'?", "slerp, soup")),
        ({"experts": {"retrival": "checkpoints/experts/x"}}, ("params.yaml: experts", "did you mean 'retrieval'?", "sts")),
        ({"methods": "soup"}, ("params.yaml: methods", "expected a list", "got 'soup'")),
        ({"corpora": {"apidoc": {}}}, ("corpora: no conf/corpus/apidoc.yaml", "did you mean 'apidocs'?")),
        ({"corpora": {"t": {"source": "tabel"}}}, ("corpora.t.source", "tabel.yaml", "did you mean 'table'?", "beir")),
        ({"corpora": {"t": {"path": "x"}}}, ("corpora.t: expected `source: <name>`", "got None")),
        ({"corpora": {"t": {"source": "table", "pth": "x"}}}, ("corpora.t.pth: no key 'pth'", "did you mean 'path'?")),
        ({"corpora": {"t": {"source": "table", "path": "x", "columns": {"querry": "q"}}}}, ("querry", "did you mean 'query'?")),
        ({"corpora": {"t": {"source": "table", "path": 5}}}, ("corpora.t.source.path", "expected str", "got 5")),
        ({"corpora": {"t": {"source": "table", "path": "x", "columns": 5}}}, ("t.source.columns", "expected Mapping", "got 5")),
        ({"corpora": {}}, ("no corpus", "corpora:")),
    ],
)
def test_a_mistake_on_the_page_is_refused_with_what_there_is(composed, changes, words):
    with refuses(*words):
        composed(**changes)


@pytest.mark.parametrize("role", ["strata", "marks"])
def test_a_mapping_that_the_catalogue_leaves_empty_is_filled_under_own_names(composed, role):
    filled = {"kind": "column"} if role == "strata" else {"kind": {"column": "c", "word": "w"}}
    source = composed(choose=OWN | {"audit": "chains"}, corpora={"t": {"source": "complexes", "path": "x", role: filled}})[
        "ingest"
    ]["corpora"]["t"]["source"]
    assert source[role] == filled


def test_own_prompts_are_set_where_the_catalogue_has_none(composed):
    texts = {"retrieval": {"query": "q: ", "document": "d: "}}
    assert composed(set={"encoder.prompts.texts": texts})["encoder"]["prompts"]["texts"] == texts


def test_a_corpus_of_the_experiment_that_the_catalogue_lacks_is_refused(composed_anew, workspace):
    edit(workspace / "conf/experiment/apidocs.yaml", "corpora: [apidocs]", "corpora: [apidoks]")
    with refuses("corpora: no conf/corpus/apidoks.yaml", "did you mean 'apidocs'?"):
        composed_anew(choose={"experiment": "apidocs"}, corpora={})


def test_a_line_under_corpora_becomes_a_source_node(composed, workspace):
    line = {"source": "table", "path": "data/source/tickets.jsonl", "columns": {"query": "question", "document": "answer"}}
    corpora = composed(corpora={"tickets": line})["ingest"]["corpora"]
    expected = yaml.safe_load((workspace / "conf/source/table.yaml").read_text())
    expected |= {"path": "data/source/tickets.jsonl"}
    expected["columns"] |= {"query": "question", "document": "answer"}
    assert corpora == {"tickets": {"source": expected, "mirror": None}}
    assert expected["_target_"] == "pipeline.source.table.Table"


def test_a_line_without_a_source_names_a_corpus_of_the_catalogue(composed):
    corpora = composed(corpora={"apidocs": {}})["ingest"]["corpora"]
    assert corpora["apidocs"]["source"]["_target_"] == "pipeline.source.apidocs.ApiDocs"


# --- the catalogue


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("curate", "lowercase:", "lowercse:", ("curate.normal.lowercse", "takes no", "did you mean 'lowercase'?")),
        (
            "dedup/_near",
            "_target_",
            "_traget_",
            ("data/config.yaml: curate.dedup", "expected `_target_", "did you mean '_traget_'?"),
        ),
        ("curate", "contamination: text", "contamination: txt", ("curate.contamination", "'text'", "got 'txt'")),
        ("curate", "contamination:", "contaminaton:", ("unknown key curate.contaminaton", "did you mean 'contamination'?")),
    ],
)
def test_a_mistake_in_the_catalogue_is_refused_with_its_place(composed_anew, workspace, file, old, new, words):
    edit(workspace / f"conf/{file}.yaml", old, new)
    with refuses(*words):
        composed_anew()


# --- nodes

MEAN = {"_target_": "pipeline.pooling.standard.standard", "mode": "mean"}


NORMAL = {"_target_": "pipeline.dedup.normal.Normal", "lowercase": True, "form": "NFC", "boilerplate": []}


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ({"_target_": "pipeline.dedup.normal.Normal"}, ("where:", "needs 'lowercase' (bool)")),
        (NORMAL | {"lowercase": 3}, ("where.lowercase: expected bool", "got 3")),
        (NORMAL | {"lower": True}, ("where.lower:", "takes no 'lower'", "did you mean 'lowercase'?")),
        (
            NORMAL | {"_target_": "pipeline.dedup.normall.Normal"},
            ("where._target_: no module", "normall", "did you mean 'normal'?"),
        ),
        (NORMAL | {"_target_": "pipeline.dedup.normal.Normall"}, ("where._target_:", "no Normall", "did you mean 'Normal'?")),
        ({"lowercase": True}, ("where._target_: 'None' is not allowed", "pipeline.*")),
        ({"_target_": "pipeline.objective.infonce.InfoNCE", "temperature": "0.05"}, ("temperature: expected float", "'0.05'")),
        ({"_target_": "pipeline.objective.infonce.InfoNCE", "temperature": True}, ("temperature: expected float", "True")),
    ],
)
def test_a_mistake_in_a_node_is_refused_with_its_place_and_what_was_expected(node, words):
    with refuses(*words):
        check_node(node, "where")


def test_a_whole_number_may_stand_for_a_fraction():
    check_node({"_target_": "pipeline.objective.cosent.CoSENT", "scale": 1}, "where")


@pytest.mark.parametrize("target", ["os.system", "pipelines.pooling.standard.standard", "torch.nn.Linear", "pipeline"])
def test_a_target_outside_the_package_is_refused_before_it_is_imported(target):
    with refuses("where._target_", target):
        check_node({"_target_": target}, "where")


def test_a_name_that_a_module_only_imports_is_no_target():
    with refuses("no module pipeline.checkpoint.shutil"):
        check_node({"_target_": "pipeline.checkpoint.shutil.rmtree", "path": "."}, "where")
    with refuses("pipeline.checkpoint defines no shutil"):
        check_node({"_target_": "pipeline.checkpoint.shutil"}, "where")


@pytest.mark.parametrize("key", ["_args_", "_partial_", "_recursive_"])
def test_a_key_that_only_hydra_knows_is_refused(key):
    with refuses(f"where.{key}"):
        check_node(MEAN | {key: []}, "where")


def test_a_node_inside_a_node_is_checked_before_anything_is_built(workspace):
    inner = {"_target_": "os.mkdir", "path": "made"}
    outer = {"_target_": "pipeline.checkpoint.write_provenance", "version": "1", "config": {"a": inner}, "inputs": {}}
    with refuses("config.a._target_: 'os.mkdir' is not allowed"):
        build(outer, later=True)
    assert not (workspace / "made").exists()


def test_build_makes_what_a_node_names_now_or_later():
    from pipeline.objective.cosent import CoSENT

    node = {"_target_": "pipeline.objective.cosent.CoSENT", "scale": 0.5}
    assert isinstance(build(node), CoSENT)
    assert build(node, later=True)().scale == 0.5


def test_a_signature_is_the_keyword_only_arguments_with_their_annotations():
    assert signature("pipeline.objective.triplet.Triplet", "") == {
        "margin": "float",
        "negatives": "Literal['mined', 'hardest']",
    }
    assert signature("pipeline.merging.model_stock.ModelStock", "") == {}
    assert signature("pipeline.training.optimizer.adamw", "")["betas"] == "list[float]"


def test_nodes_are_found_in_mappings_and_lists_with_their_paths():
    tree = {"a": {"b": MEAN}, "c": [1, {"_target_": "x", "d": {"_target_": "y"}}]}
    assert [path for path, _ in nodes(tree)] == ["a.b", "c.1", "c.1.d"]


def test_nested_and_dotted_keys_flatten_alike():
    assert dict(flat({"a": {"b": 1, "c.d": 2}, "e.f": [3], "g": {}})) == {"a.b": 1, "a.c.d": 2, "e.f": [3], "g": {}}


def test_without_compose_the_configuration_is_missing_with_advice(workspace):
    with refuses("data/config.yaml is missing", "python -m pipeline compose"):
        load(workspace / "data/config.yaml")


# --- sweeps


def test_a_sweep_takes_the_page_but_a_persons_own_override_wins(composed_anew, workspace):
    changes = {
        "choose": {"experiment": "own", "encoder": "scratch"},
        "experts": TWO_EXPERTS,
        "set": {"train.sts.steps_per_task": 5, "train.retrieval.warmup": 0.2, "seed": 3, "evaluate.resamples": 9},
    }
    (workspace / "data").mkdir()
    (workspace / "data/config.yaml").write_text(yaml.safe_dump(composed_anew(**changes)))
    overrides = hydra_overrides(read_page(), "train", None, ["expert=sts", "seed=2", "pooling=cls"])
    assert overrides == ["encoder=scratch", "experiment=own", "expert=sts", "seed=2", "pooling=cls"]
    with hydra.initialize_config_dir(config_dir=str(workspace / "conf"), version_base="1.3"):
        cfg = hydra.compose("config", overrides=overrides)
    found = sweep_config(cfg, read_page(), "train", "sts", overrides)
    assert list(found["train"]) == ["sts"]
    assert (found["train"]["sts"]["steps_per_task"], found["train"]["sts"]["warmup"]) == (5, 0.1)
    assert (found["seed"], found["curate"]["split"]["seed"], found["evaluate"]["resamples"]) == (2, 2, 9)
    assert found["encoder"]["pooling"]["mode"] == "cls"


def test_a_swept_stage_without_items_takes_the_sections_of_the_others_as_they_are(composed_anew, workspace):
    written = composed_anew(experts=TWO_EXPERTS, methods=["soup"], set={"train.sts.steps_per_task": 5})
    (workspace / "data").mkdir()
    (workspace / "data/config.yaml").write_text(yaml.safe_dump(written))
    overrides = hydra_overrides(read_page(), "report", None, ["report.examples=1"])
    with hydra.initialize_config_dir(config_dir=str(workspace / "conf"), version_base="1.3"):
        cfg = hydra.compose("config", overrides=overrides)
    found = sweep_config(cfg, read_page(), "report", None, overrides)
    assert (found["train"], found["merge"]) == (written["train"], written["merge"])
    assert found["report"] == written["report"] | {"examples": 1}


@pytest.fixture
def swept(composed_anew, workspace):
    """The whole configuration of one job of a stage: ``swept(stage, item, *overrides, **changes of the page)``."""

    def job(stage, item, *own, given=(), **changes):
        (workspace / "data").mkdir(exist_ok=True)
        (workspace / "data/config.yaml").write_text(yaml.safe_dump(composed_anew(**changes)))
        overrides = hydra_overrides(read_page(), stage, item, list(own))
        overrides = [override for override in overrides if override not in own] + list(given or own)
        with hydra.initialize_config_dir(config_dir=str(workspace / "conf"), version_base="1.3"):
            cfg = hydra.compose("config", overrides=overrides)
            return sweep_config(cfg, read_page(), stage, item, overrides)

    return job


CHOSEN = OWN | {
    "filter@curate.filters.language": "language", "objective@train.tasks.retrieval.objective": "angle",
    "objective@train.sts.tasks.sts.objective": "codiemb_sts",
}  # fmt: skip


def test_a_sweep_has_the_choices_of_the_page_and_values_may_stand_inside_them(swept):
    choose = CHOSEN | {"probing@merge.slerp.probe": "pairs"}
    page = {"experts": TWO_EXPERTS, "choose": choose, "behaviours": ["typo"], "methods": ["soup", "slerp"]}
    own = ["expert=retrieval", "curate.filters.language.languages=[de]", "train.tasks.retrieval.objective.angle_scale=7.0"]
    found = swept("train", "retrieval", *own, **page)
    objective = found["train"]["retrieval"]["tasks"]["retrieval"]["objective"]
    assert (objective["_target_"], objective["angle_scale"]) == ("pipeline.objective.angle.AnglE", 7.0)
    assert found["curate"]["filters"]["language"]["languages"] == ["de"]
    assert list(found["stress"]["behaviours"]) == ["typo"]
    assert swept("merge", "slerp", "merging=slerp", **page)["merge"]["slerp"]["probe"]["pairs_per_task"] == 128
    assert swept("merge", "soup", "merging=soup", **page)["merge"]["soup"]["probe"] is None


def test_a_sweep_of_a_baseline_has_its_values_and_those_of_the_page(swept):
    page = {"baselines": ["bm25", "static"], "set": {"baseline.bm25.b": 0.5, "baseline.static.directory": "elsewhere"}}
    found = swept("baseline", "bm25", "baseline.k1=1.2", **page)["baseline"]
    assert {name: (one["k1"], one["b"]) for name, one in found.items()} == {"bm25": (1.2, 0.5)}
    with refuses("python -m pipeline baseline <name>: no conf/baseline/bm52.yaml", "did you mean 'bm25'?"):
        swept("baseline", "bm52", "baseline.k1=1.2", **page)


def test_a_choice_on_the_command_line_wins_over_the_page(swept):
    place = "objective@train.tasks.retrieval.objective"
    found = swept("train", "retrieval", "expert=retrieval", f"{place}=cosent", experts=TWO_EXPERTS, choose=CHOSEN)
    objective = found["train"]["retrieval"]["tasks"]["retrieval"]["objective"]
    assert objective["_target_"] == "pipeline.objective.cosent.CoSENT"


def test_a_sweep_over_experts_gives_each_the_choices_that_name_it(swept):
    for name, target in (("sts", "pipeline.objective.codiemb_sts.CoDiEmbSTS"), ("retrieval", "pipeline.objective.angle.AnglE")):
        given = [f"expert={name}"]
        train = swept("train", name, "expert=sts,retrieval", given=given, experts=TWO_EXPERTS, choose=CHOSEN)["train"]
        assert train[name]["tasks"][name]["objective"]["_target_"] == target


@pytest.mark.parametrize("name", sorted(file.stem for file in (ROOT / "conf/page").glob("*.yaml")))
def test_every_page_of_an_experiment_composes(monkeypatch, name):
    monkeypatch.chdir(ROOT)
    page = read_page(ROOT / f"conf/page/{name}.yaml")
    assert page.choose["experiment"] == name
    check_trainings(compose_config(page))
    assert set(page.models.values()) >= set(page.experts.values())


def test_a_derivation_of_a_model_of_complexes_is_refused(monkeypatch):
    monkeypatch.chdir(ROOT)
    page = read_page(ROOT / "conf/page/ppb_affinity.yaml")
    page.derivations["cut"] = {"derivation": "shallow", "of": "checkpoints/experts/hp", "layers": 1}
    check_derivations(page)
    with refuses("derivations.cut.of: checkpoints/experts/hp predicts the affinity of complexes"):
        check_derived_of_complexes(compose_config(page))


# What stands in the pages as a comment

PAGES = ["params.yaml", *(f"conf/page/{file.name}" for file in sorted((ROOT / "conf/page").glob("*.yaml")))]


@pytest.fixture
def composed_text(workspace, remembered, monkeypatch):
    """The configuration of a page's text."""
    monkeypatch.setattr("pipeline.params.compose", remembered)
    monkeypatch.setattr("pipeline.choice.compose", remembered)

    def composed(text):
        (workspace / "params.yaml").write_text(text, encoding="utf-8")
        return compose_config(read_page())

    return composed


@pytest.mark.parametrize("page", PAGES)
def test_every_commented_example_of_a_value_composes(composed_text, page):
    text = (ROOT / page).read_text(encoding="utf-8")
    examples = set(re.findall(r"`([\w.]+): (\d+)`", text))
    assert examples
    for path, value in examples:
        found = composed_text(re.sub(r"^set: {}$", f"set: {{{path}: {value}}}", text, flags=re.MULTILINE))
        stage, *item, key = path.split(".")
        items = [found[stage][name] for name in item or found[stage]]
        assert [one[key] for one in items] == [int(value)] * len(items)


@pytest.mark.parametrize("page", PAGES)
def test_every_commented_example_of_a_choice_or_a_corpus_composes(composed_text, page):
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    before, examples, heading = composed_text("\n".join(lines)), [], ""
    for number, line in enumerate(lines):
        heading = line.partition(":")[0] if re.match(r"\w+:", line) else heading
        if line.startswith("#  "):
            examples.append((heading, number, yaml.safe_load(line[1:])))
    assert {heading for heading, _, _ in examples} >= {"choose"}
    for heading, number, added in examples:
        written = [f"{heading}:" if line == f"{heading}: {{}}" else line for line in lines]
        written[number] = lines[number][1:]
        after = composed_text("\n".join(written))
        assert set(added) <= set(read_page().model_dump()[heading])
        if heading == "corpora":
            assert set(added) < set(after["ingest"]["corpora"])
        assert after != before or added == {"optimizer@train.sts.optimizer": "adamw"}, added  # which it has, too


@pytest.mark.parametrize("page", PAGES)
def test_every_commented_list_of_a_page_composes_to_what_it_names(composed_text, page):
    text = (ROOT / page).read_text(encoding="utf-8")
    examples = re.findall(r"^#(\w+): ([\[{].*[\]}])", text, flags=re.MULTILINE)
    assert examples
    assert page != "params.yaml" or {heading for heading, _ in examples} == set(LISTS)
    for heading, listed in examples:
        found = composed_text(text.replace(f"#{heading}: {listed}", f"{heading}: {listed}"))
        assert list(found[LISTS[heading][1]][heading]) == sorted(yaml.safe_load(listed)) or set(
            found[LISTS[heading][1]][heading]
        ) == set(yaml.safe_load(listed))


# --- what is chosen by place


def test_a_choice_at_a_place_replaces_what_stands_there_in_every_expert_that_has_it(composed):
    train = composed(experts=ALL_THREE, choose=OWN | {"objective@train.tasks.retrieval.objective": "angle"})["train"]
    objectives = {
        (expert, task): one["objective"]["_target_"] for expert, part in train.items() for task, one in part["tasks"].items()
    }
    angle = yaml.safe_load((ROOT / "conf/objective/angle.yaml").read_text())
    assert train["joint"]["tasks"]["retrieval"]["objective"] == angle
    assert {place for place, target in objectives.items() if target == angle["_target_"]} == {
        ("retrieval", "retrieval"),
        ("joint", "retrieval"),
    }


def test_a_choice_that_names_an_item_wins_over_one_for_all(composed):
    choose = {
        "objective@train.tasks.retrieval.objective": "angle", "objective@train.joint.tasks.retrieval.objective": "cosent",
        "probing@merge.soup.probe": "pairs",
    }  # fmt: skip
    found = composed(experts=ALL_THREE, methods=["soup", "slerp"], choose=OWN | choose)
    targets = [found["train"][name]["tasks"]["retrieval"]["objective"]["_target_"] for name in ("retrieval", "joint")]
    assert targets == ["pipeline.objective.angle.AnglE", "pipeline.objective.cosent.CoSENT"]
    assert found["merge"]["soup"]["probe"]["pairs_per_task"] == 128
    assert found["merge"]["slerp"]["probe"] is None


def test_a_choice_at_an_empty_place_is_added_and_values_change_it(composed):
    choose = {
        "filter@curate.filters.language": "language", "measure@curate.measures.copies": "memorised",
        "split@curate.controls.random": "random",
    }  # fmt: skip
    curate = composed(choose=OWN | choose, set={"curate.filters.language.languages": ["de"]})["curate"]
    assert sorted(curate["filters"]) == ["identical", "language"]
    assert curate["filters"]["language"]["languages"] == ["de"]
    assert curate["measures"]["copies"]["_target_"] == "pipeline.measure.memorised.Memorised"
    assert curate["controls"]["random"]["seed"] == 0


def test_a_choice_inside_of_another_waits_for_it(composed):
    choose = {
        "head@train.affinity.head": "convbert", "reading@train.affinity": "trained", "architecture@train.affinity.architecture": "ec",
    }  # fmt: skip
    affinity = composed(experts={"hp": "checkpoints/experts/hp"} | TWO_EXPERTS, choose=OWN | choose)["train"]["hp"]["affinity"]
    assert (affinity["backbone"], affinity["head"]["layers"]) == ("trained", 1)
    assert affinity["architecture"]["_target_"] == "pipeline.protein.architecture.ec.EC"


def test_a_choice_that_one_expert_has_is_added_to_no_other(composed):
    train = composed(experts={"hp": "checkpoints/experts/hp"} | TWO_EXPERTS, choose=OWN | {"reading@train.affinity": "trained"})
    assert train["train"]["hp"]["affinity"]["backbone"] == "trained"
    assert "affinity" not in train["train"]["sts"]


def test_a_group_with_one_place_may_be_named_with_it_or_without(composed):
    with_place = composed(choose=OWN | {"pooling@encoder.pooling": "mean"})
    assert with_place == composed(choose=OWN | {"pooling": "mean"})
    assert with_place["encoder"]["pooling"]["mode"] == "mean"


def test_a_group_takes_the_place_of_another(composed):
    choose = {"criterion@train.tasks.sts.objective": "mse"}
    assert composed(experts=TWO_EXPERTS, choose=OWN | choose)["train"]["sts"]["tasks"]["sts"]["objective"] == {
        "_target_": "pipeline.protein.criterion.mse.MSE"
    }


@pytest.mark.parametrize(
    ("choose", "words"),
    [
        (
            {"objektive@train.tasks.sts.objective": "x"},
            ("choose.objektive@train", "no such group", "did you mean 'objective'?"),
        ),
        (
            {"objective@train.tasks.sts.objective": "cosin"},
            ("no conf/objective/cosin.yaml", "did you mean 'cosent'?", "infonce"),
        ),
        (
            {"objective@train.tasks.stss.objective": "cosent"},
            ("no key 'stss'", "did you mean 'sts'?", "stands at train.tasks.retrieval.objective, train.tasks.sts"),
        ),
        (
            {"objective@train.stss.tasks.sts.objective": "cosent"},
            ("no key 'stss' under train", "did you mean 'sts'?", "retrieval, sts"),
        ),
        (
            {"filter@curat.filters.x": "length"},
            ("no key 'curat'", "did you mean 'curate'?", "filter stands at curate.filters.identical"),
        ),
        ({"filter": "length"}, ("choose.filter: expected a place", "curate.filters.identical", "listed under `filters`")),
        ({"measure": "memorised"}, ("choose.measure: expected a place", "listed under `measures`")),
        ({"phase@pretrain.phase.weak": "weak"}, ("pretrain.phase", "did you mean 'phases'?")),
        ({"expert": "sts"}, ("choose.expert", "conf/expert stands under `experts`")),
        ({"probing@merge.probe": "pairs"}, ("choose.probing@merge.probe: merge has no items", "methods")),
        ({"cluster@curate.dedup": "join"}, ("choose.cluster@curate.dedup: curate.dedup is not chosen by name", "`set`")),
        ({"probe@merge.soup.probe": "pairs"}, ("no such group (did you mean 'probing'?)",)),
        ({"miner": "nearest"}, ("no such group (did you mean 'mining'?)",)),
        ({"method": "ties"}, ("no such group (did you mean 'merging'?)",)),
        ({"architecture@train.affinity.architecture": "hp"}, ("no key 'affinity' under train", "items and keys there")),
    ],
)
def test_a_mistake_in_a_choice_is_refused_with_the_nearest_and_what_there_is(composed, choose, words):
    with refuses(*words):
        composed(experts=TWO_EXPERTS, choose=OWN | choose)


def test_a_list_of_the_page_replaces_that_of_the_catalogue(composed):
    found = composed(
        behaviours=["typo", "negation"], forms={"half": "truncated", "small": "truncated"}, evaluators=["retrieval"]
    )
    assert sorted(found["stress"]["behaviours"]) == ["negation", "typo"]
    assert sorted(found["final"]["forms"]) == ["half", "small"]
    assert found["final"]["forms"]["small"] == {"_target_": "pipeline.form.truncated.Truncated", "share": 0.5}
    assert list(found["evaluate"]["evaluators"]) == ["retrieval"]
    assert list(found["curate"]["filters"]) == ["identical"]  # not on the page: the catalogue's
    assert composed(filters=[])["curate"]["filters"] == {}


def test_what_is_chosen_beside_a_list_is_added_to_it(composed):
    choose = OWN | {"filter@curate.filters.long": "length"}
    found = composed(filters=["language"], choose=choose)
    assert sorted(found["curate"]["filters"]) == ["language", "long"]


def test_a_name_that_a_list_has_wrong_is_told(composed):
    with refuses("params.yaml: behaviours: no conf/behaviour/typos.yaml", "did you mean 'typo'?", "negation"):
        composed(behaviours=["typos"])
    with refuses("params.yaml: unknown key behaviors", "did you mean 'behaviours'?"):
        composed(behaviors=["typo"])


# Tasks of any name

LEGAL = {"source": "table", "path": "laws.csv", "task": "legal", "kind": "retrieval"}
SUPPORT = {"source": "beir", "path": "support", "task": "support", "kind": "retrieval"}


def test_joint_learns_the_tasks_that_experts_are_named_after(composed):
    experts = {name: f"checkpoints/experts/{name}" for name in ("legal", "support")} | {"joint": "checkpoints/controls/joint"}
    train = composed(corpora={"laws": LEGAL, "mail": SUPPORT}, experts=experts)["train"]
    assert list(train["joint"]["tasks"]) == ["legal", "support"]
    assert all(train["joint"]["tasks"][task] == train[task]["tasks"][task] for task in ("legal", "support"))
    alone = composed(corpora={"laws": LEGAL}, experts={"legal": experts["legal"], "joint": experts["joint"]})["train"]
    assert list(alone["joint"]["tasks"]) == ["retrieval", "sts"]  # of one task it would be that expert again
    beside = experts | {"sts": "checkpoints/experts/sts"}
    graded = SUPPORT | {"task": "sts", "kind": None}
    train = composed(corpora={"laws": LEGAL, "mail": graded}, experts={k: beside[k] for k in ("legal", "sts", "joint")})[
        "train"
    ]
    assert list(train["joint"]["tasks"]) == ["sts", "legal"]
    assert train["joint"]["tasks"]["sts"] == train["sts"]["tasks"]["sts"]


LEARNED = sorted(name for name, kind in KINDS.items() if kind.learned and kind.evaluated and kind.texts == "prose")


def test_a_sweep_of_joint_learns_the_tasks_that_the_page_s_joint_learns(composed_anew, monkeypatch):
    experts = {name: f"checkpoints/experts/{name}" for name in ("legal", "support")} | {"joint": "checkpoints/controls/joint"}
    whole = composed_anew(corpora={"laws": LEGAL, "mail": SUPPORT}, experts=experts)
    monkeypatch.setattr("pipeline.sweeping.load", lambda: whole)
    page = read_page()
    found = hydra_overrides(page, "train", None, ["expert=joint", "train.optimizer.lr=1e-5,2e-5"])
    with hydra.initialize_config_dir(str(Path("conf").absolute()), version_base="1.3"):
        tasks = hydra.compose("config", [one for one in found if "," not in one]).train.tasks
    assert list(tasks) == list(whole["train"]["joint"]["tasks"]) == ["legal", "support"]
    with pytest.raises(ValueError, match="joint learns tasks of this page's own; sweep it alone"):
        hydra_overrides(page, "train", None, ["expert=joint,sts"])


@pytest.mark.parametrize("kind", LEARNED)
def test_an_expert_can_be_named_after_a_task_of_every_kind_that_is_learned(composed, kind):
    experts = {"mine": "checkpoints/experts/mine"}
    train = composed(corpora={"c": LEGAL | {"task": "mine", "kind": kind}}, experts=experts)["train"]
    assert list(train["mine"]["tasks"]) == ["mine"]


def test_an_expert_of_a_task_of_any_name_has_the_settings_of_its_kind(composed_anew):
    experts = {name: f"checkpoints/experts/{name}" for name in ("legal", "support", "retrieval")}
    config = composed_anew(
        corpora=SMALL["corpora"] | {"laws": LEGAL, "mail": SUPPORT}, experts=experts, choose={"experiment": "own", "prompt": "e5"},
        set={"train.legal.tasks.legal.batch_size": 7},
    )  # fmt: skip
    assert {task: one["kind"] for task, one in config["tasks"].items()} == dict.fromkeys(
        ("legal", "retrieval", "support"), "retrieval"
    )
    assert list(config["train"]["support"]["tasks"]) == ["support"]
    assert config["train"]["support"]["tasks"]["support"] == config["train"]["retrieval"]["tasks"]["retrieval"]
    assert config["train"]["legal"]["tasks"]["legal"]["batch_size"] == 7
    prompts = config["encoder"]["prompts"]["texts"]
    assert prompts["legal"] == prompts["support"] == prompts["retrieval"]


def test_what_corpora_say_of_a_task_is_checked_before_anything_is_read(composed_anew):
    for corpora, message in (
        ({"laws": LEGAL | {"kind": None}}, "corpora.laws: 'legal' is no kind of task; expected one of retrieval"),
        (
            {"laws": LEGAL, "mail": LEGAL | {"kind": "sts"}},
            "corpora.mail: task 'legal' is of kind sts here and of kind retrieval in",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            composed_anew(corpora=corpora)
    with pytest.raises(ValueError, match=r"params.yaml: experts: no conf/expert/legl.yaml"):
        composed_anew(corpora={"laws": LEGAL}, experts={"legl": "checkpoints/experts/legl"})


def test_what_a_source_yields_is_read_from_its_class(composed_anew):
    config = composed_anew(choose={"experiment": "apidocs"}, corpora={})
    assert config["tasks"] == {
        "retrieval": {"kind": "retrieval", "learned": False}, "sts": {"kind": "sts", "learned": False},
        "weak": {"kind": "weak", "learned": True}
    }  # fmt: skip


RANDOM = {"retrieval": "checkpoints/experts/retrieval", "retrieval_random": "checkpoints/controls/retrieval_random"}


def test_a_twin_on_a_random_split_has_what_the_page_says_of_its_expert(composed):
    """Whether it says so of that, of all, or of both, where the nearer word counts; and its own word before these."""
    choices = {
        "objective@train.tasks.retrieval.objective": "triplet",
        "objective@train.retrieval.tasks.retrieval.objective": "angle",
    }
    values = {
        "max_length_tokens": 100,
        "epochs": 2,
        "retrieval": {"max_length_tokens": 50},
        "retrieval_random": {"warmup": 0.2},
    }
    found = composed(experts=RANDOM, choose=OWN | choices, set={"train": values})
    own, twin = (found["train"][name] for name in RANDOM)
    assert (own["max_length_tokens"], own["epochs"]) == (50, 2)
    assert twin == own | {"control": "random", "warmup": 0.2}
    assert "random" in found["curate"]["controls"]
    assert composed(experts=TWO_EXPERTS | {}, choose=OWN)["curate"]["controls"] == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"experts": RANDOM | {"retrieval_random": "checkpoints/experts/retrieval_random"}},
            "experts.retrieval_random: it learns from the split random, and merges take what lies in checkpoints/experts; write "
            "checkpoints/controls/retrieval_random",
        ),
        (
            {"derivations": {"near": {"derivation": "back", "of": RANDOM["retrieval_random"], "weight": 0.5}}},
            "derivations.near.of: checkpoints/controls/retrieval_random learned from the split random",
        ),
        (
            {"models": {"early": f"{RANDOM['retrieval_random']}/snapshots/3"}},
            "models.early: checkpoints/controls/retrieval_random/snapshots/3 is of the control retrieval_random",
        ),
    ],
)
def test_nothing_is_made_of_a_control(composed, changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        check_controls(composed(**({"experts": RANDOM, "choose": OWN} | changes)))
