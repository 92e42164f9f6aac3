"""Each item of docs/COVERAGE.md names files that compose, or says why it is refused."""

import functools
import re
from pathlib import Path

import hydra
import pytest
import yaml
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from pipeline.build import check_node, nodes
from pipeline.params import _register_resolvers

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/COVERAGE.md"
DEFAULTS = yaml.safe_load((ROOT / "conf/config.yaml").read_text(encoding="utf-8"))["defaults"]
CHOSEN = {group for one in DEFAULTS if isinstance(one, dict) for group in one}
PHASES = ("phase", "pretext")


@pytest.fixture(scope="module")
def compose():
    _register_resolvers()
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        yield functools.cache(
            lambda *words: OmegaConf.to_container(hydra.compose("config", overrides=list(words)), resolve=True)
        )


def items(text):
    """``(item, what stands behind it)`` of every table."""
    rows = [line.strip("| ").split(" | ", 1) for line in text.splitlines() if line.startswith("| ") and "---" not in line]
    return [(row[0], row[1].strip() if len(row) > 1 else "") for row in rows if row[0] != "item"]


def named(where):
    """``(file, key)`` of each that is named; the key is empty where the file alone is."""
    return re.findall(r"`(conf/[\w/.]+\.yaml)`(?:: (\w+))?", where)


def faults(text, compose):
    """What is wrong with a page: items with neither a name nor a reason, names that nothing stands behind."""
    found = []
    for item, where in items(text):
        if where.startswith("refused:"):
            found += [] if len(where.split()) > 4 else [f"{item}: no reason"]
            continue
        files = named(where)
        found += [] if files else [f"{item}: neither a file nor a reason"]
        found += [f"{item}: {file} {told}" for file, key in files if (told := wrong(file, key, compose))]
    return found


def wrong(file, key, compose):
    path = ROOT / file
    if not path.is_file():
        return "is not there"
    if key and not re.search(rf"^\s*(?:- )?{key}:", path.read_text(encoding="utf-8"), re.MULTILINE):
        return f"has no {key}"
    *_, group, name = path.with_suffix("").parts
    if group == "conf":
        whole = compose()
    elif group in PHASES:
        whole = compose(f"+{group}@pretrain.phases.one={name}")
    else:
        whole = compose(f"{group}={name}" if group in CHOSEN else f"+{group}={name}")
    for place, node in nodes(whole):
        if "???" not in str(node):
            check_node(node, place)
    return ""


def test_every_item_names_files_that_compose_or_a_reason(compose):
    text = PAGE.read_text(encoding="utf-8")
    assert len(items(text)) > 50
    assert faults(text, compose) == []


def test_an_invented_name_an_empty_item_a_missing_key_and_a_bare_refusal_are_seen(compose):
    text = PAGE.read_text(encoding="utf-8")
    spoiled = text.replace("`conf/pooling/cls.yaml`", "`conf/pooling/invented.yaml`", 1)
    spoiled = spoiled.replace("| mean | `conf/pooling/mean.yaml` |", "| mean |  |", 1)
    spoiled = spoiled.replace("`conf/train.yaml`: turns", "`conf/train.yaml`: twists", 1)
    spoiled += "| magic | refused: no |\n"
    found = faults(spoiled, compose)
    assert [one.partition(":")[0] for one in found] == ["first token", "mean", "sampling of tasks by temperature", "magic"]


def test_every_objective_pooling_view_pretext_and_phase_is_some_item_of_the_page(capsys):
    """Printed, not failed: a new file must not need a line here."""
    text = PAGE.read_text(encoding="utf-8")
    files = [
        file
        for group in ("objective", "pooling", "view", *PHASES)
        for file in sorted((ROOT / "conf" / group).glob("[!_]*.yaml"))
    ]
    absent = [f"{file.parent.name}/{file.stem}" for file in files if f"conf/{file.parent.name}/{file.name}" not in text]
    print("no item names", ", ".join(absent))
    assert len(absent) < len(files)
