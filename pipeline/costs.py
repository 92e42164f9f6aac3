"""What each stage took: files in `costs/`, and a page of them. No output of a stage, so its code is part of no stage's hash."""

import html
import resource
from pathlib import Path

from pipeline.checkpoint import read_json, write_json, write_text
from pipeline.distributed import first_process

COSTS = Path("costs")  # beside the outputs, since nothing in an output may depend on time


def record_cost(name: str, seconds: float) -> None:
    """Seconds of a stage, less the start of Python, and the most memory it held: a file each, and one page of them all."""
    if not first_process():
        return
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3  # kilobytes on Linux
    write_json(COSTS / f"{name}.json", {"stage": name, "seconds": round(seconds, 1), "peak_mb": round(peak_mb)})
    costs = sorted((read_json(file) for file in COSTS.glob("*.json")), key=lambda cost: (-cost["seconds"], cost["stage"]))
    rem = 14 / (costs[0]["seconds"] or 1)
    bar = "<div style='background:#0e7490; height:.6rem; width:{:.1f}rem'></div>"
    rows = "".join(
        f"<tr><td>{html.escape(one['stage'])}<td>{one['seconds']:.1f}<td>{one['peak_mb']}<td>{bar.format(rem * one['seconds'])}"
        for one in costs
    )
    write_text(COSTS / "index.html", (
        "<!doctype html><meta charset=utf-8><meta name=viewport content='width=device-width'><title>Cost of each stage</title>"
        "<style>body{font:16px/1.5 system-ui;margin:2rem}td,th{padding:.2rem .7rem;text-align:left}</style><h1>Cost of each stage</h1>"
        f"<p>When it last ran on this machine; {sum(one['seconds'] for one in costs):.0f} s in all.<table><tr><th>stage<th>seconds"
        f"<th>peak MB<th>{rows}</table>\n"
    ))  # fmt: skip
