"""The one schema every source is normalised to.

A corpus is a stream of `Row` (a query, a document, perhaps a score), `Document` (a candidate that no row names) and
`Rejected` (what could not become a row, where it stood, and why). Sources yield them; ingest writes them to Parquet.

The types below are the schema: pydantic checks records by them where they come in (`checked_row`) and where they are read back
(`pipeline.corpus.files.read`). In between they are plain dataclasses, made and copied without a check.
"""

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import AfterValidator, ConfigDict, FiniteFloat, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from pipeline.task import kind_of

Split: TypeAlias = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
CHAIN_BREAK = ":"
CHAINS, MARKED, JOINED = (
    "chains",
    "marked",
    "joined",
)  # a stratum: JOINED where a side may be several chains without a mark between them


def filled(text: str) -> bool:
    """Whether there is anything to see: blanks, control characters and those of no width alone are no text."""
    return any(unicodedata.category(character)[0] not in "CZ" or "\ue000" <= character <= "\uf8ff" for character in text)


def _filled(text: str) -> str:
    if not filled(text):
        raise PydanticCustomError("empty", "empty")
    return text


IF_ANY = {"column": "if any"}  # of a field: no file holds it as a column in which every row is empty
Text: TypeAlias = Annotated[str, AfterValidator(_filled)]


@dataclass(frozen=True, slots=True)
class Row:
    """One judged pair.

    ``task`` is any name; its ``kind`` says what the row holds, teaches and is scored by (`pipeline.task`), None where the task is
    called like its kind. ``score`` is None for a plain positive.
    ``split`` is None where curation may choose; ``group`` ties rows that must end in one split. ``strata`` says what kind of row
    it is, for scores by kind: "name=value;name=value", sorted by name (`strata`). ``thing`` names what the document is about where
    several documents are about one thing, which a search then shows together; curated rows have none.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(revalidate_instances="always")

    task: str
    query_id: str
    query: Text
    document_id: str
    document: Text
    score: FiniteFloat | None = None
    split: Split | None = None
    group: str | None = None
    strata: str | None = None
    kind: str | None = field(default=None, metadata=IF_ANY)
    thing: str | None = field(default=None, metadata=IF_ANY)


@dataclass(frozen=True, slots=True)
class Document:
    """A retrieval candidate. ``split`` None: a candidate wherever the corpus is evaluated."""

    document_id: str
    document: str
    split: Split | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """An input record that is not a row: ``file`` (relative), ``line`` (from 1; 0 if none), a reason for a person, the text.

    ``lines`` and ``size`` (characters) say how much of the file is lost with it.
    """

    file: str
    line: int
    reason: str
    text: str = ""
    lines: int = 1
    size: int = 0


Record: TypeAlias = Row | Document | Rejected


_ROW = TypeAdapter(Row)


def checked_row(file: str, line: int, row: Row, *, lines: int = 1, size: int = 0) -> Row | Rejected:
    """``row`` as the schema has it, or why it cannot be one: an empty text, a score that is not finite, an unknown split.

    ``lines`` and ``size``: of its record.
    """
    try:
        return _ROW.validate_python(row)
    except ValidationError as error:
        reason = "; ".join(fault(one) for one in error.errors(include_url=False))
        return Rejected(file, line, reason, f"{row.query} | {row.document}"[:200], lines, size)


def fault(error: Any) -> str:
    """What pydantic found in one field, for a person: `score is nan, expected a finite number`."""
    field = error["loc"][-1]
    if error["type"] in ("empty", "missing"):
        return f"{error['type']} {field}"
    return f"{field} is {error['input']!r}, expected {error['msg'].removeprefix('Input should be ')}"


def strata(values: Mapping[str, str]) -> str | None:
    """``values`` as `Row.strata` holds them; None where there are none. What would break the form is taken out of them."""
    plain = {name: " ".join(value.replace(";", ",").replace("=", "-").split()) for name, value in values.items()}
    return ";".join(f"{name}={plain[name]}" for name in sorted(plain) if plain[name]) or None


def stratum(row: Row, name: str) -> str | None:
    """The value of one of ``row``'s strata; None without."""
    pairs = (part.partition("=") for part in (row.strata or "").split(";"))
    return next((value for key, _, value in pairs if key == name), None)


def teaches(row: Row) -> bool:
    """Graded pairs all teach; of judged ones only those that are relevant: in training and in evaluation alike."""
    return not kind_of(row).answers or row.score is None or row.score > 0


def sequences(rows: Iterable[Row]) -> list[str]:
    """What of the texts is read as one sequence, sorted, each once: of proteins every chain, of prose the whole text."""
    found: set[str] = set()
    for row in rows:
        residues = kind_of(row).texts == "residues"
        for text in (row.query, row.document):
            found.update(filter(None, text.split(CHAIN_BREAK)) if residues else [text])
    return sorted(found)
