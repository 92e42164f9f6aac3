"""curate: filters, duplicates, splits, contamination, controls (`pipeline.curation`), and an audit by other means: it lets nothing through.

Reads:  data/raw/
Writes: data/curated/<corpus>/{train,validation,test,probe,documents,dropped}.parquet, card.json; data/curated/leakage.json;
        data/curated/<corpus>/controls/<name>/{train,validation,test}.parquet
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.build import build
from pipeline.checkpoint import whole_directory, write_json
from pipeline.curation.card import tell, write_card, write_rows
from pipeline.curation.checks import check_rows
from pipeline.curation.data import AS_GIVEN, CuratedData
from pipeline.split.contamination import Contamination


def run(cfg: Mapping[str, Any], runtime: Mapping[str, Any], item: str | None, out: Path) -> dict[str, float]:
    section = cfg["curate"]
    data = CuratedData(
        build(section["normal"]),
        {name: build(node) for name, node in section["filters"].items()},
        build(section["dedup"]),
        build(section["split"]),
        Contamination(match=section["contamination"], neighbours=build(section["near"])),
        build(section["audit"]),
        {name: build(node) for name, node in section["measures"].items()},
        {name: build(node) for name, node in section["controls"].items()},
        build(section["probe"]),
    )
    data.prepare_data()
    check_rows(data, cfg["tasks"])
    leakage = {where: found.as_json() for where, found in data.audited().items()} | data.measured()
    controls, reached = data.dealt_again()
    _tell_leaks(data, leakage, reached)
    metrics: dict[str, float] = {}
    with whole_directory(out / "data/curated") as folder:
        for corpus in data.rows:
            write_rows(folder / corpus, corpus, data, {name: rows[corpus] for name, rows in controls.items()})
            card = write_card(folder / corpus, corpus, data, leakage, reached)
            tell(corpus, card, data)
            counts = card["kept"] | {f"dropped/{reason}": n for reason, n in card["dropped"].items()}
            metrics |= {f"{corpus}/{key}": n for key, n in counts.items()}
        write_json(folder / "leakage.json", leakage | reached)
    return metrics


def _tell_leaks(data: CuratedData, leakage: Mapping[str, Any], reached: Mapping[str, Any]) -> None:
    for where, counts in reached.items():
        shares = ", ".join(f"{counts[f'{of}_near']} of {counts[of]} {of}" for of in counts if f"{of}_near" in counts)
        print(
            f"{where}: {shares} have one of a similarity of {data.audit.threshold} or more there, as controls may "
            "(each looked at until the first is found)"
        )
    for where, found in {**leakage, **reached}.items():
        if shared := found.get("stretches"):
            print(f"{where}: {data.audit.in_words(shared)}")
    if shared := leakage.get(AS_GIVEN, {}).get("num_leaks"):
        print(
            f"{shared} pairs of near texts between the sources' own validation and test rows, left as they are: see leakage.json"
        )
