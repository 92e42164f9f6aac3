"""What a training's section cannot ask for, whatever the rows are: told by `compose`, and again before the first step."""

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipeline.build import class_value, nodes
from pipeline.manifest import check_code, modules, on_disk, poolings
from pipeline.spelling import nearest
from pipeline.task import KINDS, Kind

WHOLE = ("auto", "ddp", "deepspeed_stage_1", "deepspeed_stage_2", "deepspeed_stage_2_offload")  # each process holds all weights


def check_trainings(config: Mapping[str, Any]) -> None:
    """Every expert and phase of a composed configuration. ValueError says where, what was expected, what was found, what to do."""
    limits = {"longest": config["encoder"]["max_length_tokens"], "processes": num_processes(config["runtime"])}
    most = config["mine"]["miner"].get("num_negatives", 0)
    mined = {
        task: most for task, one in config["tasks"].items() if KINDS[one["kind"]].searched
    }  # those that stage mine looks at
    for where, items in (("train", config["train"]), ("pretrain.phases", config["pretrain"]["phases"])):
        check_corpora(where, items, config["ingest"]["corpora"])
    for name, training in config["train"].items():
        _check_control(f"train.{name}", training, config["curate"]["controls"])
        check_precision(f"train.{name}", training, config["runtime"])
        check_slow(f"train.{name}", training, config["runtime"])
        check_rate(f"train.{name}", training)
        check_training(f"train.{name}", training, mined=mined, **limits)
        check_bounds(f"train.{name}", training)
    for name, phase in config["pretrain"]["phases"].items():
        where = f"pretrain.phases.{name}"
        check_precision(where, phase, config["runtime"])
        check_slow(where, phase, config["runtime"])
        check_rate(where, phase)
        if "tasks" in phase:
            most = phase["mine"]["miner"].get("num_negatives", 0) if phase["mine"] else 0
            check_training(where, phase, mined=dict.fromkeys(phase["tasks"], most), **limits)
            check_bounds(where, phase)
            _check_teachers(where, phase)


def check_encoder(encoder: Mapping[str, Any]) -> None:
    """What a model says of itself, where its directory is here already: no code of its own, and a pooling where one is replaced."""
    name, revision = encoder["backbone"].get("name"), encoder["backbone"].get("revision")
    if name and revision is not None and not re.fullmatch("[0-9a-f]{40}", str(revision)):
        raise ValueError(
            f"encoder.backbone.revision: expected a commit of 40 hex digits, as branches move, got {revision!r}; copy it from "
            f"https://huggingface.co/{name}/commits/main"
        )
    if name and revision is None and not Path(name).is_dir():
        raise ValueError(
            f"encoder.backbone.name: {name} is no folder here; a model of the Hub needs `revision: <40 hex digits>`, copied from "
            f"https://huggingface.co/{name}/commits/main"
        )
    directory = on_disk(name, encoder["backbone"]["revision"]) if name else None
    if directory is None:
        return
    try:
        check_code(directory, modules(directory))
    except ValueError as error:
        raise ValueError(f"encoder.backbone.name: {error}") from None
    if encoder["pooling"] is not None and (num := poolings(directory)) not in (None, 1):
        raise ValueError(
            f"encoder.pooling replaces the pooling of a model, and {name} has {num} ({', '.join(modules(directory).values())}); "
            f"expected one; take choose.pooling: own"
        )


def check_corpora(where: str, items: Mapping[str, Any], corpora: Iterable[str]) -> None:
    """Those of ``items``, by name, that name corpora name some of the run."""
    known = sorted(corpora)
    for name, item in items.items():
        for corpus in (item.get("corpora") if isinstance(item, Mapping) else None) or ():  # what is none is told with its shape
            if corpus not in known:
                raise ValueError(
                    f"{where}.{name}.corpora: no corpus {corpus!r}{nearest(corpus, known)}; expected some of {', '.join(known)}, or null "
                    f"for all"
                )


def check_rate(where: str, training: Mapping[str, Any]) -> None:
    optimizer = training.get("optimizer")
    rate = optimizer.get("lr") if isinstance(optimizer, Mapping) else None
    if isinstance(rate, int | float) and not 0 < rate < math.inf:
        raise ValueError(
            f"{where}.optimizer.lr: expected a finite number above 0, got {rate}; conf/encoder says which rates fit (pace)"
        )


def check_precision(where: str, training: Mapping[str, Any], runtime: Mapping[str, Any]) -> None:
    """Steps are smaller than the distance of two bfloat16 numbers: without an fp32 copy of the weights most of them are lost."""
    if training["precision"] == "bf16-true" and not str(runtime["strategy"]).startswith("deepspeed"):
        raise ValueError(
            f"{where}.precision: expected 32-true or bf16-mixed with runtime.strategy {runtime['strategy']}, got bf16-true, under which "
            f"most steps of most weights round to none; take bf16-mixed, or a strategy deepspeed_*, which keeps the weights in fp32 too"
        )


