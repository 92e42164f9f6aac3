"""compose: what is chosen becomes what is run.

Reads:  conf/, params.yaml
Writes: data/config.yaml
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.build import CONFIG, build, class_value, nodes
from pipeline.checkpoint import write_yaml
from pipeline.code_hash import code_hashes
from pipeline.derivable import check_controls, check_derivations, check_derived_of_complexes, check_known
from pipeline.left_out import leave_out
from pipeline.params import compose_config, read_page
from pipeline.task import KINDS
from pipeline.trainable import check_audit, check_probes, check_tasks, check_trainings


def run(out: Path) -> None:
    page = read_page()
    check_derivations(page)
    config = compose_config(page)
    check_derived_of_complexes(config)
    check_known(config)
    for line in leave_out(config):
        print(line)
    evaluators = {name: node["_target_"] for name, node in config["evaluate"]["evaluators"].items() if node is not None}
    if (
        config["experts"] or not config["left_out"]["train"]
    ):  # where nothing is left to train, rows may be looked at as they are
        kinds = {task: KINDS[one["kind"]] for task, one in config["tasks"].items()}
        check_audit(kinds, class_value(config["curate"]["audit"]["_target_"], "texts", "curate.audit"))
    check_tasks(config, {name: class_value(target, "kind", name) for name, target in evaluators.items()})
    check_trainings(config)
    check_controls(config)
    check_probes(config)
    _check_parts(config)
    write_yaml(out / CONFIG, config | {"code": code_hashes(config)})
    merges = (name for name in config["merge"] if name not in config["left_out"]["merge"])
    parts = {"corpora": config["ingest"]["corpora"], "experts": config["experts"], "merges": merges}
    print(f"{CONFIG}: " + "; ".join(f"{what} {', '.join(names)}" for what, names in parts.items()))


def _check_parts(config: Mapping[str, Any]) -> None:
    """What a part of ingest or curate refuses in its values, before anything is read: they need neither torch nor data to be made."""
    parts = {f"corpora.{name}": corpus["source"] for name, corpus in config["ingest"]["corpora"].items()}
    for key, value in config["curate"].items():
        if isinstance(value, dict):
            named = (
                {f"curate.{key}": value}
                if "_target_" in value
                else {f"curate.{key}.{name}": one for name, one in value.items()}
            )
            parts |= {where: one for where, one in named.items() if isinstance(one, dict) and "_target_" in one}
    for where, node in parts.items():
        if any(inner["_target_"].startswith("pipeline.encoder.") for _, inner in nodes(node)):
            continue  # it loads a model
        try:
            build(node)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
