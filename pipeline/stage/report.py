"""report: which model became final and why, on one page.

Reads:  data/metrics/, data/evaluated/, data/curated/, data/mteb/, checkpoints/
Writes: data/report/{index.html,report.md}

Files become facts (`pipeline.report.gather`), each part of section `report` takes what it shows of them, and its template renders that.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.checkpoint import whole_directory
from pipeline.report.gather import gather
from pipeline.report.render import rendered, sections


def run(cfg: Mapping[str, Any], runtime: Mapping[str, Any], item: str | None, out: Path) -> dict[str, float]:
    facts = gather(cfg)
    shown = sections(cfg["report"]["parts"], facts)
    with whole_directory(out / "data/report") as folder:
        for name in ("index.html", "report.md"):
            (folder / name).write_text(rendered(name, sections=shown), encoding="utf-8")
    print(f"{facts.verdict.sentence}\nthe page: data/report/index.html   the model: checkpoints/final")
    return {f"final/{name}": value for name, value in facts.scores[facts.final].main().items()}
