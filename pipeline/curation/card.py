"""What is written of a curated corpus: its rows by split, those that went, and a card that counts both."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.checkpoint import read_json, sha256, write_json
from pipeline.corpus.files import Dropped, deal_folder, read, write
from pipeline.corpus.row import SPLITS, Document, Row
from pipeline.corpus.script import counted
from pipeline.curation.checks import SHARED, sharing_a_document
from pipeline.curation.data import HELD_OUT, NEAR_PROBE, RAW, TIED, CuratedData
from pipeline.task import kind_of

MANY = 0.1  # of the train rows: above it a line says why they went
ONE_FAMILY = 0.2  # of the rows of an evaluated task: above it a line says that scores are mostly one group's


def write_rows(target: Path, corpus: str, data: CuratedData, controls: Mapping[str, Sequence[Row]]) -> None:
    """``controls``: by name, the corpus' rows as each control deals them."""
    rows = data.rows[corpus]
    for folder, these in {target: rows, **{deal_folder(target, name): again for name, again in controls.items()}}.items():
        folder.mkdir(parents=True)
        for split in SPLITS:
            write(folder / f"{split}.parquet", Row, [row for row in these if row.split == split])
    write(target / "probe.parquet", Row, data.probe[corpus])
    write(target / "documents.parquet", Document, read(RAW / corpus / "documents.parquet", Document))
    write(target / "dropped.parquet", Dropped, data.dropped[corpus])


def write_card(
    target: Path, corpus: str, data: CuratedData, leakage: Mapping[str, Any], reached: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """After `write_rows`. ``leakage``: what the audit and the measures found, ``reached``: what it found of controls."""
    rows, dropped, dealt = data.rows[corpus], data.dropped[corpus], data.dealt[corpus]
    card = {
        "raw": read_json(RAW / corpus / "card.json"),
        "funnel": data.funnel[corpus],
        "kept": _counted(f"{row.split}/{row.task}" for row in rows),
        "splits": {split: sum(row.split == split for row in rows) for split in SPLITS},
        "probe": _counted(row.task for row in data.probe[corpus]),
        "dropped": _counted(row.reason for row in dropped),
        "clusters": _cluster_sizes(dropped),
        "similarity": _similarities(dropped),
        "leakage": {where: found["nearest"] for where, found in leakage.items()},
        "compared": {where: found["things"] for where, found in leakage.items() if "things" in found},
        "controls": dict(reached),
        "stretches": {where: found["stretches"] for where, found in {**leakage, **reached}.items() if found.get("stretches")},
        "split": None if dealt is None else asdict(dealt),
        "groups": {split: len({row.group for row in rows if row.split == split and row.group}) for split in SPLITS},
        "largest_group": _largest_groups(rows),
        "sha256": {file.relative_to(target).as_posix(): sha256(file) for file in sorted(target.rglob("*.parquet"))},
    }
    if without := counted(_texts(rows)):
        card["without_blanks"] = without
    write_json(target / "card.json", card)
    return card


def tell(corpus: str, card: Mapping[str, Any], data: CuratedData) -> None:
    """Print what a person should know of the corpus."""

    def listed(counts: Mapping[str, int]) -> str:
        return ", ".join(f"{n} {key}" for key, n in counts.items())

    print(f"{corpus}: kept {listed(card['kept'])}; dropped {listed(card['dropped']) or 'nothing'}")
    for task in vanished(card):
        print(f"{corpus}: none of the {card['raw']['rows'][task]} rows of task {task} is left")
    if without := card.get("without_blanks"):
        print(
            f"{corpus}: {listed(without)} of {len(_texts(data.rows[corpus]))} kept texts are in a script without blanks: "
            "compared by letters, each of which counts as a word (near in conf/config.yaml)"
        )
    if (shared := len(sharing_a_document(data.dropped[corpus]))) > MANY * (shared + card["splits"]["train"]):
        print(
            f"{corpus}: {shared} train rows went because their document stands in a held-out row, too; where questions share documents by "
            f"design, {SHARED}"
        )
    if card["probe"]:
        went = sum(n for reason, n in card["dropped"].items() if reason in (TIED, NEAR_PROBE, f"near {NEAR_PROBE}"))
        told = listed(card["probe"])
        print(f"{corpus}: set aside for merges to be tried on: {told}; {went} train rows tied or near to these went")
    for where, (group, share) in card["largest_group"].items():
        if share > ONE_FAMILY:
            print(f"{corpus}: {share:.0%} of the rows of {where} are of one group, {group}: scores there are mostly its own")
    dealt = data.dealt[corpus]
    if dealt is not None and (report := dealt.report()):
        print(f"{corpus}: {report}")
    if dealt is not None and dealt.notes:
        print(f"{corpus}: {', '.join(f'{name} {value}' for name, value in dealt.notes.items())}")


def vanished(card: Mapping[str, Any]) -> list[str]:
    """Tasks of which the corpus had rows and has none left, in a split or set aside."""
    left = {where.split("/", 1)[1] for where in card["kept"]} | set(card["probe"])
    return [task for task in card["raw"]["rows"] if task not in left]


def _texts(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(text for row in rows for text in (row.query, row.document)))


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def _largest_groups(rows: Sequence[Row]) -> dict[str, tuple[str, float]]:
    """By held-out split and task, the group with most rows and its share of them; rows without a group are each their own."""
    of: dict[str, Counter[str]] = {}
    for row in rows:
        if row.split in HELD_OUT and kind_of(row).evaluated:
            of.setdefault(f"{row.split}/{row.task}", Counter())[row.group or f"{row.query_id} {row.document_id}"] += 1
    return {where: (name, n / counts.total()) for where, counts in sorted(of.items()) for name, n in counts.most_common(1)}


def _cluster_sizes(dropped: list[Dropped]) -> dict[str, int]:
    """How many kept pairs stand for how many pairs: ``{"2": 310, "3-4": ..}``."""
    stands_for = Counter((row.task, row.detail) for row in dropped if row.twin_query is not None and "row" not in row.reason)
    bands = Counter(int(np.log2(n)) for n in stands_for.values())  # dropped 1, 2-3, 4-7, ...
    return {f"{2**k + 1}" if k == 0 else f"{2**k + 1}-{2 ** (k + 1)}": bands[k] for k in sorted(bands)}


def _similarities(dropped: list[Dropped]) -> list[int]:
    """Dropped rows by similarity to their twin: ten bins from 0 to 1, and equal ones last."""
    values = np.array([row.similarity for row in dropped if row.similarity is not None])
    counts, _ = np.histogram(values[values < 1], bins=10, range=(0, 1))
    return [*counts.tolist(), int((values >= 1).sum())]
