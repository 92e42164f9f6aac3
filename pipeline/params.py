"""What a run is made of: `conf/` and `params.yaml` composed by Hydra, checked, resolved and written as `data/config.yaml`."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from pipeline.build import CONFIG, check_node, class_value, nodes
from pipeline.checked import checked, checked_config
from pipeline.choice import (
    CONF,
    PAGE,
    PER_ITEM,
    Choice,
    Composed,
    alone,
    check_choice,
    check_choices,
    cleared,
    composed_with,
    of_items,
    placed,
    shared,
)
from pipeline.experts import composing, of_random
from pipeline.limits import parsed_yaml
from pipeline.models import singles
from pipeline.shape import Page, Shared
from pipeline.spelling import nearest
from pipeline.task import Kind, kind_named
from pipeline.trainable import check_audit, check_corpora, check_encoder


def read_page(path: Path = PAGE) -> Page:
    """`params.yaml`, checked against the groups and names that `conf/` holds."""
    if not path.is_file():
        raise ValueError(f"{path} is missing: it says what a run is made of; restore it from git")
    parsed_yaml(path)  # ValueError where it is none, or so large or deep that it would be read for hours
    try:
        raw = OmegaConf.to_container(OmegaConf.load(path))
    except (yaml.YAMLError, OSError) as error:
        raise ValueError(f"{path} is not valid YAML: {error}") from error
    except RecursionError:
        raise ValueError(
            f"{path}: expected values that can be read, found ${{...}} too deep in each other; write them plainly"
        ) from None
    except OmegaConfBaseException as error:
        raise ValueError(
            f"{path}: {str(error).splitlines()[0]} (at {error.full_key}); ${{...}} names another value: close it, or quote a plain text "
            f"as '\\${{'"
        ) from error
    if isinstance(raw, dict):  # a heading whose last line was taken out is an empty heading
        raw = {key: {} if value is None and key in ("corpora", "derivations", "set") else value for key, value in raw.items()}
    page = checked(Page, raw, str(path))
    check_choices(page, str(path))
    for name in page.methods:
        check_choice("merging", name, f"{path}: methods")
    for name, line in page.derivations.items():
        kind, of = line.get("derivation"), line.get("of")
        if not isinstance(kind, str) or not isinstance(of, str):
            raise ValueError(
                f"{path}: derivations.{name}: expected `derivation: <name>`, one of conf/derivation, and `of: <directory of a model>`; "
                f"got {kind!r} and {of!r}"
            )
        check_choice("derivation", kind, f"{path}: derivations.{name}.derivation")
    for name in page.baselines:
        check_choice("baseline", name, f"{path}: baselines")
        if name in page.models:
            raise ValueError(
                f"{path}: models.{name}: a baseline has that name; scores are kept by name, so call the model otherwise"
            )
    _check_own_page(page, path)
    return page


def _check_own_page(page: Page, path: Path) -> None:
    """An experiment whose rows are of another kind has a page of its own, since DVC reads its lists from `params.yaml` alone."""
    own = CONF / "page" / f"{page.choose.get('experiment')}.yaml"
    if not own.is_file():
        return
    known = checked(Page, OmegaConf.to_container(OmegaConf.load(own)), str(own)).experts
    if not set(known) & set(page.experts):
        raise ValueError(
            f"{path}: choose.experiment is {own.stem}, whose experts are {', '.join(known)}, but `experts` lists "
            f"{', '.join(page.experts) or 'none'}: lists of another experiment. Take its own page:\n"
            f"cp {own} {path} && dvc repro"
        )


def compose_config(page: Page) -> dict[str, Any]:
    """Every stage's section: one composition per item, interpolations resolved, everything checked.

    ``page.set`` holds paths of `data/config.yaml` (``train.sts.steps_per_task``); a path of ``train``, ``merge`` or ``baseline`` that
    names no item (``train.steps_per_task``) holds for every item.
    """
    _register_resolvers()
    plain, choices = [f"{group}={name}" for group, name in alone(page).items()], placed(page)
    GlobalHydra.instance().clear()
    with initialize_config_dir(config_dir=str(CONF.absolute()), version_base="1.3"):
        root = composed_with(plain, shared(choices), cleared(page)).cfg
        OmegaConf.set_struct(root, False)
        corpora = {name: _corpus(root, name, {}) for name in root.corpora}
        corpora |= {name: _corpus(root, name, dict(own)) for name, own in page.corpora.items()}
        kinds = kinds_of(corpora)
        twins = {name: of for name in page.experts if (of := of_random(name, kinds))}
        if twins and "random" not in root.curate.controls:
            root.curate.controls.random = compose("split/random").curate.split
        values = {path: value for path, value in flat(page.set) if path.split(".")[0] not in PER_ITEM}
        whole = resolved(root, values, f"{PAGE}: set")
        whole["ingest"]["corpora"] = corpora
        config = {name: whole[name] for name in Shared.model_fields if name in whole}
        check_shared(config)  # before the items are composed, which takes a while
        for path, named in flat(page.set):
            if re.fullmatch(r"train\.[^.]+\.corpora", path) and isinstance(named, list):
                check_corpora("train", {path.split(".")[1]: {"corpora": named}}, corpora)
        if set(page.experts) & set(kinds):  # what is surely trained; `compose` checks the rest
            check_audit(kinds, class_value(config["curate"]["audit"]["_target_"], "texts", "curate.audit"))
        composers = {
            "train": {name: partial(composed_with, [*plain, *composing(name, kinds, page.experts)]) for name in page.experts},
            "merge": {name: partial(composed_with, [*plain, f"merging={name}"]) for name in page.methods},
            "baseline": {name: partial(_baseline, root, name) for name in page.baselines},
        }
        for stage, parts in composers.items():
            config[stage] = _items(stage, choices, parts, page, twins if stage == "train" else {})
            check_corpora(stage, config[stage], corpora)
        config["derive"] = {name: _derivation(root, name, dict(own)) for name, own in page.derivations.items()}
    config |= {"experts": page.experts, "models": page.models, "tasks": {}, "left_out": {}}
    config = check_config(config)
    learned = {task for training in trainings(config) for task in training.get("tasks", {})}
    config["tasks"] = {task: {"kind": kind.name, "learned": task in learned} for task, kind in sorted(kinds.items())}
    texts = config["encoder"]["prompts"]["texts"]  # those of a kind hold for every task of it
    texts |= {task: texts[kind.name] for task, kind in kinds.items() if kind.name in texts and task not in texts}
    return config


def trainings(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The sections of all experts and phases."""
    return [*config["train"].values(), *config["pretrain"]["phases"].values()]


