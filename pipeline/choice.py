"""What `params.yaml` chooses by name, as Hydra's overrides.

A choice is ``group: name``, or ``group@package: name``, where the package is a place of `data/config.yaml`. A place that holds a choice
gets the new one in its stead; a place that holds nothing gets it added. `set` then changes single values of what was chosen.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from hydra import compose
from omegaconf import DictConfig, OmegaConf, open_dict

from pipeline.shape import Page
from pipeline.spelling import nearest

CONF, PAGE = Path("conf"), Path("params.yaml")
PER_ITEM = {"train": "experts", "merge": "methods", "baseline": "baselines"}  # sections with a part for each item of the page
# Groups whose names stand under a heading of their own on the page.
HEADINGS = {"expert": "experts", "merging": "methods", "baseline": "baselines", "corpus": "corpora", "source": "corpora"}
FORMER = {"method": "merging", "miner": "mining", "probe": "probing"}  # names that groups had before, which older pages hold
# Headings that replace what the catalogue lists: the group, and the section that has a mapping of the heading's name.
LISTS = {
    "behaviours": ("behaviour", "stress"),
    "evaluators": ("evaluator", "evaluate"),
    "filters": ("filter", "curate"),
    "forms": ("form", "final"),
    "measures": ("measure", "curate"),
}


@dataclass(frozen=True)
class Choice:
    """``name`` of ``group`` at ``package``; ``written``: where the page says so."""

    group: str
    package: str
    name: str
    written: str

    @property
    def key(self) -> str:
        return f"{self.group}@{self.package}"


@dataclass(frozen=True)
class Composed:
    """A composition, the choices that made it (``group@package`` to name), and the overrides beside those it was asked for."""

    cfg: DictConfig
    standing: Mapping[str, str]
    added: Sequence[str] = ()


def check_choice(group: str, name: str, where: str) -> None:
    """ValueError, with the nearest name, unless ``conf/<group>/<name>.yaml`` exists."""
    names = sorted(file.stem for file in (CONF / group).glob("[!_]*.yaml"))
    if name not in names:
        raise ValueError(f"{where}: no {CONF / group / name}.yaml{nearest(name, names)}; there are: {', '.join(names)}")


def check_choices(page: Page, where: str) -> None:
    """ValueError, with the nearest name, where a choice of the page names no group, or a name that its group lacks."""
    groups = sorted(folder.name for folder in CONF.iterdir() if folder.is_dir() and folder.name != "page")
    for key, name in page.choose.items():
        group, at = key.partition("@")[0], f"{where}: choose.{key}"
        if group not in groups:
            meant = nearest(FORMER.get(group, group), groups)
            raise ValueError(f"{at}: no such group{meant}; groups: {', '.join(groups)}")
        if group in HEADINGS:
            raise ValueError(f"{at}: what is taken of {CONF / group} stands under `{HEADINGS[group]}`; write it there")
        check_choice(group, name, at)
    for heading, (group, _) in LISTS.items():
        for name in _listed(page, heading).values():
            check_choice(group, name, f"{where}: {heading}")


def alone(page: Page) -> dict[str, str]:
    """The page's choices of groups that have one place in the catalogue's defaults: group to name."""
    known = _have_one_place()
    found = {}
    for key, name in page.choose.items():
        group, _, package = key.partition("@")
        if group in known and package in ("", _own_package(group, name)):
            found[group] = name
    return found


def placed(page: Page) -> list[Choice]:
    """The page's other choices, and what its lists name."""
    known = _have_one_place()
    found = []
    for key, name in page.choose.items():
        group, _, package = key.partition("@")
        if group not in known or package not in ("", _own_package(group, name)):
            found.append(Choice(group, package, name, f"choose.{key}"))
    for heading, (group, section) in LISTS.items():
        listed = _listed(page, heading).items()
        found += [Choice(group, f"{section}.{heading}.{key}", name, f"{heading}.{key}") for key, name in listed]
    return found


def shared(choices: Sequence[Choice]) -> list[Choice]:
    """Those of sections that are one for the whole page."""
    return [choice for choice in choices if choice.package.split(".")[0] not in PER_ITEM]


def cleared(page: Page) -> list[str]:
    """Places whose choices are replaced by a list of the page."""
    return [f"{section}.{heading}" for heading, (_, section) in LISTS.items() if getattr(page, heading) is not None]


def composed(overrides: Sequence[str], config: str = "config") -> Composed:
    cfg = compose(config, overrides=list(overrides), return_hydra_config=True)
    standing = OmegaConf.to_container(cfg.hydra.runtime.choices)
    assert isinstance(standing, dict)
    with open_dict(cfg):
        del cfg["hydra"]
    return Composed(cfg, {str(key): str(name) for key, name in standing.items()})