def check_slow(where: str, training: Mapping[str, Any], runtime: Mapping[str, Any]) -> None:
    """A slow copy of the encoder follows its weights, which each process must hold whole."""
    if str(runtime["strategy"]) in WHOLE:
        return
    for task, settings in training.get("tasks", {}).items():
        for path, node in nodes(settings.get("objective"), f"{where}.tasks.{task}.objective"):
            if class_value(node["_target_"], "needs_slow", path):
                raise ValueError(
                    f"{path}: {node['_target_']} needs a slow copy of the encoder, which follows the whole weights: expected "
                    f"runtime.strategy {', '.join(WHOLE)}, got {runtime['strategy']}; take one of these, or another objective"
                )


def check_probes(config: Mapping[str, Any]) -> None:
    """Methods that try merges on rows set aside need these to be set aside, before hours of training go by without."""
    aside = config["curate"]["probe"]["rows"]
    for name, section in config["merge"].items():
        if section["probe"] is None or name in config["left_out"].get("merge", {}):
            continue
        need = 2 * section["probe"]["pairs_per_task"]
        lacking = [task for task in sorted(section["probe"]["objectives"]) if aside.get(task, 0) < need]
        if lacking:
            found = ", ".join(f"{task} {aside.get(task, 0)}" for task in lacking)
            raise ValueError(
                f"merge.{name} tries merges on rows that nothing is trained on: expected curate.probe.rows of at least {need} for each of "
                f"its tasks, twice its probe.pairs_per_task, got {found}; add `curate.probe.rows: "
                f"{{{', '.join(f'{task}: {need}' for task in lacking)}}}` under `set` in params.yaml, or take {name} out of `methods`"
            )


