"""What a fixed model says of the pairs that curation's words left open: how many held-out texts stand in train in other words."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.build import Node, build
from pipeline.manifest import read_json

WHERE = " paraphrased in train"  # behind the name of a split, in leakage.json: `measures.paraphrased` of curate


def in_other_words(curated: Path, search: Node | None) -> list[str]:
    """A line for each held-out split that has such a text. ``search``: `final.paraphrases`; None: its model is not asked. It is loaded only
    where a pair is open."""
    lines: list[str] = []
    judge: Any = None
    for where, found in sorted(read_json(curated / "leakage.json").items()):
        if not where.endswith(WHERE) or "open" not in found:
            continue
        pairs = [(one, other) for one, other in found["open"]]
        if pairs and search is not None and judge is None:
            judge = build(search).by_model
        again = {other for (_, other), same in zip(pairs, judge(pairs), strict=True) if same} if pairs and judge else set()
        if found["in_other_words"] or again or pairs:
            lines.append(_line(where.removesuffix(WHERE), found, len(again) if judge or not pairs else None))
    return lines


def _line(split: str, found: Mapping[str, Any], by_model: int | None) -> str:
    asked, more = len(found["open"]), found["not_handed_on"]
    told = f"{found['in_other_words']} of {found['texts']} {split} texts stand in train in other words, by the words alone"
    if by_model is None:
        return f"{told}; {asked + more} pairs that these leave open were not looked at (final.paraphrases)."
    return f"{told}, and {by_model} more by a fixed model, asked about {asked} pairs{f' of {asked + more}' if more else ''}."
