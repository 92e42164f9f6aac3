"""Rows and documents as Parquet: what ingest writes, curate splits and every later stage reads.

`data/raw/<corpus>/{rows,documents,rejected}.parquet`; `data/curated/<corpus>/{train,validation,test,probe,documents,dropped}.parquet`
(probe: rows that nothing is trained on, for merges to be tried on), and, dealt again by a control,
`data/curated/<corpus>/controls/<name>/{train,validation,test}.parquet`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter, ValidationError

from pipeline.corpus.row import IF_ANY, Row, Split, fault
from pipeline.sums import check_file

T = TypeVar("T")

_TYPES = {float | None: pa.float64(), int: pa.int64()}


@dataclass(frozen=True, slots=True)
class Dropped:
    """A record that a stage left out: which one, why, and the twin that stays in its place where there is one.

    ``similarity``: to the twin, of the texts that were compared; 1 where they count as equal.
    """

    corpus: str
    task: str
    reason: str
    detail: str
    query: str
    document: str
    twin_query: str | None = None
    twin_document: str | None = None
    similarity: float | None = None


def dropped_row(
    corpus: str, row: Row, reason: str, detail: str = "", *, twin: Row | None = None, similarity: float = 1.0
) -> Dropped:
    """``row`` as left out; ``detail`` names the twin by its ids unless it is given."""
    if twin is None:
        return Dropped(corpus, row.task, reason, detail, row.query, row.document)
    detail = detail or f"{twin.query_id} | {twin.document_id}"
    return Dropped(corpus, row.task, reason, detail, row.query, row.document, twin.query, twin.document, similarity)


@dataclass(frozen=True, slots=True)
class Negative:
    """A document that ``query`` must not find; ``rank`` from 0, hardest first."""

    query: str
    document: str
    rank: int
    task: str


def write(path: Path, kind: type[Any], records: Iterable[Any]) -> None:
    """Records of one dataclass as Parquet; equal records give equal bytes."""
    hints = get_type_hints(kind)
    found = [asdict(record) for record in records]
    columns = [
        one.name for one in fields(kind) if one.metadata != IF_ANY or any(record[one.name] is not None for record in found)
    ]
    schema = pa.schema([(name, _TYPES.get(hints[name], pa.string())) for name in columns])
    pq.write_table(pa.Table.from_pylist(found, schema=schema), path, compression="zstd", write_page_checksum=True)


def read(path: Path, kind: type[T]) -> list[T]:
    """ValueError where the file is missing (an earlier stage has not run), damaged, or does not hold such records (another version wrote
    it)."""
    if not path.is_file():
        raise ValueError(f"{path} is missing; run `dvc repro`, which makes it")
    check_file(path)
    try:
        return _schema(kind).validate_python(pq.read_table(path, page_checksum_verification=True).to_pylist())
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged ({error}); restore it (`dvc checkout --force {path}`), or make it anew") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(
            f"{path}: expected rows of {kind.__name__}, found {error.error_count()} faults, the first in row {first['loc'][0]}: "
            f"{fault(first)}; run `dvc repro`, which writes it anew"
        ) from error


@cache
def _schema(kind: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(list[kind])  # pyright: ignore[reportInvalidTypeForm]


def corpora(folder: Path) -> list[str]:
    """Names of the corpora below ``folder``, sorted."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is missing; run `dvc repro`, which makes it")
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def deal_folder(corpus: Path, deal: str | None) -> Path:
    """Where the splits of a curated ``corpus`` lie: as ``deal`` dealt them, or, without one, as they are to be reported."""
    return corpus / "controls" / deal if deal is not None else corpus


def read_rows(
    folder: Path, split: Split | Literal["probe"], tasks: Sequence[str] | None = None, *, deal: str | None = None
) -> list[tuple[str, Row]]:
    """``(corpus, row)`` of a split, or of the rows set aside, over all curated corpora: of ``tasks`` only if given, as ``deal`` dealt them
    if given."""
    places = [(name, deal_folder(folder / name, deal)) for name in corpora(folder)]
    found = [(name, row) for name, place in places for row in read(place / f"{split}.parquet", Row)]
    return [(name, row) for name, row in found if tasks is None or row.task in tasks]


def deals(folder: Path, corpus: str) -> list[str]:
    """Names of the further deals of ``corpus``, sorted."""
    found = folder / corpus / "controls"
    return sorted(path.name for path in found.iterdir() if path.is_dir()) if found.is_dir() else []
