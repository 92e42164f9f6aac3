"""What is written of a curated corpus: its rows by split, those that went, and a card that counts both."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Int

from pipeline.checkpoint import read_json, sha256, write_json
from pipeline.corpus.compared import first_seen, sides
from pipeline.corpus.dropped import DroppedRows
from pipeline.corpus.files import deal_folder
from pipeline.corpus.records import Rows, coded, compute, is_in, of_kinds, read_records, tallied, write_records
from pipeline.corpus.row import SPLITS, Document
from pipeline.corpus.script import counted
from pipeline.curation.checks import SHARED, sharing_a_document
from pipeline.curation.data import HELD_OUT, NEAR_PROBE, RAW, TIED, CuratedData

MANY = 0.1  # of the train rows: above it a line says why they went
ONE_FAMILY = 0.2  # of the rows of an evaluated task: above it a line says that scores are mostly one group's


def write_rows(target: Path, corpus: str, data: CuratedData, controls: Mapping[str, Rows]) -> None:
    """``controls``: by name, the corpus' rows as each control deals them."""
    rows = data.rows[corpus]
    for folder, these in {target: rows, **{deal_folder(target, name): again for name, again in controls.items()}}.items():
        folder.mkdir(parents=True)
        for split in SPLITS:
            write_records(folder / f"{split}.parquet", these.where(is_in(these.columns["split"], [split])))
    write_records(target / "probe.parquet", data.probe[corpus])
    write_records(target / "documents.parquet", read_records(RAW / corpus / "documents.parquet", Document))
    write_records(target / "dropped.parquet", data.dropped[corpus])


def write_card(
    target: Path, corpus: str, data: CuratedData, leakage: Mapping[str, Any], reached: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """After `write_rows`. ``leakage``: what the audit and the measures found, ``reached``: what it found of controls."""
    rows, dropped, dealt = data.rows[corpus], data.dropped[corpus], data.dealt[corpus]
    of = {split: rows.where(is_in(rows.columns["split"], [split])) for split in SPLITS}
    card = {
        "raw": read_json(RAW / corpus / "card.json"),
        "funnel": data.funnel[corpus],
        "kept": {name: n for split in sorted(SPLITS) for name, n in _counted(of[split].columns["task"], f"{split}/").items()},
        "splits": {split: len(of[split]) for split in SPLITS},
        "probe": _counted(data.probe[corpus].columns["task"]),
        "dropped": _counted(dropped.columns["reason"]),
        "clusters": _cluster_sizes(dropped),
        "similarity": _similarities(dropped),
        "leakage": {where: found["nearest"] for where, found in leakage.items()},
        "compared": {where: found["things"] for where, found in leakage.items() if "things" in found},
        "controls": dict(reached),
        "stretches": {where: found["stretches"] for where, found in {**leakage, **reached}.items() if found.get("stretches")},
        "split": None if dealt is None else asdict(dealt),
        "groups": {split: len({group for group in coded(of[split].columns["group"])[1] if group}) for split in SPLITS},
        "largest_group": _largest_groups(rows),
        "sha256": {file.relative_to(target).as_posix(): sha256(file) for file in sorted(target.rglob("*.parquet"))},
    }
    if without := counted(_beyond_ascii(corpus, data)):
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
            f"{corpus}: {listed(without)} of {len(_kept(corpus, data))} kept texts are in a script without blanks: "
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


def _kept(corpus: str, data: CuratedData) -> Int[np.ndarray, " T"]:
    """The numbers of the kept texts, each once."""
    return first_seen(sides(data.texts.numbered(data.rows[corpus])).ravel())


def _beyond_ascii(corpus: str, data: CuratedData) -> list[str]:
    """The different kept texts that are not in ASCII, as all texts in a script without blanks are."""
    texts = data.texts.texts.take(pa.array(_kept(corpus, data)))
    return texts.filter(compute.invert(compute.string_is_ascii(texts))).to_pylist()


def _counted(names: pa.Array, prefix: str = "") -> dict[str, int]:
    return {f"{prefix}{name}": n for name, n in sorted(tallied(names).items())}


def _largest_groups(rows: Rows) -> dict[str, tuple[str, float]]:
    """By held-out split and task, the group with most rows and its share of them; rows without a group are each their own."""
    of: dict[str, Counter[str]] = {}
    held_out = rows.where(is_in(rows.columns["split"], HELD_OUT))
    held_out = held_out.where(of_kinds(held_out, lambda kind: kind.evaluated))
    names = ("split", "task", "group", "query_id", "document_id")
    for split, task, group, query, document in zip(*(held_out.columns[name].to_pylist() for name in names), strict=True):
        of.setdefault(f"{split}/{task}", Counter())[group or f"{query} {document}"] += 1
    return {where: (name, n / counts.total()) for where, counts in sorted(of.items()) for name, n in counts.most_common(1)}


def _cluster_sizes(dropped: DroppedRows) -> dict[str, int]:
    """How many kept pairs stand for how many pairs: ``{"2": 310, "3-4": ..}``."""
    twins = ~dropped.columns["twin_query"].is_null().to_numpy(zero_copy_only=False)
    repeated = dropped.where(twins & ~compute.match_substring(dropped.columns["reason"], "row").to_numpy(zero_copy_only=False))
    stands_for = Counter(zip(*(repeated.columns[name].to_pylist() for name in ("task", "detail")), strict=True))
    bands = Counter(int(np.log2(n)) for n in stands_for.values())  # dropped 1, 2-3, 4-7, ...
    return {f"{2**k + 1}" if k == 0 else f"{2**k + 1}-{2 ** (k + 1)}": bands[k] for k in sorted(bands)}


def _similarities(dropped: DroppedRows) -> list[int]:
    """Dropped rows by similarity to their twin: ten bins from 0 to 1, and equal ones last."""
    values = dropped.columns["similarity"].drop_null().to_numpy()
    counts, _ = np.histogram(values[values < 1], bins=10, range=(0, 1))
    return [*counts.tolist(), int((values >= 1).sum())]
