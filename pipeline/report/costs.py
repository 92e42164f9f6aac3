"""What each stage took: a file for each in `costs/`, and a page of them all.

The page is no part of the report, though it is made from the same templates. Seconds and memory differ from run to run, and no output of
a stage may depend on them: equal inputs give equal bytes. So it lies beside the outputs, the report links to it, and this code is part of
no stage's hash (`pipeline.code_hash`).
"""

import resource
from pathlib import Path

from pipeline.checkpoint import read_json, write_json, write_text
from pipeline.distributed import first_process
from pipeline.report.render import rendered

COSTS = Path("costs")
TEMPLATE = Path(__file__).with_name("costs.html")  # not among those of the report, whose hash they are part of


def record_cost(name: str, seconds: float) -> None:
    """Seconds of a stage, less the start of Python, and the most memory it held."""
    if not first_process():
        return
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3  # kilobytes on Linux
    write_json(COSTS / f"{name}.json", {"stage": name, "seconds": round(seconds, 1), "peak_mb": round(peak_mb)})
    costs = sorted((read_json(file) for file in COSTS.glob("*.json")), key=lambda cost: (-cost["seconds"], cost["stage"]))
    write_text(COSTS / "index.html", rendered(TEMPLATE.name, TEMPLATE.parent, costs=costs))