def _check_own(where: str, path: str, training: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """A query that has only its own negatives needs some; validation rows have none."""
    if settings.get("negatives") != "own":
        return
    if not settings["num_negatives"]:
        raise ValueError(
            f"{path}.num_negatives: expected 1 or more with `negatives: own`, which leaves a query no others, got 0; raise it, or take "
            f"`negatives: gathered`"
        )
    if training["early_stop"] is not None:
        raise ValueError(
            f"{where}.early_stop: expected null where {path} has `negatives: own`: none are mined for validation rows"
        )


def _check_control(where: str, training: Mapping[str, Any], controls: Mapping[str, Any]) -> None:
    """A control is a deal of the rows that curate makes."""
    control = training.get("control")
    if control is not None and control not in controls:
        raise ValueError(
            f"{where}.control: expected a name under curate.controls ({', '.join(sorted(controls)) or 'there is none'}), got {control!r}"
            f"{nearest(control, controls)}; add it there, or set it to null"
        )


def _check_teachers(where: str, phase: Mapping[str, Any]) -> None:
    """Named by hash, as `train` may leave out for the base alone, which a phase is there to make."""
    for task, settings in phase["tasks"].items():
        for name in (name for name, node in settings["teachers"].items() if node.get("sha256", "") is None):
            raise ValueError(
                f"{where}.tasks.{task}.teachers.{name}: a teacher needs its `sha256` here; checkpoints/base is what phases make"
            )


def check_tasks(config: Mapping[str, Any], evaluators: Mapping[str, str]) -> None:
    """What corpora declare, trainings learn and evaluators score fits together. ``evaluators``: by name the kind that each scores."""
    tasks = config["tasks"]
    left_out = config["left_out"].get("train", {})
    named = [(f"train.{name}", "`experts` and `models`", one) for name, one in config["train"].items() if name not in left_out]
    phases = config["pretrain"]["phases"]
    named += [(f"pretrain.phases.{name}", "the experiment", one) for name, one in phases.items()]
    for where, place, training in named:
        for task in training.get("tasks", {}):
            if task not in tasks:
                raise ValueError(
                    f"{where}: no corpus has rows of task {task!r}{nearest(task, tasks)}; they have {', '.join(tasks) or 'none'}. Add a "
                    f"corpus, or take {where.rpartition('.')[2]} out of {place}"
                )
            if not KINDS[tasks[task]["kind"]].learned:
                raise ValueError(
                    f"{where}: task {task!r} is of kind {tasks[task]['kind']}, which is only scored; take it out of its tasks"
                )
            _check_kind(where, training["fit"]["_target_"], task, KINDS[tasks[task]["kind"]])
    by_kind: dict[str, str] = {}
    for name, kind in evaluators.items():
        if by_kind.setdefault(kind, name) != name:
            raise ValueError(
                f"evaluate.evaluators: {by_kind[kind]} and {name} both score tasks of kind {kind}; set one to null"
            )
    for task, one in tasks.items():
        kind = KINDS[one["kind"]]
        if kind.evaluated and kind.name not in evaluators.values():
            raise ValueError(
                f"evaluate.evaluators: none scores tasks of kind {kind.name}, such as {task!r}; there are {', '.join(sorted(by_kind))}"
            )
        if not (kind.evaluated or one["learned"] or any("tasks" not in phase for phase in phases.values())):
            raise ValueError(
                f"task {task!r}: its rows are neither scored, as all of kind {kind.name}, nor does an expert or a phase learn them; take "
                f"its corpus out, or add a phase (conf/phase; `choose.experiment` says which there are)"
            )


def _check_kind(where: str, fit: str, task: str, kind: Kind) -> None:
    """What trains says of itself which shapes of tasks it learns."""
    learns = class_value(fit, "learns", f"{where}.fit") or ()
    if kind.shape not in learns:
        fitting = sorted(one.name for one in KINDS.values() if one.learned and one.shape in learns)
        raise ValueError(
            f"{where}: task {task!r} is of kind {kind.name}, which {fit} does not learn; it learns {', '.join(fitting) or 'no task'}. "
            f"Name another `fit`: conf/expert and conf/phase show which there are (conf/expert/hp.yaml for complexes)"
        )


def check_audit(kinds: Mapping[str, Kind], texts: str | None) -> None:
    """One audit reads the rows of all tasks. ``texts``: what it reads; None: whatever there is."""
    unread = [f"{task} {kind.texts}" for task, kind in sorted(kinds.items()) if texts not in (None, kind.texts)]
    if unread:
        raise ValueError(
            f"curate.audit: a page has one split and one audit, and this audit looks for leaks in {texts} alone, but corpora have rows "
            f"of {', '.join(unread)}, which would be scored without having been looked at; take these corpora out and give them a page "
            f"of their own, or choose an audit that reads them (words: prose; chains, stretch: residues)"
        )


def check_bounds(where: str, training: Mapping[str, Any]) -> None:
    if all(training[key] is None for key in ("steps_per_task", "max_steps_per_task", "epochs", "budget_minutes")):
        raise ValueError(
            f"{where}: nothing says how long it is; expected a number for one of epochs, max_steps_per_task, steps_per_task or "
            f"budget_minutes; choose.recipe gives them all"
        )


def check_snapshots(where: str, kept: Mapping[str, int], steps: int) -> None:
    if kept["every_steps"] * kept["last"] >= steps:
        raise ValueError(
            f"{where}.snapshots: {kept['last']} of them, {kept['every_steps']} steps apart, do not fit before the end of {steps} steps; "
            f"lower last or every_steps"
        )


def num_processes(runtime: Mapping[str, Any]) -> int:
    return int(runtime["devices"]) * int(runtime["num_nodes"])


def check_training(
    where: str, training: Mapping[str, Any], *, longest: int | None, processes: int, mined: Mapping[str, int]
) -> None:
    """``longest``: the encoder's own limit of a text, in tokens; None: not known yet. ``mined``: by task, the most hard negatives that a
    query can have."""
    tokens = min(filter(None, (training["max_length_tokens"], longest)), default=0)  # 0: the model says so when it is here
    if training["chunk_tokens"] < tokens:
        raise ValueError(
            f"{where}.chunk_tokens: expected at least {tokens}, which a single text may have (max_length_tokens), "
            f"got {training['chunk_tokens']}; raise chunk_tokens or lower max_length_tokens"
        )
    kept = training.get("snapshots")  # phases have none
    if kept and training.get("steps_per_task") is not None:  # else their number follows from the rows
        check_snapshots(where, kept, training["steps_per_task"] * len(training["tasks"]))
    for task, settings in training["tasks"].items():
        path, size = f"{where}.tasks.{task}", settings["batch_size"]
        least = 2 * processes if settings.get("negatives") == "in_batch" else processes
        kind = f" with negatives {settings['negatives']}" if "negatives" in settings else ""
        if size < least:
            raise ValueError(
                f"{path}.batch_size: expected at least {least} for {processes} processes{kind}, "
                f"got {size}; raise batch_size, or lower runtime.devices"
            )
        _check_own(where, path, training, settings)
        most = mined.get(task, 0)
        if (num := settings.get("num_negatives", 0)) > most:
            raise ValueError(
                f"{path}.num_negatives: expected at most {most}, the hard negatives that a query has, got {num}; "
                f"raise num_negatives or depth of the miner (mine.miner, or the phase's own `mine`), or lower num_negatives"
            )
