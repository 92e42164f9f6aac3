"""The one schema every source is normalised to.

A corpus is a stream of `Row` (a query, a document, perhaps a score), `Document` (a candidate that no row names) and
`Rejected` (what could not become a row, where it stood, and why). Sources yield them; ingest writes them to Parquet.

The types below are the schema: pydantic checks records by them where they come in (`checked_row`) and where they are read back
(`pipeline.corpus.files.read`). In between they are plain dataclasses, made and copied without a check.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import AfterValidator, ConfigDict, FiniteFloat, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

Split: TypeAlias = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
WEAK = "weak"  # the task of cheap pairs: trained on, never evaluated
PROTEIN = ("affinity", "partners")  # their texts are chains of residues joined by CHAIN_BREAK
CHAIN_BREAK = ":"
CHAINS, MARKED, JOINED = (
    "chains",
    "marked",
    "joined",
)  # a stratum: JOINED where a side may be several chains without a mark between them
RANKED = ("retrieval", "reranking")  # their `document` answers the query where the score is above 0
LABELLED = ("classification", "clustering")  # their `document` is the name of a class, no text of its own


def filled(text: str) -> bool:
    """Whether there is anything to see: blanks, control characters and those of no width alone are no text."""
    return any(unicodedata.category(character)[0] not in "CZ" or "\ue000" <= character <= "\uf8ff" for character in text)


def _filled(text: str) -> str:
    if not filled(text):
        raise PydanticCustomError("empty", "empty")
    return text


Text: TypeAlias = Annotated[str, AfterValidator(_filled)]


@dataclass(frozen=True, slots=True)
class Row:
    """One judged pair.

    ``task`` names what the pair teaches and how it is scored: ``retrieval`` (document answers query), ``sts`` (score is a
    graded similarity, any finite scale) or ``weak`` (a cheap pair for pretraining only). Evaluated only: ``pair_classification``
    (score 1: means the same, 0: does not), ``reranking`` (the documents of a query are its candidates, score above 0: relevant),
    ``bitext`` (document is the translation), ``classification`` and ``clustering`` (document is the name of the query's class).
    Of proteins: ``affinity`` (query: the ligand's chains, document: the receptor's, each joined by ":"; score: pKd, -log10 of the
    dissociation constant in mol/l) and ``partners`` (two proteins that bind, no score).
    ``score`` is None for a plain positive.
    ``split`` is None where curation may choose; ``group`` ties rows that must end in one split. ``strata`` says what kind of row
    it is, for scores by kind: "name=value;name=value", sorted by name (`strata`).
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


def teaches(row: Row) -> bool:
    """Graded pairs all teach; of judged ones only those that are relevant: in training and in evaluation alike."""
    return row.task == "sts" or row.score is None or row.score > 0


def strata(values: Mapping[str, str]) -> str | None:
    """``values`` as `Row.strata` holds them; None where there are none. What would break the form is taken out of them."""
    plain = {name: " ".join(value.replace(";", ",").replace("=", "-").split()) for name, value in values.items()}
    return ";".join(f"{name}={plain[name]}" for name in sorted(plain) if plain[name]) or None


def stratum(row: Row, name: str) -> str | None:
    """The value of one of ``row``'s strata; None without."""
    pairs = (part.partition("=") for part in (row.strata or "").split(";"))
    return next((value for key, _, value in pairs if key == name), None)
