"""What a stage under Hydra's command line runs with (`pipeline.stage.sweep`): the page, and a person's own overrides, which win."""

from collections.abc import Sequence
from typing import Any

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig

from pipeline.build import load
from pipeline.choice import (
    CONF,
    PAGE,
    PER_ITEM,
    Choice,
    alone,
    check_choice,
    cleared,
    composed,
    composed_with,
    of_items,
    placed,
    shared,
)
from pipeline.experts import JOINT, composing
from pipeline.params import check_config, for_item, resolved
from pipeline.shape import Config, Page
from pipeline.spelling import nearest
from pipeline.task import KINDS

GROUPS = {"train": "expert", "merge": "merging"}  # of sections whose items are choices of Hydra's too


def hydra_overrides(page: Page, stage: str, item: str | None, own: Sequence[str]) -> list[str]:
    """The choices of ``params.yaml`` as Hydra overrides, ahead of a person's own ones, which win. Its values: `sweep_config`.

    Choices of an expert or a method are among them where there is one; a sweep over several gets them job by job. A baseline, which
    Hydra's root does not hold, is put there. ValueError where ``item`` names none."""
    named = _overridden(own)
    plain = [f"{group}={name}" for group, name in alone(page).items() if group not in named]
    if stage == "baseline":
        check_choice("baseline", str(item), "python -m pipeline baseline <name>")
        plain.append(f"+baseline={item}")
    parsed = _parsed(own)
    if stage == "train":
        plain += _learned_together(page, parsed)
    choices = _unnamed(placed(page), named)
    if not choices and not cleared(page):
        check_overrides(plain, own)
        return [*plain, *own]
    fixed = [str(one.input_line) for one in parsed if not one.is_sweep_override() and _is_choice(one.key_or_group)]
    swept = {one.key_or_group for one in parsed if one.is_sweep_override()}
    GlobalHydra.instance().clear()
    with initialize_config_dir(config_dir=str(CONF.absolute()), version_base="1.3"):
        found = composed_with([*plain, *fixed], shared(choices), cleared(page))
        added = list(found.added)
        group = GROUPS.get(stage)
        if group and group not in swept:
            own_choices = _of_item(page, stage, found.standing[group], choices, [*plain, *fixed, *added])
            added += composed_with([*plain, *fixed, *added], own_choices).added
    if group not in swept:  # else each job has choices of its own, and its keys are looked at there
        check_overrides([*plain, *added], own)
    return [*plain, *added, *own]


def _learned_together(page: Page, parsed: Sequence[Override]) -> list[str]:
    """What makes `joint` learn the page's own tasks, as `pipeline.experts` says. ValueError where it is one of several swept experts."""
    chosen = next((_names(one) for one in parsed if one.key_or_group == "expert"), [])
    if JOINT not in chosen:
        return []
    kinds = {task: KINDS[one["kind"]] for task, one in load()["tasks"].items()}
    more = composing(JOINT, kinds, page.experts)[1:]
    if more and len(chosen) > 1:
        raise ValueError(f"expert={','.join(chosen)}: {JOINT} learns tasks of this page's own; sweep it alone, expert={JOINT}")
    return more


def check_overrides(fixed: Sequence[str], own: Sequence[str]) -> None:
    """ValueError where one of a person's ``own`` overrides is none, or names a choice or a key that there is not: Hydra would print its
    search path, or a traceback. ``fixed``: those that are known to be right, which come first."""
    parsed, choices = _parsed(own), list(fixed)
    for one in parsed:
        if not one.is_delete() and _is_choice(one.key_or_group):
            place = f"@{one.package}" if one.package else ""
            choices.append(f"{'+' if one.is_add() else ''}{one.key_or_group}{place}={_names(one)[0]}")
    GlobalHydra.instance().clear()
    with initialize_config_dir(config_dir=str(CONF.absolute()), version_base="1.3"):
        at = _composed(choices)
    for one in parsed:
        if not (one.is_add() or one.is_force_add() or one.is_delete() or _is_choice(one.key_or_group)):
            _check_key(at, one.key_or_group)


