"""curate: duplicates out, groups to splits, nothing of an evaluation row left in train; a reason for every row that went.

Reads:  data/raw/
Writes: data/curated/<corpus>/{train,validation,test,documents,dropped}.parquet, card.json
"""

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from pipeline.checkpoint import read_json, sha256, whole_directory, write_json
from pipeline.corpus.files import Dropped, corpora, read, write
from pipeline.corpus.row import SPLITS, WEAK, Document, Rejected, Row
from pipeline.dedup.exact import normalised
from pipeline.params import build
from pipeline.split.contamination import Contamination

RAW = Path("data/raw")


class CuratedData(pl.LightningDataModule):
    """Curates in `prepare_data`; afterwards ``rows`` and ``dropped`` hold the result by corpus."""

    def __init__(
        self,
        dedup: Callable[..., tuple[list[Row], list[Dropped]]],
        split: Callable[[list[Row]], list[Row]],
        *,
        contamination: str,
    ) -> None:
        super().__init__()
        self.dedup = dedup
        self.split = split
        self.contamination = contamination
        self.rows: dict[str, list[Row]] = {}
        self.dropped: dict[str, list[Dropped]] = {}

    def prepare_data(self) -> None:
        for corpus in corpora(RAW):
            rejected = read(RAW / corpus / "rejected.parquet", Rejected)
            unread = [Dropped(corpus, "", "not readable", f"{r.file}:{r.line}: {r.reason}", r.text, "") for r in rejected]
            kept, repeated = self.dedup(corpus, read(RAW / corpus / "rows.parquet", Row))
            self.dropped[corpus] = unread + repeated
            self.rows[corpus] = self.split(kept)
        self._drop(lambda row: (f"weak row of a {row.split} group", "") if row.task == WEAK and row.split != "train" else None)
        for held_out in ("test", "validation"):
            evaluation = [row for rows in self.rows.values() for row in rows if row.split == held_out]
            known = Contamination(evaluation, match=self.contamination, normalise=partial(normalised, lowercase=True))
            self._drop(partial(_given_away, known=known, held_out=held_out))

    def _drop(self, reason_of: Callable[[Row], tuple[str, str] | None]) -> None:
        """Move the rows that have a reason, ``(reason, detail)``, from ``rows`` to ``dropped``."""
        for corpus, rows in self.rows.items():
            reasons = [reason_of(row) for row in rows]
            self.rows[corpus] = [row for row, reason in zip(rows, reasons, strict=True) if reason is None]
            self.dropped[corpus] += [
                Dropped(corpus, row.task, *reason, row.query, row.document)
                for row, reason in zip(rows, reasons, strict=True)
                if reason is not None
            ]


def _given_away(row: Row, *, known: Contamination, held_out: str) -> tuple[str, str] | None:
    twin = known.twin(row) if row.split == "train" else None
    return None if twin is None else (f"text of a {held_out} row", twin)


def run(cfg: Mapping[str, Any], runtime: Mapping[str, Any], item: str | None, out: Path) -> dict[str, float]:
    section = cfg["curate"]
    data = CuratedData(build(section["dedup"]), build(section["split"]), contamination=section["contamination"])
    data.prepare_data()
    if not any(row.split == "train" for rows in data.rows.values() for row in rows):
        raise ValueError("curation left no train row; see the counts by reason in the cards of data/raw, and conf/curate.yaml")
    if not any(row.split == "validation" for rows in data.rows.values() for row in rows):
        raise ValueError("curation left no validation row, and models are chosen by these; raise curate.split.validation")
    metrics: dict[str, float] = {}
    with whole_directory(out / "data/curated") as folder:
        for corpus, rows in data.rows.items():
            metrics |= {f"{corpus}/{key}": n for key, n in _write(folder / corpus, corpus, rows, data.dropped[corpus]).items()}
    return metrics


def _write(target: Path, corpus: str, rows: list[Row], dropped: list[Dropped]) -> dict[str, int]:
    target.mkdir()
    for split in SPLITS:
        write(target / f"{split}.parquet", Row, [row for row in rows if row.split == split])
    write(target / "documents.parquet", Document, read(RAW / corpus / "documents.parquet", Document))
    write(target / "dropped.parquet", Dropped, dropped)
    counts = Counter(f"{row.split}/{row.task}" for row in rows)
    reasons = Counter(row.reason for row in dropped)
    card = {
        "raw": read_json(RAW / corpus / "card.json"),
        "kept": dict(sorted(counts.items())),
        "dropped": dict(sorted(reasons.items())),
        "groups": {split: len({row.group for row in rows if row.split == split and row.group}) for split in SPLITS},
        "sha256": {file.name: sha256(file) for file in sorted(target.glob("*.parquet"))},
    }
    write_json(target / "card.json", card)
    kept_text = ", ".join(f"{n} {key}" for key, n in sorted(counts.items()))
    print(f"{corpus}: kept {kept_text}; dropped {', '.join(f'{n} {key}' for key, n in sorted(reasons.items())) or 'nothing'}")
    return dict(counts) | {f"dropped/{reason}": n for reason, n in reasons.items()}
