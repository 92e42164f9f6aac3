"""What counts as the code of a stage: on a package written here, and on this one."""

import ast
import json
import os
import shutil
import subprocess
import sys

import pytest
import yaml

from pipeline.code_hash import ITEMS, STAGES, Code, code_hashes, code_of
from pipeline.params import compose_config, read_page

START = ["house.stage.cook"]
FILES = {
    "__init__.py": "",
    "stage/__init__.py": "",
    "stage/cook.py": '''"""Cooks."""

from house import oven

PAGES = "menu"


def run(cfg):
    """Reads top to bottom."""
    from house.tools.knife import cut  # only where it is needed

    return cut(oven.heat(cfg))
''',
    "stage/menu/starters.html": "<p>soup</p>",
    "stage/cooker.txt": "nobody names this",
    "oven.py": "def heat(cfg):\n    return cfg\n",
    "tools/__init__.py": "from .board import Board\n",
    "tools/board.py": 'class Board:\n    """Of wood."""\n\n    width = 3\n',
    "tools/knife.py": 'from ..spices import salt\n\nKIND = "house.steel.Steel"\n\n\ndef cut(x):\n    return x + salt\n',
    "spices.py": "salt = 1\n",
    "steel.py": "class Steel:\n    pass\n",
    "herbs.py": "import house.garden.bed as bed\n\n\nclass Parsley:\n    pass\n",
    "garden/bed.py": "deep = True\n",
    "cellar.py": "wine = 2\n",
}


@pytest.fixture
def house(tmp_path):
    """Makes a package of `FILES`, one of them changed, and gives the hash of what ``names`` reach in it."""

    def made(changes=None, names=START):
        folder = tmp_path / "house"
        shutil.rmtree(folder, ignore_errors=True)
        for file, text in (FILES | (changes or {})).items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(text, encoding="utf-8")
        code = Code(folder)
        return code.hashed(code.reached(names))

    return made


def test_what_a_module_reaches_is_found(house, tmp_path):
    house()
    assert Code(tmp_path / "house").reached(START) == {
        *("__init__.py", "stage/__init__.py", "stage/cook.py", "stage/menu/starters.html", "oven.py"),
        *("tools/__init__.py", "tools/board.py", "tools/knife.py", "spices.py", "steel.py"),
    }


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("oven.py", "def heat(cfg):\n    return dict(cfg)\n"),
        ("tools/knife.py", "def cut(x):\n    return x\n"),  # imported inside a function
        ("tools/board.py", "class Board:\n    width = 4\n"),  # by the __init__ of a package, relative
        ("spices.py", "salt = 2\n"),  # two folders up, relative
        ("steel.py", "class Steel:\n    sharp = True\n"),  # named by a string
        ("stage/menu/starters.html", "<p>soup.</p>"),
        ("stage/menu/puddings.html", "<p>ice</p>"),  # a new file in a folder that is read
        ("__init__.py", "warm = True\n"),
    ],
)
def test_a_change_of_code_or_data_that_is_reached_changes_the_hash(house, file, text):
    assert house({file: text}) != house()


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("oven.py", "# a thought\ndef heat(cfg):\n    return cfg\n"),
        ("oven.py", '"""Heats."""\n\n\ndef heat(cfg):\n    """Gently."""\n    return cfg\n'),
        ("oven.py", "def heat(\n    cfg,\n):\n\n    return (cfg)\n"),
        ("tools/board.py", "class Board:\n    '''Of another\n    wood.'''\n\n    width = 3  # palms\n"),
        ("cellar.py", "wine = 3\n"),  # reached by none
        ("herbs.py", "class Parsley:\n    fresh = True\n"),
        ("stage/cooker.txt", "nobody names this either"),
        ("stage/other.py", "from house import cellar\n"),
    ],
)
def test_comments_docstrings_layout_and_what_is_not_reached_do_not_count(house, file, text):
    assert house({file: text}) == house()


def test_a_string_that_is_no_docstring_counts(house):
    assert house({"oven.py": 'def heat(cfg):\n    return "cfg"\n'}) != house({"oven.py": 'def heat(cfg):\n    return "cgf"\n'})


def test_a_module_reached_only_by_a_target_counts_with_its_imports(house):
    names = [*START, "house.herbs.Parsley"]
    assert house(names=names) != house()
    assert house({"herbs.py": FILES["herbs.py"] + "\nMORE = 1\n"}, names) != house(names=names)
    assert house({"garden/bed.py": "deep = False\n"}, names) != house(names=names)  # in a folder without an __init__
    assert house({"garden/bed.py": "deep = False\n"}) == house()


def test_a_moved_module_changes_the_hash(house):
    moved = {"oven.py": "from house.cellar import heat\n", "cellar.py": FILES["oven.py"]}
    assert house(moved) != house()


# This package


@pytest.fixture(scope="module")
def config(root):
    return composed(root, root / "params.yaml")


