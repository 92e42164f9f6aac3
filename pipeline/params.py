"""What a run is made of: `conf/` and `params.yaml` composed by Hydra, checked, resolved and written as `data/config.yaml`."""

from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from pipeline.build import CONFIG, check_node, class_value, load, nodes
from pipeline.models import singles
from pipeline.shape import Config, Page, checked, checked_config
from pipeline.spelling import nearest
from pipeline.task import Kind, kind_named

CONF = Path("conf")
PAGE = Path("params.yaml")
PER_ITEM = {"train": "experts", "merge": "methods", "baseline": "baselines"}  # sections with a part for each item of the page
GROUPS = (
    "experiment",
    "encoder",
    "pooling",
    "projection",
    "prompt",
    "adapter",
    "dedup",
    "split",
    "audit",
    "miner",
)  # what `choose` may name


def read_page(path: Path = PAGE) -> Page:
    """`params.yaml`, checked against the groups and names that `conf/` holds."""
    if not path.is_file():
        raise ValueError(f"{path} is missing: it says what a run is made of; restore it from git")
    try:
        raw = OmegaConf.to_container(OmegaConf.load(path))
    except (yaml.YAMLError, OSError) as error:
        raise ValueError(f"{path} is not valid YAML: {error}") from error
    if isinstance(raw, dict):  # a heading whose last line was taken out is an empty heading
        raw = {key: {} if value is None and key in ("corpora", "derivations", "set") else value for key, value in raw.items()}
    page = checked(Page, raw, str(path))
    for group, name in page.choose.items():
        if group not in GROUPS:
            raise ValueError(f"{path}: choose.{group}: no such group{nearest(group, GROUPS)}; groups: {', '.join(GROUPS)}")
        check_choice(group, name, f"{path}: choose.{group}")
    for name in page.methods:
        check_choice("method", name, f"{path}: methods")
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


def check_choice(group: str, name: str, where: str) -> None:
    """ValueError, with the nearest name, unless ``conf/<group>/<name>.yaml`` exists."""
    names = sorted(file.stem for file in (CONF / group).glob("*.yaml"))
    if name not in names:
        raise ValueError(f"{where}: no {CONF / group / name}.yaml{nearest(name, names)}; there are: {', '.join(names)}")


def compose_config(page: Page) -> dict[str, Any]:
    """Every stage's section: one composition per item, interpolations resolved, everything checked.

    ``page.set`` holds paths of `data/config.yaml` (``train.sts.steps_per_task``); a path of ``train``, ``merge`` or ``baseline`` that
    names no item (``train.steps_per_task``) holds for every item.
    """
    _register_resolvers()
    choices = [f"{group}={name}" for group, name in page.choose.items()]
    GlobalHydra.instance().clear()
    with initialize_config_dir(config_dir=str(CONF.absolute()), version_base="1.3"):
        root = compose("config", overrides=choices)
        merges = {name: compose("config", overrides=[*choices, f"method={name}"]) for name in page.methods}
        baselines = {name: compose("config", overrides=[*choices, f"+baseline={name}"]) for name in page.baselines}
        corpora = {name: _corpus(name, {}, choices) for name in root.corpora}
        corpora |= {name: _corpus(name, dict(own), choices) for name, own in page.corpora.items()}
        kinds = kinds_of(corpora)
        trains = {name: _expert(name, kinds, choices) for name in page.experts}
    sections: dict[str, Any] = {stage: {} for stage in PER_ITEM}
    for stage, items in (("train", trains), ("merge", merges), ("baseline", baselines)):
        _check_item_paths(page.set, stage, items)
        for name, cfg in items.items():
            values = dict(_for_item(page.set, stage, name, items))
            sections[stage][name] = resolved(cfg, values, f"{PAGE}: set")[stage]
    shared = {path: value for path, value in flat(page.set) if path.split(".")[0] not in sections}
    whole = resolved(root, shared, f"{PAGE}: set")
    config = {name: whole[name] for name in Config.model_fields if name in whole} | sections
    config["derive"] = {name: _derivation(name, dict(own), choices, shared) for name, own in page.derivations.items()}
    config |= {"experts": page.experts, "models": page.models, "tasks": {}, "left_out": {}}
    config["ingest"]["corpora"] = corpora
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


def _expert(name: str, kinds: Mapping[str, Kind], choices: list[str]) -> DictConfig:
    """An expert of the catalogue, or, of the name of a task, one that is trained on that with the settings of its kind."""
    if name not in kinds or (CONF / "expert" / f"{name}.yaml").is_file():
        check_choice("expert", name, f"{PAGE}: experts")
        return compose("config", overrides=[*choices, f"expert={name}"])
    check_choice("task", kinds[name].name, f"{PAGE}: experts.{name}, of kind {kinds[name].name}")
    return compose("config", overrides=[*choices, "~expert", f"+task@train.tasks.{name}={kinds[name].name}"])


