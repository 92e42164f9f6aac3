"""The family: what each model scores against its size, what is reckoned for a token, and how long a text it reads; which one to take for
a budget; and, where derivations cut layers and numbers, what is left of the whole model's score."""

from collections.abc import Mapping
from typing import Any

from pipeline.evaluator.scores import at_home, averaged, mean
from pipeline.report.gather import Facts
from pipeline.report.pictures import Member, family_of
from pipeline.report.sizes import Size


def family(facts: Facts) -> dict[str, Any] | None:
    """Members are the evaluated models of which files say how large they are. Which to take is chosen on validation (our own design): by
    size, each that is above all that are no larger; shown are scores on test rows."""
    known = {name: facts.sizes[str(one.path)] for name, one in facts.models.items() if str(one.path) in facts.sizes}
    chosen, shown = (_means(facts, known, split) for split in ("validation", "test"))
    if len({size.bytes for name, size in known.items() if name in shown}) < 2:
        return None
    best = recommended({name: (known[name].bytes, score) for name, score in chosen.items()})
    members = [
        Member(name, known[name].bytes, known[name].per_token, known[name].longest, shown[name], name in best)
        for name in sorted(shown)
    ]
    return {
        "members": sorted(members, key=lambda member: (member.bytes, member.name)),
        "picture": family_of(members),
        "grids": grids(known, shown, {str(one.path): name for name, one in facts.models.items()}),
        "final": facts.final,
    }


def recommended(members: Mapping[str, tuple[int, float]]) -> list[str]:
    """By ``(bytes, score)``: those that score above all others that are as large or smaller; of equals the first by name."""
    found: list[str] = []
    highest = float("-inf")
    for name, (_, score) in sorted(members.items(), key=lambda pair: (pair[1][0], -pair[1][1], pair[0])):
        if score > highest:
            found.append(name)
            highest = score
    return found


def grids(known: Mapping[str, Size], scores: Mapping[str, float], named: Mapping[str, str]) -> list[dict[str, Any]]:
    """For each model that derivations cut in several ways: by layers and numbers kept, the share of its own score. The model itself is its
    last row and column; what was not cut so is empty."""
    found: list[dict[str, Any]] = []
    for of in sorted({size.cut_of for size in known.values() if size.cut_of}):
        whole = named.get(of, "")
        cuts = {name: size for name, size in known.items() if size.cut_of == of and name in scores}
        if whole not in scores or scores[whole] <= 0 or len(cuts) < 2:
            continue
        cells = {(size.layers, size.dims): scores[name] / scores[whole] for name, size in {**cuts, whole: known[whole]}.items()}
        layers, dims = (sorted({side for side in sides if side is not None}) for sides in zip(*cells, strict=True))
        rows = {row: [cells.get((row, column)) for column in dims] for row in layers}
        found.append({"of": whole, "score": scores[whole], "dims": dims, "rows": rows})
    return found


def _means(facts: Facts, known: Mapping[str, Size], split: str) -> dict[str, float]:
    """By model its mean over tasks, of the models that were scored on all that the final one was."""
    entries = {name: at_home(getattr(facts.scores[name], split), facts.guards) for name in known}
    counted = averaged(facts.evaluators, entries.get(facts.final, {}))
    return {name: mean(of, counted) for name, of in entries.items() if counted and all(at in of for at in counted)}
