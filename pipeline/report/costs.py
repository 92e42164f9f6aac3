"""What each stage took: a file for each in `costs/`, a page of them all, and a line that the report shows as a picture.

The page is no part of the report, though it is made from the same templates. Seconds and memory differ from run to run, and no output of
a stage may depend on them: equal inputs give equal bytes. So it lies beside the outputs, the report links to it, and this code is part of
no stage's hash (`pipeline.code_hash`).
"""

import resource
from collections.abc import Collection, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from pipeline.checkpoint import read_json, write_json, write_text
from pipeline.code_hash import ITEMS, STAGES
from pipeline.launched import first_process
from pipeline.report.render import rendered

COSTS = Path("costs")
TEMPLATE = Path(__file__).with_name("costs.html")  # not among those of the report, whose hash they are part of
MAKING = ("pretrain", "mine", "train", "merge", "derive")  # of the model, against reading rows and measuring


def record_cost(name: str, seconds: float, config: Mapping[str, Any]) -> None:
    """Seconds of a stage, less the start of Python, and the most memory it held. Stages that left the page are no part of the sum."""
    if not first_process():
        return
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3  # kilobytes on Linux
    write_json(COSTS / f"{name}.json", {"stage": name, "seconds": round(seconds, 1), "peak_mb": round(peak_mb)})
    costs = recorded(of_page(config))
    write_text(COSTS / "index.html", rendered(TEMPLATE.name, TEMPLATE.parent, costs=costs))
    write_text(COSTS / "total.svg", _picture(total(costs)))


def of_page(config: Mapping[str, Any]) -> set[str]:
    """The stages of a composed configuration, ``stage@item`` where they have items."""
    items = {f"{stage}@{item}" for stage, section in ITEMS.items() for item in config.get(section) or ()}
    return {*STAGES, *items}


def recorded(names: Collection[str]) -> list[dict[str, Any]]:
    """What is known of each of the stages ``names``, the longest first."""
    found = [cost for file in COSTS.glob("*.json") if (cost := read_json(file))["stage"] in names]
    return sorted(found, key=lambda cost: (-cost["seconds"], cost["stage"]))


def total(costs: Sequence[Mapping[str, Any]]) -> str:
    """Minutes and memory of a run in a line; empty where nothing is known."""
    if not costs:
        return ""
    whole = sum(cost["seconds"] for cost in costs) / 60
    making = sum(cost["seconds"] for cost in costs if cost["stage"].partition("@")[0] in MAKING) / 60
    peak = max(cost["peak_mb"] for cost in costs) / 1e3
    return f"{whole:.1f} minutes in all, {making:.1f} of them to make the models; at most {peak:.1f} GB of memory"


def _picture(line: str) -> str:
    """The line as a picture, which a page can show without holding it."""
    width = 8 * len(line) + 60
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="24" role="img"><title>{escape(line)}</title>'
        f'<text x="4" y="17" font-family="system-ui, sans-serif" font-size="14" fill="#1c2733">Cost: {escape(line)}</text></svg>\n'
    )