@pytest.fixture(scope="module")
def proteins(root):
    return composed(root, root / "conf/page/ppb_affinity.yaml")


def composed(root, page):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        return compose_config(read_page(page))


def test_every_stage_and_item_has_a_hash_and_lists_it(config, stand_in, root):
    found = code_hashes(config)
    assert {"compose", *STAGES, *ITEMS} == set(yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"])
    for name, node in stand_in.nodes(root).items():
        if name != "compose":
            assert f"code.{name.replace('@', '.')}" in node.sections
            assert len(stand_in.section_in({"code": found}, f"code.{name.replace('@', '.')}")) == 16


def test_every_clone_and_process_gives_the_same_hashes(config, root, tmp_path):
    shutil.copytree(root / "pipeline", tmp_path / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    program = (
        "import json, sys; from pipeline.code_hash import code_hashes; print(json.dumps(code_hashes(json.load(sys.stdin))))"
    )
    given = json.dumps(config)
    for seed in ("1", "2"):
        command = [sys.executable, "-c", program]
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(tmp_path)}
        done = subprocess.run(command, input=given, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert json.loads(done.stdout) == code_hashes(config)


def names_of(config, code, file):
    """Stages and items whose code ``file`` is part of."""
    items = [(stage,) for stage in STAGES] + [(stage, item) for stage, section in ITEMS.items() for item in config[section]]
    return {"@".join(name) for name in items if file in code_of(code, config, *name)}


def test_an_architecture_is_code_of_the_experts_that_use_it_and_of_their_models(config, proteins):
    code = Code()
    assert names_of(config, code, "protein/architecture/pad.py") == set()
    assert names_of(config, code, "protein/model.py") == set()
    assert names_of(proteins, code, "protein/architecture/pad.py") == {
        *("train@pad", "train@pad_random", "evaluate@pad", "evaluate@pad_random", "final", "stress"),
    }


def test_a_pooling_is_code_of_all_that_load_an_encoder_and_of_no_other(config):
    code = Code()
    assert names_of(config, code, "pooling/standard.py") == set()  # the encoder's own pooling is taken
    mean = config | {
        "encoder": config["encoder"] | {"pooling": {"_target_": "pipeline.pooling.standard.standard", "mode": "mean"}}
    }
    loading = names_of(mean, code, "pooling/standard.py")
    assert {name.split("@")[0] for name in loading} == {
        "pretrain",
        "mine",
        "train",
        "merge",
        "derive",
        "evaluate",
        "baseline",
        "final",
        "stress",
    }
    assert "baseline@bm25" not in loading
    assert names_of(mean, code, "pooling/latent_attention.py") == set()
    latent = config | {
        "encoder": config["encoder"] | {"pooling": {"_target_": "pipeline.pooling.latent_attention.LatentAttention"}}
    }
    assert names_of(latent, code, "pooling/latent_attention.py") == loading


def test_a_merge_that_fuses_affinity_experts_is_evaluated_by_their_code(proteins):
    models = proteins["models"] | {"soup": "checkpoints/merged/soup", "base": "checkpoints/base"}
    found = names_of(proteins | {"models": models}, Code(), "protein/architecture/pad.py")
    assert "evaluate@soup" in found
    assert not {"evaluate@base", "evaluate@hp"} & found


def test_what_merges_affinity_experts_is_code_of_their_merges_alone(config, proteins):
    assert names_of(config, Code(), "protein/beside.py") == set()
    assert names_of(proteins, Code(), "protein/beside.py") == set()
    merged = proteins | {
        "merge": {"soup": config["merge"]["soup"]},
        "models": proteins["models"] | {"soup": "checkpoints/merged/soup"},
    }
    assert names_of(merged, Code(), "protein/beside.py") == {"merge@soup"}


def test_a_derivation_is_code_of_what_is_made_by_it_alone(config):
    of = {"white": ("Whiten", "checkpoints/merged/soup"), "cut": ("Shallow", "checkpoints/derived/white")}
    derive = {
        name: {"of": path, "derivation": {"_target_": f"pipeline.derivation.{kind.lower()}.{kind}"}}
        for name, (kind, path) in of.items()
    }
    models = config["models"] | {name: f"checkpoints/derived/{name}" for name in derive}
    made, code = config | {"derive": derive, "models": models}, Code()
    assert names_of(config, code, "derivation/whiten.py") == set()
    assert names_of(made, code, "derivation/whiten.py") == {"derive@white"}
    assert names_of(made, code, "derivation/shallow.py") == {"derive@cut"}


def test_what_is_derived_names_the_code_that_its_model_names(config, tmp_path):
    (tmp_path / "bought").mkdir()
    modules = [{"idx": 0, "name": "0", "path": "", "type": "pipeline.pooling.latent_attention.LatentAttention"}]
    (tmp_path / "bought/modules.json").write_text(json.dumps(modules))
    node = {"_target_": "pipeline.derivation.shallow.Shallow"}
    derive = {
        "cut": {"of": str(tmp_path / "bought"), "derivation": node}, "again": {"of": "checkpoints/derived/cut", "derivation": node},
    }  # fmt: skip
    models = config["models"] | {"again": "checkpoints/derived/again"}
    found = names_of(config | {"derive": derive, "models": models}, Code(), "pooling/latent_attention.py")
    assert found == {"derive@cut", "derive@again", "evaluate@again", "final", "stress"}


def test_a_directory_that_no_stage_makes_says_itself_what_code_it_names(config, tmp_path):
    directory = tmp_path / "bought"
    directory.mkdir()
    modules = [{"idx": 0, "name": "0", "path": "", "type": "pipeline.pooling.latent_attention.LatentAttention"}]
    (directory / "modules.json").write_text(json.dumps(modules))
    bought = config | {"models": config["models"] | {"bought": str(directory)}}
    assert names_of(bought, Code(), "pooling/latent_attention.py") == {"evaluate@bought", "final", "stress"}
    teacher = json.loads(json.dumps(config))
    teacher["train"]["sts"]["tasks"]["sts"]["teachers"]["bought"] = {"directory": str(directory), "sha256": "0"}
    assert names_of(teacher, Code(), "pooling/latent_attention.py") == {"train@sts"}


def test_a_model_that_curation_asks_is_code_of_curate(config, root):
    measure = yaml.safe_load((root / "conf/measure/memorised.yaml").read_text(encoding="utf-8"))
    asked = config | {"curate": config["curate"] | {"measures": {"memorised": measure}}}
    assert names_of(config, Code(), "encoder/frozen.py") == {"final"}  # of `final.paraphrases`
    assert names_of(asked, Code(), "encoder/frozen.py") == {"curate", "final"}
    assert names_of(asked, Code(), "encoder/pretrained.py") == {"curate", "final", "pretrain"}


def test_checks_and_shapes_of_the_configuration_and_the_cost_page_are_code_of_no_stage(config, proteins):
    files = (
        "params.py",
        "shape.py",
        "checked.py",
        "code_hash.py",
        "report/costs.py",
        "report/costs.html",
        "left_out.py",
        "derivable.py",
    )
    for file in (*files, "stage/sweep.py", "stage/compose.py", "stage/left_out.py"):
        assert names_of(config, Code(), file) | names_of(proteins, Code(), file) == set(), file


def test_the_code_of_an_item_that_is_left_out_is_what_says_so(config):
    models = {name: path for name, path in config["models"].items() if name != "sts"}
    gone = {"train": {"sts": config["experts"]["sts"]}, "merge": {}, "evaluate": {"sts": config["models"]["sts"]}}
    whole, found = code_hashes(config), code_hashes(config | {"models": models, "left_out": gone})
    assert found["train"]["sts"] == found["evaluate"]["sts"] != whole["train"]["sts"]
    assert found["train"]["retrieval"] == whole["train"]["retrieval"]
    code = code_of(Code(), config | {"models": models, "left_out": gone}, "evaluate", "sts")
    assert "stage/left_out.py" in code
    assert not {"stage/train.py", "stage/evaluate.py"} & code


# What the hash relies on


def test_every_file_that_is_not_python_is_named_by_a_module_beside_it(root):
    code = Code()
    modules = [file for file in code.files if file.endswith(".py")]
    reached = code.reached(f"pipeline.{file.removesuffix('.py').replace('/', '.')}" for file in modules)
    assert {file for file in code.files if not file.endswith(".py")} - reached == set()


def test_code_is_imported_by_a_name_made_up_at_run_time_and_docstrings_are_read_where_no_result_depends_on_it(root):
    """`__main__` finds stages and their commands, `build` what a node names, `encoder.directory` what a modules.json names; `form.onnx`
    imports packages of an extra, `checked`, which `compose` alone reaches, the shape that a training names."""
    importing, documented = set(), set()
    for file in sorted((root / "pipeline").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_bytes())):
            name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else None
            if name in (
                "import_module",
                "__import__",
                "instantiate",
                "get_class",
                "get_method",
                "locate",
                "exec",
                "run_module",
            ):
                importing.add(file.relative_to(root).as_posix())
            if name in ("__doc__", "getdoc"):
                documented.add(file.relative_to(root).as_posix())
    assert importing == {
        "pipeline/__main__.py",
        "pipeline/build.py",
        "pipeline/encoder/directory.py",
        "pipeline/checked.py",
        "pipeline/form/onnx.py",
    }
    assert documented == {"pipeline/__main__.py"}


def test_only_the_entry_and_what_stands_beside_the_stages_call_the_cost_page(root):
    for file in sorted((root / "pipeline").rglob("*.py")):
        assert ("pipeline.report.costs" in file.read_text(encoding="utf-8")) == (
            file.relative_to(root / "pipeline").as_posix() in ("__main__.py", "stage/result.py")
        )
