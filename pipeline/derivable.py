"""What a derivation cannot be of: told by `compose`, before anything is trained."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.models import DERIVED, MERGED
from pipeline.spelling import nearest


def check_derivations(config: Mapping[str, Any]) -> None:
    """Each is of a model that is there or that the run makes, and not of itself; derived `models` are made. ValueError says which is
    meant."""
    made = {f"{DERIVED}/{name}": one["of"] for name, one in config["derive"].items()}
    known = ["checkpoints/backbone", "checkpoints/base", *config["experts"].values()]
    known += [*(f"{MERGED}/{name}" for name in config["merge"]), *made]
    for name, one in config["derive"].items():
        of = one["of"]
        where = f"params.yaml: derivations.{name}.of"
        if of in config["models"]:
            raise ValueError(f"{where}: expected a directory, which DVC can follow, got a name; write {config['models'][of]}")
        if of not in known and (of.startswith("checkpoints/") or not Path(of).is_dir()):
            raise ValueError(
                f"{where}: no model is made in {of}{nearest(of, known)}; expected a directory of a model: {', '.join(known)}"
            )
        _check_circle(where, f"{DERIVED}/{name}", made)
        if any(path == of and config["train"][expert]["affinity"] for expert, path in config["experts"].items()):
            raise ValueError(f"{where}: {of} predicts the affinity of complexes; expected a model whose vectors are compared")
    for model, path in config["models"].items():
        if DERIVED in Path(path).parents and path not in made:
            raise ValueError(
                f"params.yaml: models.{model}: no derivation makes {path}{nearest(path, made)}; add it under `derivations`"
            )


def _check_circle(where: str, start: str, made: Mapping[str, str]) -> None:
    way = [start]
    while made.get(way[-1]) is not None and len(way) <= len(made):
        way.append(made[way[-1]])
        if way[-1] == start:
            raise ValueError(f"{where}: it comes of itself: {' <- '.join(way)}; a derivation is of a model made before it")