def _parsed(own: Sequence[str]) -> list[Override]:
    """ValueError where one is no override, or chooses what there is not."""
    try:
        parsed = OverridesParser.create().parse_overrides(list(own))
    except HydraException as error:
        raise ValueError(
            f"{str(error).splitlines()[0]}; expected key=value, and quotes around what Hydra reads otherwise"
        ) from None
    for one in parsed:
        if not one.is_delete() and _is_choice(one.key_or_group):
            for name in _names(one):
                check_choice(one.key_or_group, name, str(one.input_line))
    return parsed


def _names(one: Override) -> list[str]:
    return [str(name) for name in (one.sweep_iterator() if one.is_sweep_override() else [one.value()])]


def _composed(overrides: Sequence[str]) -> DictConfig:
    try:
        return composed(overrides).cfg
    except HydraException as error:
        raise ValueError(f"{' '.join(overrides)}: {str(error).splitlines()[0]}") from None


def _check_key(cfg: DictConfig, path: str) -> None:
    at: Any = cfg
    if path.startswith(("hydra.", "hydra/")):
        return
    for key in path.split("."):
        known = [str(name) for name in at] if isinstance(at, DictConfig) else []
        if key not in known:
            raise ValueError(
                f"{path}=: no key {key!r}{nearest(key, known)}; keys there: {', '.join(known) or 'none'}; write +{path}= to add one"
            )
        at = at._get_node(key)


def _of_item(page: Page, stage: str, item: str, choices: Sequence[Choice], overrides: Sequence[str]) -> list[Choice]:
    """The choices that hold for one item: the others of the page are composed too, since a choice that replaces one in any is added to
    none."""
    group = GROUPS[stage]
    if not any(choice.package.split(".")[0] == stage for choice in choices):
        return []
    listed = {name for name in getattr(page, PER_ITEM[stage]) if (CONF / group / f"{name}.yaml").is_file()}
    plain = [one for one in overrides if one.split("=")[0] != group and _is_choice(one.split("=")[0])]
    parts = {name: composed([*plain, f"{group}={name}"]) for name in sorted(listed - {item})}
    parts[item] = composed(overrides)
    return of_items(stage, choices, parts)[item]


def _is_choice(key: str) -> bool:
    return (CONF / key).is_dir()


def _overridden(overrides: Sequence[str]) -> set[str]:
    """The keys of Hydra overrides, as in ``+train.optimizer.lr=1e-5``."""
    return {override.split("=")[0].lstrip("+~") for override in overrides}


def _unnamed(choices: Sequence[Choice], named: set[str]) -> list[Choice]:
    """Those at whose place none of the overrides ``named`` chooses."""
    packages = {key.partition("@")[2] for key in named}
    return [choice for choice in choices if choice.package not in packages]


def sweep_config(cfg: DictConfig, page: Page, stage: str, item: str | None, overrides: Sequence[str]) -> dict[str, Any]:
    """The whole configuration of one Hydra job: ``cfg``, with the values of ``page.set`` that ``overrides`` do not name.

    From `data/config.yaml` come the corpora, and the items of the sections that a job has no part in.
    """
    known = load()
    named = _overridden(overrides)
    own = {key for key in named if not _is_choice(key.partition("@")[0])}  # values, not choices
    if stage in GROUPS and item and (missing := _of_item(page, stage, item, _unnamed(placed(page), named), overrides)):
        cfg = composed_with(overrides, missing).cfg
    items = {"train": page.experts, "merge": page.methods, "baseline": page.baselines}.get(stage, ())
    named = dict(for_item(page.set, stage, item or "", dict.fromkeys(items)))
    values = {path: value for path, value in named.items() if not any(f"{path}.".startswith(f"{key}.") for key in own)}
    whole = resolved(cfg, values, f"{PAGE}: set")
    config = {name: whole[name] for name in Config.model_fields if name in whole}
    for section in PER_ITEM:
        config[section] = {item: whole[section]} if section == stage else known[section]
    config["derive"] = known["derive"]
    config["experts"] = dict(page.experts)
    if stage == "train":
        config["experts"].setdefault(str(item), f"checkpoints/experts/{item}")
    config["models"] = dict(page.models)
    config["tasks"], config["left_out"] = known["tasks"], {}
    config["ingest"]["corpora"] = known["ingest"]["corpora"]
    return check_config(config)
