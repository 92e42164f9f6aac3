"""What a derivation cannot be of: told by `compose`, before anything is trained."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.models import DERIVED, MERGED
from pipeline.shape import Page
from pipeline.spelling import nearest


def check_derivations(page: Page) -> None:
    """Each is of a model that is there or that the run makes, and not of itself; derived `models` are made. ValueError says which is
    meant. It looks at the page alone, which is read in a moment."""
    made = {f"{DERIVED}/{name}": str(line["of"]) for name, line in page.derivations.items()}
    trained = ["checkpoints/backbone", "checkpoints/base", *page.experts.values()]
    known = [*trained, *(f"{MERGED}/{name}" for name in page.methods), *made]
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


def _check_circle(where: str, start: str, made: Mapping[str, str]) -> None:
    way = [start]
    while made.get(way[-1]) is not None and len(way) <= len(made):
        way.append(made[way[-1]])
        if way[-1] == start:
            raise ValueError(f"{where}: it comes of itself: {' <- '.join(way)}; a derivation is of a model made before it")
