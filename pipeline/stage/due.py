"""What DVC would run and why, read from its own status."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import networkx as nx
from dvc.exceptions import DvcException
from dvc.repo import Repo

COMPOSE = "compose"  # has run by the time that its file is compared


class Due(NamedTuple):
    """A stage that would run. ``why``: what differs from its last run, or the stage before it; ``outs``: what it writes."""

    name: str
    why: str
    outs: list[str]


def due() -> tuple[list[Due], list[str]]:
    """The stages that `dvc repro` would run, in an order in which they may run, and the names of those that it would not.

    A stage behind one that runs is counted too; DVC passes it by where what it reads comes out as it was. ValueError where there is no
    DVC, or another command of it is under way.
    """
    try:
        with Repo(".") as repo:
            graph: nx.DiGraph = repo.index.graph
            status: Mapping[str, Any] = repo.status()  # pyright: ignore[reportAssignmentType]
            ordered = [stage for stage in reversed(list(nx.topological_sort(graph))) if hasattr(stage, "name")]
            outs = {stage.addressing: [out.def_path for out in stage.outs] for stage in ordered}
            before = {stage.addressing: [one.addressing for one in graph.successors(stage)] for stage in ordered}
    except DvcException as error:
        raise ValueError(
            f"dvc status: {error}; the plan reads it: run `dvc init` once, and no other dvc command beside"
        ) from None
    found: dict[str, Due] = {}
    for name in outs:
        if name == COMPOSE:
            continue
        behind = [one for one in before[name] if one in found]
        why = "; ".join(line for one in status.get(name, ()) for line in told(one))
        if why or behind:
            found[name] = Due(name, why or f"behind {', '.join(behind)}", outs[name])
    return list(found.values()), [name for name in outs if name not in found and name != COMPOSE]


def told(one: Any) -> list[str]:
    """One entry of DVC's status, which is a word or a tree, in words."""
    if not isinstance(one, Mapping):
        return [str(one)]
    lines = []
    for kind, changes in one.items():
        for path, change in changes.items():
            for what, how in change.items() if isinstance(change, Mapping) else [(path, change)]:
                if what.startswith("code."):
                    lines.append("its code changed")
                elif kind == "changed outs" and not Path(path).exists():
                    lines.append(f"{what} is not there")
                else:
                    lines.append(f"{what} {how}")
    return sorted(set(lines))