def composed_with(
    overrides: Sequence[str], choices: Sequence[Choice], emptied: Collection[str] = (), config: str = "config"
) -> Composed:
    """The composition of ``overrides`` with ``choices``, and without what stands in the places ``emptied`` beside them.

    A choice inside the place of another waits until that one is made. ValueError where one has no place."""
    found, added, left = composed(overrides, config), list[str](), list(choices)
    packages = {choice.package for choice in choices}
    gone = [key for key in found.standing if _parent(key) in emptied and key.partition("@")[2] not in packages]
    added += [f"~{key}" for key in gone]
    while left or gone:
        ready = [one for one in left if not any(one.package.startswith(f"{other.package}.") for other in left)]
        for choice in ready:
            added += _overrides(choice, found)
        left, gone = [one for one in left if one not in ready], []
        again = composed([*overrides, *added], config)
        found = Composed(again.cfg, again.standing, added)
    return found


def of_items(section: str, choices: Sequence[Choice], items: Mapping[str, Composed]) -> dict[str, list[Choice]]:
    """By item of ``section`` the choices that hold for it: those that name it, and of those that name none, what replaces a choice in
    it. What replaces none in any item is added where it has a place; ValueError where it has one nowhere."""
    found: dict[str, list[Choice]] = {item: [] for item in items}
    for choice in sorted(choices, key=lambda one: one.package.count(".")):
        first, _, rest = choice.package.partition(".")
        item, _, inside = rest.partition(".")
        if first != section:
            continue
        if item in items:
            found[item].append(Choice(choice.group, f"{section}.{inside}", choice.name, choice.written))
            continue
        if not items:
            raise ValueError(f"{PAGE}: {choice.written}: {section} has no items; list one under {PER_ITEM[section]}")
        known = [*items, *dict.fromkeys(str(key) for one in items.values() for key in one.cfg[section])]
        if item not in known:
            raise ValueError(
                f"{PAGE}: {choice.written}: no key {item!r} under {section}{nearest(item, known)}; items and keys there: {', '.join(known)}"
            )
        holders = [name for name, one in items.items() if _at(choice.package, one)]
        for name in holders or _with_place(choice, items, found):
            if all(other.key != choice.key for other in found[name]):
                found[name].append(choice)
    return found


def _with_place(choice: Choice, items: Mapping[str, Composed], found: Mapping[str, Sequence[Choice]]) -> list[str]:
    """Items to which ``choice`` can be added as they are, or within what is ``found`` for them already. ValueError where none."""
    inside = [name for name in items if any(choice.package.startswith(f"{other.package}.") for other in found[name])]
    holders = inside or [name for name, one in items.items() if not _no_place(one.cfg, choice.package)]
    if not holders:
        raise _refusal(choice, list(items.values()))
    return holders


def _overrides(choice: Choice, at: Composed) -> list[str]:
    """What puts ``choice`` into the composition ``at``. ValueError, with the nearest place, where it has none."""
    if choice.key in at.standing:
        return [f"{choice.key}={choice.name}"]
    others = _at(choice.package, at)
    if not others and _no_place(at.cfg, choice.package):
        raise _refusal(choice, [at])
    return [*(f"~{key}" for key in others), f"+{choice.key}={choice.name}"]


def _at(package: str, found: Composed) -> list[str]:
    """Keys of the choices that stand at ``package``: none or one."""
    return [key for key in found.standing if package and key.partition("@")[2] == package]


def _refusal(choice: Choice, tried: Sequence[Composed]) -> ValueError:
    problems = [_no_place(one.cfg, choice.package) for one in tried]
    problem = next((problem for problem in problems if "did you mean" in problem), problems[0])
    keys = sorted({key for one in tried for key in one.standing if key.startswith(f"{choice.group}@")})
    stands = f"{choice.group} stands at {', '.join(key.partition('@')[2] for key in keys)}" if keys else ""
    headings = [f"it can be listed under `{heading}`" for heading, (group, _) in LISTS.items() if group == choice.group]
    said = [f"{PAGE}: {choice.written}: {problem}", *([stands] if stands else []), *headings]
    return ValueError("; ".join(said))


def _no_place(cfg: DictConfig, package: str) -> str:
    """Why nothing can be added at ``package``, or nothing."""
    if not package:
        return "expected a place of data/config.yaml too, `group@place: name`"
    *parents, last = package.split(".")
    at = cfg
    for depth, key in enumerate(parents):
        above = ".".join(parents[:depth]) or "the top"
        if key not in at:
            return f"no key {key!r} under {above}{nearest(key, at)}"
        if not isinstance(at[key], DictConfig):
            return f"{'.'.join(parents[: depth + 1])} is {at[key]!r}, which holds no further keys"
        at = at[key]
    if at.get(last):
        return f"{package} is not chosen by name: change its values under `set`"
    return ""


def _listed(page: Page, heading: str) -> Mapping[str, str]:
    listed = getattr(page, heading) or {}
    return listed if isinstance(listed, Mapping) else {name: name for name in listed}


def _parent(key: str) -> str:
    return key.partition("@")[2].rpartition(".")[0]


def _have_one_place() -> set[str]:
    """Groups that the catalogue's own defaults name without a package."""
    defaults = yaml.safe_load((CONF / "config.yaml").read_text(encoding="utf-8"))["defaults"]
    return {group for one in defaults if isinstance(one, dict) for group in one if "@" not in group}


def _own_package(group: str, name: str) -> str:
    """The package that the file itself names in its first line, ``# @package encoder.pooling``."""
    first = (CONF / group / f"{name}.yaml").read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("# @package ").strip() if first.startswith("# @package ") else ""