def kinds_of(corpora: Mapping[str, Any]) -> dict[str, Kind]:
    """By task its kind, as the sources of ``corpora`` declare them: by their `task` and `kind`, or in their class. ValueError where a
    kind is unknown, or a task is of one kind here and of another there."""
    found: dict[str, tuple[Kind, str]] = {}
    for name, corpus in corpora.items():
        for node in filter(None, (corpus["source"], corpus["mirror"])):
            try:
                of_class = class_value(node["_target_"], "tasks", name) or ()
                tasks = [(node["task"], node.get("kind"))] if "task" in node else [(task, None) for task in of_class]
                kinds = {task: kind_named(task, kind) for task, kind in tasks}
            except ValueError as error:
                raise ValueError(f"corpora.{name}: {error}") from None
            for task, kind in kinds.items():
                known, first = found.setdefault(task, (kind, name))
                if known != kind:
                    raise ValueError(
                        f"corpora.{name}: task {task!r} is of kind {kind.name} here and of kind {known.name} in corpus {first}; "
                        f"call one of them otherwise"
                    )
    return {task: kind for task, (kind, _) in found.items()}


def _items(
    section: str,
    choices: Sequence[Choice],
    composers: Mapping[str, Callable[..., Composed]],
    page: Page,
    twins: Mapping[str, str],
) -> dict[str, Any]:
    """By item of ``section`` what its composition says there, with the choices and values of the page that hold for it; for one of
    ``twins`` also what holds for the item that it is a twin of."""
    found = {name: composer(()) for name, composer in composers.items()}
    wanted = of_items(section, choices, found)
    for name, of in twins.items():
        wanted[name] = [*wanted.get(of, ()), *(one for one in wanted[name] if f"@{section}.{name}." in one.written)]
    parts = {name: (composers[name](wanted[name]) if wanted[name] else one).cfg for name, one in found.items()}
    _check_item_paths(page.set, section, parts)
    values = {name: dict(for_item(page.set, section, name, parts)) for name in parts}
    everywhere = dict(for_item(page.set, section, "", parts))
    for name, of in twins.items():  # what holds for every item is in the values of `of`, behind which are those of its own
        values[name] = values.get(of, everywhere) | {
            path: one for path, one in values[name].items() if path not in everywhere or one != everywhere[path]
        }
    return {name: resolved(cfg, values[name], f"{PAGE}: set")[section] for name, cfg in parts.items()}


def check_shared(config: Mapping[str, Any]) -> None:
    """The sections that are one for the whole page, as `check_config`."""
    checked(Shared, config, str(CONFIG))
    if not config["ingest"]["corpora"]:
        raise ValueError(f"no corpus: choose an experiment that names some, or add one line under `corpora:` in {PAGE}")
    for path, node in nodes(config):
        check_node(node, path)
    check_encoder(config["encoder"])
    for corpus in config["evaluate"]["guards"]:
        if corpus not in (known := sorted(config["ingest"]["corpora"])):
            raise ValueError(
                f"evaluate.guards: no corpus {corpus!r}{nearest(corpus, known)}; expected some of {', '.join(known)}: add it under "
                f"`corpora`, with test rows alone"
            )
    check_corpora("pretrain.phases", config["pretrain"]["phases"], config["ingest"]["corpora"])


