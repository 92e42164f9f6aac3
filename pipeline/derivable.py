"""What a derivation cannot be of: told by `compose`, before anything is trained."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.build import class_value
from pipeline.known import known_of
from pipeline.models import DERIVED, EXPERTS, MERGED
from pipeline.shape import Page
from pipeline.spelling import nearest


def check_derivations(page: Page) -> None:
    """Each is of a model that is there or that the run makes, and not of itself; derived `models` are made. ValueError says which is
    meant. It looks at the page alone, which is read in a moment."""
    made = {f"{DERIVED}/{name}": str(line["of"]) for name, line in page.derivations.items()}
    trained = ["checkpoints/backbone", "checkpoints/base", *page.experts.values()]
    known = [*trained, str(EXPERTS), *(f"{MERGED}/{name}" for name in page.methods), *made]
    for own, of in made.items():
        where = f"params.yaml: derivations.{Path(own).name}.of"
        if of in page.models:
            raise ValueError(f"{where}: expected a directory, which DVC can follow, got a name; write {page.models[of]}")
        if of not in known and (of.startswith("checkpoints/") or not Path(of).is_dir()):
            others = [path for path in known if path != own]
            raise ValueError(
                f"{where}: no model is made in {of}{nearest(of, others)}; expected a directory of a model: {', '.join(others)}"
            )
        _check_circle(where, own, made)
    for model, path in page.models.items():
        if DERIVED in Path(path).parents and path not in made:
            raise ValueError(
                f"params.yaml: models.{model}: no derivation makes {path}{nearest(path, made)}; add it under `derivations`"
            )


def check_derived_of_complexes(config: Mapping[str, Any]) -> None:
    """ValueError where a derivation is of an expert that predicts a number for a complex, out of token vectors."""
    for name, one in config["derive"].items():
        if any(path == one["of"] and config["train"][expert].get("affinity") for expert, path in config["experts"].items()):
            raise ValueError(
                f"params.yaml: derivations.{name}.of: {one['of']} predicts the affinity of complexes; expected a model whose vectors "
                f"are compared"
            )


LACKS = {
    "transformer": "no transformer: it is a table of words",
    "rotary": "no rotary positions, but a table of absolute ones",
    "positions": "no table of absolute positions that could be made longer, but such as are rotary or relative",
}


def check_known(config: Mapping[str, Any]) -> None:
    """ValueError where a model surely lacks what a derivation needs (``needs``), or has less of what it keeps a number of (``bounded``).
    What is not known before the model is made, stage `derive` says."""
    for name, one in config["derive"].items():
        node, of = one["derivation"], one["of"]
        _check_several(f"params.yaml: derivations.{name}", node, of, config["experts"])
        found = known_of(of, config)
        for fact in class_value(node["_target_"], "needs", name) or ():
            if getattr(found, fact) is False:
                raise ValueError(
                    f"params.yaml: derivations.{name}.of: {of} has {LACKS[fact]}; take another model, or another derivation"
                )
        for fact in class_value(node["_target_"], "bounded", name) or ():
            most, asked = getattr(found, fact), node[fact]
            if most is not None and asked is not None and asked > most:
                raise ValueError(
                    f"params.yaml: derivations.{name}.{fact}: expected at most {most}, which {of} has, got {asked}; lower it"
                )


def _check_several(where: str, node: Mapping[str, Any], of: str, experts: Mapping[str, str]) -> None:
    """ValueError where one model is wanted and a directory of several is named, or the other way round."""
    several = class_value(node["_target_"], "several", where) or False
    if several != (Path(of) == EXPERTS):
        wanted = f"expected {EXPERTS}, all models in it" if several else "expected the directory of one model"
        raise ValueError(f"{where}.of: {wanted}, got {of}")
    if not several:
        return
    there = sorted(Path(path).name for path in experts.values() if Path(path).parent == EXPERTS)
    named = there if node["members"] is None else node["members"]
    if unknown := [name for name in named if name not in there]:
        raise ValueError(f"{where}.members: no expert is trained in {EXPERTS}/{unknown[0]}{nearest(unknown[0], there)}")
    if len(named) < 2:
        raise ValueError(f"{where}.of: {EXPERTS} holds {', '.join(there) or 'no expert'}; expected two or more")


def check_controls(config: Mapping[str, Any]) -> None:
    """ValueError where something could be made of a control that learned from another deal of the rows: the run's own test rows are among
    what it learned, and what is made of it would be scored on these."""
    controls = {name: config["experts"][name] for name, one in config["train"].items() if one.get("control") is not None}
    for name, place in controls.items():
        if EXPERTS in Path(place).parents:
            raise ValueError(
                f"params.yaml: experts.{name}: it learns from the split {config['train'][name]['control']}, and merges take what lies in "
                f"{EXPERTS}; write checkpoints/controls/{name}"
            )
        for model, path in config["models"].items():
            if Path(place) in Path(path).parents:
                raise ValueError(
                    f"params.yaml: models.{model}: {path} is of the control {name}, which learned from other rows; expected {place} itself"
                )
        for derived, one in config["derive"].items():
            if Path(place) in (Path(one["of"]), *Path(one["of"]).parents):
                raise ValueError(
                    f"params.yaml: derivations.{derived}.of: {one['of']} learned from the split {config['train'][name]['control']}, where "
                    f"the run's test rows may be train rows; expected a model of the run's own split"
                )


def _check_circle(where: str, start: str, made: Mapping[str, str]) -> None:
    way = [start]
    while made.get(way[-1]) is not None and len(way) <= len(made):
        way.append(made[way[-1]])
        if way[-1] == start:
            raise ValueError(f"{where}: it comes of itself: {' <- '.join(way)}; a derivation is of a model made before it")