def check_config(config: dict[str, Any]) -> dict[str, Any]:
    """``config`` complete, or ValueError that names the key, what was expected, what was found, and the nearest known key."""
    checked_config(config, str(CONFIG))
    if config["final"]["candidates"] is None:
        config["final"]["candidates"] = singles(config)
    if not config["ingest"]["corpora"]:
        raise ValueError(f"no corpus: choose an experiment that names some, or add one line under `corpora:` in {PAGE}")
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


def hydra_overrides(page: Page, overrides: list[str]) -> list[str]:
    """The choices of ``params.yaml`` as Hydra overrides, ahead of a person's own ones, which win. Its values: `sweep_config`."""
    own = _overridden(overrides)
    return [f"{group}={name}" for group, name in page.choose.items() if group not in own] + overrides


def _overridden(overrides: Sequence[str]) -> set[str]:
    """The keys of Hydra overrides, as in ``+train.optimizer.lr=1e-5``."""
    return {override.split("=")[0].lstrip("+~") for override in overrides}


def _corpus(name: str, own: dict[str, Any], choices: list[str]) -> dict[str, Any]:
    """A corpus of the catalogue (``conf/corpus``), or a person's own line: a source, and values of that source."""
    if not own:
        check_choice("corpus", name, "corpora")
        cfg = compose("config", overrides=[*choices, f"+corpus={name}"])
        return _container(cfg.corpus, f"conf/corpus/{name}.yaml")
    where = f"{PAGE}: corpora.{name}"
    source = own.pop("source", None)
    if not isinstance(source, str):
        raise ValueError(f"{where}: expected `source: <name>`, one of conf/source; got {source!r}")
    check_choice("source", source, f"{where}.source")
    cfg = compose("config", overrides=[*choices, f"+source={source}"]).source
    return {"source": resolved(cfg, dict(flat(own)), where), "mirror": None}


def _derivation(name: str, own: dict[str, Any], choices: list[str], shared: Mapping[str, Any]) -> dict[str, Any]:
    """A line of the page: a derivation, the directory of the model that it is of, and values of that derivation."""
    where = f"{PAGE}: derivations.{name}"
    kind, of = own.pop("derivation"), own.pop("of")
    with initialize_config_dir(config_dir=str(CONF.absolute()), version_base="1.3"):
        cfg = compose("config", overrides=[*choices, f"+derivation={kind}"])
    OmegaConf.set_struct(cfg, False)
    for path, value in shared.items():  # the seed, which a derivation may take
        OmegaConf.update(cfg, path, value, merge=False)
    return {"of": of, "derivation": resolved(cfg.derivation, dict(flat(own)), where)}


def _container(cfg: DictConfig, where: str) -> dict[str, Any]:
    try:
        return OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)  # pyright: ignore[reportReturnType]
    except MissingMandatoryValue as error:
        key = str(error.full_key).removeprefix(f"{cfg._get_full_key('')}.")
        raise ValueError(f"{where}: {key} must be given") from None
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


def _for_item(tree: Mapping[str, Any], stage: str, item: str, items: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
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


def sweep_config(cfg: DictConfig, page: Page, stage: str, item: str | None, overrides: Sequence[str]) -> dict[str, Any]:
    """The whole configuration of one Hydra job: ``cfg``, with the values of ``page.set`` that ``overrides`` do not name.

    From `data/config.yaml` come the corpora, and the items of the sections that a job has no part in.
    """
    composed = load()
    own = {key for key in _overridden(overrides) if not (CONF / key).is_dir()}  # values, not choices
    items = {"train": page.experts, "merge": dict.fromkeys(page.methods)}.get(stage, {})
    named = dict(_for_item(page.set, stage, item or "", items))
    values = {path: value for path, value in named.items() if not any(f"{path}.".startswith(f"{key}.") for key in own)}
    whole = resolved(cfg, values, f"{PAGE}: set")
    config = {name: whole[name] for name in Config.model_fields if name in whole}
    for section in PER_ITEM:
        config[section] = {item: whole[section]} if section == stage else composed[section]
    config["derive"] = composed["derive"]
    config["experts"] = dict(page.experts)
    if stage == "train":
        config["experts"].setdefault(str(item), f"checkpoints/experts/{item}")
    config["models"] = dict(page.models)
    config["tasks"], config["left_out"] = composed["tasks"], {}
    config["ingest"]["corpora"] = composed["ingest"]["corpora"]
    return check_config(config)