def check_config(config: dict[str, Any]) -> dict[str, Any]:
    """``config`` complete, or ValueError that names the key, what was expected, what was found, and the nearest known key."""
    checked_config(config, str(CONFIG))
    if config["final"]["candidates"] is None:
        config["final"]["candidates"] = singles(config)
    for path, node in nodes(config):
        check_node(node, path)
    return config


def resolved(cfg: DictConfig, values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """``cfg`` with ``values`` (dotted path -> value) put in, as plain containers. ValueError on a path that does not exist."""
    OmegaConf.set_struct(cfg, False)
    for path in values:
        *parents, last = path.split(".")
        at: Any = cfg
        for depth, key in enumerate([*parents, last]):
            if at is None:
                break  # a section that was null: whatever is put there, its shape is checked with the rest
            known = [str(k) for k in at] if isinstance(at, DictConfig) else []
            if isinstance(at, DictConfig) and not known:
                break  # a mapping that the catalogue leaves empty is a person's to fill, under names of their own
            if key not in known:
                at_path = ".".join([*parents, last][:depth]) or "the top"
                raise ValueError(
                    f"{where}.{path}: no key {key!r} under {at_path}{nearest(key, known)}; keys there: {', '.join(known)}"
                )
            at = at._get_node(key) if key == last and depth == len(parents) else at[key]
    for path, value in values.items():
        OmegaConf.update(cfg, path, value, merge=False)
    return _container(cfg, where)


def flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """``{"a": {"b": 1}}`` -> ``("a.b", 1)``; dotted keys may be mixed in."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _baseline(root: DictConfig, name: str, choices: Sequence[Choice]) -> Composed:
    found = composed_with([], choices, config=f"baseline/{name}")
    return replace(found, cfg=cast(DictConfig, OmegaConf.merge(root, found.cfg)))


def _part(root: DictConfig, group: str, name: str) -> DictConfig:
    """One file of the catalogue below ``root``, whose values it may interpolate; a fifth of the time of a whole composition."""
    return cast(DictConfig, OmegaConf.merge(root, compose(f"{group}/{name}")))


def _corpus(root: DictConfig, name: str, own: dict[str, Any]) -> dict[str, Any]:
    """A corpus of the catalogue (``conf/corpus``), or a person's own line: a source, and values of that source."""
    if not own:
        check_choice("corpus", name, "corpora")
        return _container(_part(root, "corpus", name).corpus, f"conf/corpus/{name}.yaml")
    where = f"{PAGE}: corpora.{name}"
    source = own.pop("source", None)
    if not isinstance(source, str):
        raise ValueError(f"{where}: expected `source: <name>`, one of conf/source; got {source!r}")
    check_choice("source", source, f"{where}.source")
    return {"source": resolved(_part(root, "source", source).source, dict(flat(own)), where), "mirror": None}


def _derivation(root: DictConfig, name: str, own: dict[str, Any]) -> dict[str, Any]:
    """A line of the page: a derivation, the directory of the model that it is of, and values of that derivation."""
    kind, of = own.pop("derivation"), own.pop("of")
    part = _part(root, "derivation", kind).derivation
    return {"of": of, "derivation": resolved(part, dict(flat(own)), f"{PAGE}: derivations.{name}")}


def _container(cfg: DictConfig, where: str) -> dict[str, Any]:
    try:
        return OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)  # pyright: ignore[reportReturnType]
    except MissingMandatoryValue as error:
        key = str(error.full_key).removeprefix(f"{cfg._get_full_key('')}.")
        raise ValueError(f"{where}: {key} must be given; the YAML of its choice in conf/ says what it is") from None
    except OmegaConfBaseException as error:
        raise ValueError(f"{where}: {str(error).splitlines()[0]}") from None


def _check_item_paths(tree: Mapping[str, Any], stage: str, items: Mapping[str, DictConfig]) -> None:
    known = [*items, *dict.fromkeys(str(key) for cfg in items.values() for key in cfg[stage])]
    for path, _ in flat(tree):
        first, *rest = path.split(".")
        where = f"{PAGE}: set.{path}"
        if first == stage and not items:
            raise ValueError(f"{where}: {stage} has no items; list one under {PER_ITEM[stage]}")
        if first == stage and rest and rest[0] not in known:
            raise ValueError(
                f"{where}: no key {rest[0]!r} under {stage}{nearest(rest[0], known)}; items and keys there: {', '.join(known)}"
            )


def for_item(tree: Mapping[str, Any], stage: str, item: str, items: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for path, value in flat(tree):
        keys = path.split(".")
        if keys[0] == stage and len(keys) > 1 and keys[1] in items:
            if keys[1] == item:
                yield ".".join([stage, *keys[2:]]), value
        elif keys[0] == stage or keys[0] not in PER_ITEM:
            yield path, value


def _register_resolvers() -> None:
    def version(distribution: str) -> str:
        try:
            return metadata.version(distribution).split("+")[0]  # 2.13.0+cpu is 2.13.0
        except metadata.PackageNotFoundError:
            return "not installed"

    OmegaConf.register_new_resolver("version", version, replace=True)
