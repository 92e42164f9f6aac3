"""From records to rows: which columns hold the query, its positives and its negatives.

A negative that a person gives becomes a row judged 0, as a judgement of "not relevant" does: evaluation takes it for a candidate, and
stage mine puts it before the negatives it finds.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.corpus.cells import Cells, Needed, refused
from pipeline.corpus.conversation import turns
from pipeline.corpus.identity import Identities
from pipeline.corpus.row import Rejected, Row, Split, checked_row
from pipeline.corpus.settings import ROLES, Columns, checked_columns, checked_split
from pipeline.corpus.task_rows import TaskRows
from pipeline.corpus.values import content_id, has, label_in, labels_in, number, text_in, texts_in, value_at
from pipeline.task import KINDS

LISTS = ("document", "document_id", "score", "negative", "negative_id")  # roles of which one record may hold several values
TEACHER = ("score", "teacher", "margin", "logit")  # in names of roles that do not exist: what a teacher says of each candidate


class ColumnMap:
    """``columns`` of the task ``of``, checked; `rows` reads a record by them. ``by_id``: texts of documents stand in a file of their own.

    A judgement counts as relevant above ``relevant_above``; at or below it becomes 0, which training and evaluation read alike.
    """

    def __init__(self, columns: Columns, *, of: TaskRows, split: Split | None, relevant_above: float, by_id: bool) -> None:
        for role in columns:
            if role not in ROLES and any(word in role for word in TEACHER):
                raise ValueError(
                    f"columns.{role}: a row holds no scores of a teacher for its candidates, so they cannot be read; a training asks its "
                    "own teacher (teacher in conf/task); take the line out, or name judgements of the documents as score"
                )
        own = dict(columns)
        replaced = ("query", "document") if own.get("conversation") else ("document",) if by_id else ()
        for role in replaced:  # the catalogue's default names a column; here something else takes its place
            if own.get(role) not in (None, role):
                other = "conversation" if own.get("conversation") else "documents"
                raise ValueError(f"columns.{role} is {own[role]!r}, and {other} takes its place; set one of them to null")
            own[role] = None
        for role, value in own.items():
            if value is not None and not isinstance(value, str) and role not in LISTS:
                raise ValueError(
                    f"columns.{role} must name one column, got {list(value)}; only {', '.join(LISTS)} may name several"
                )
        graded = ("score",) if of.kind.score != "none" and not own.get("negative") else ()
        pair = ("query", "document_id" if by_id else "document", *graded)
        named = checked_columns(own, required=("conversation",) if own.get("conversation") else pair, known=ROLES)
        self.several = {role: (value,) if isinstance(value, str) else tuple(value or ()) for role, value in named.items()}
        self.one = {role: names[0] if names else None for role, names in self.several.items()}
        negative = [role for role in ("negative", "negative_id") if self.several[role]]
        self.ranked = of.kind.shape == "ranked"
        if negative and (not self.ranked or own.get("conversation")):
            ranked = " and ".join(name for name, kind in KINDS.items() if kind.shape == "ranked")
            given = "a conversation" if own.get("conversation") else f"task {of.task!r} of kind {of.kind.name}"
            raise ValueError(
                f"columns.{negative[0]} is for pairs of tasks of the kinds {ranked}, whose training takes hard negatives; got {given}; "
                f"set {negative[0]} to null, or choose another task"
            )
        if ("negative_id" in negative) != (by_id and bool(negative)):
            raise ValueError(
                "columns.negative names texts, and negative_id names documents of the file `documents`; use the one that fits"
            )
        self.split: Split | None = split
        self.of, self.relevant_above, self.by_id = of, relevant_above, by_id
        self.known = Identities()
        self.fractional = 0  # judgements
        self.unseen = set(negative)  # roles that no record had

    @property
    def needed(self) -> Needed:
        """Columns, sorted; those of negatives may be missing from a record, and not from a header."""
        return sorted({name for names in self.several.values() for name in names})

    def rows(self, cells: Cells, texts: Mapping[str, str], *, split: Split | None = None) -> Iterator[Row | Rejected]:
        """All rows of one record, or the reason why it has none. ``texts``: documents by id."""
        try:
            found = list(self._rows(cells, texts, split or self.split))
        except ValueError as error:
            yield refused(cells, str(error))
            return
        where = f"{cells.file}:{cells.line}"
        for row in found:
            for role in ("group", "query_id", "document_id"):
                if self.one[role] and (fault := self.known.misspelled(role, str(getattr(row, role)), where)):
                    raise ValueError(fault)
        checked = [checked_row(cells.file, cells.line, row) for row in found]
        faulty = next((row for row in checked if isinstance(row, Rejected)), None)
        if faulty is not None:
            yield refused(cells, faulty.reason)
            return
        yield from checked

    def _rows(self, cells: Cells, texts: Mapping[str, str], split: Split | None) -> Iterator[Row]:
        values, where = cells.values, f"{cells.file}:{cells.line}"
        split = checked_split(label_in(values, self.one["split"], optional=True)) or split
        group = label_in(values, self.one["group"], optional=True)
        if column := self.one["conversation"]:
            pairs = turns(value_at(values, column), column)
            group = group or content_id("\n".join(f"{said}\n{answer}" for said, answer in pairs))
            judged = [(said, [(content_id(answer), answer, None)]) for said, answer in pairs]
        else:
            judged = [(text_in(values, self.one["query"]), self._judged(values, texts))]
        for query, documents in judged:
            query_id = label_in(values, self.one["query_id"]) or content_id(query)
            for document_id, document, score in documents:
                if self.ranked:
                    self.check(query_id, query, document_id, document, score, where)
                yield self.of.row(query_id, query, document_id, document, score, split, group)

    def check(self, query_id: str, query: str, document_id: str, document: str, score: float | None, where: str) -> None:
        """ValueError where something else was said before of one of the ids, or of the pair."""
        if self.one["query_id"]:
            self.known.check_text("query", query_id, query, where)
        if self.one["document_id"]:
            self.known.check_text("document", document_id, document, where)
        self.known.check_pair(query_id, document_id, score, where)

    def _judged(self, values: Mapping[str, object], texts: Mapping[str, str]) -> list[tuple[str, str, float | None]]:
        """(id, text, score) of the positives, then of the negatives; each text once."""
        positives = self._candidates(values, texts, "document", "document_id")
        if not any(positives):
            names = self.several["document_id" if self.by_id else "document"]
            if len(positives) == 1 and isinstance(value_at(values, names[0]), str):
                raise ValueError("empty document")
            raise ValueError(f"{_told(names)} must hold a text, got {'None (NoneType)' if len(positives) == 1 else 'none'}")
        scores = self._scores(values, len(positives))
        found = {one[0]: (*one, score) for one, score in zip(positives, scores, strict=True) if one is not None}
        plain = {text.strip() for _, text, score in found.values() if score is None or score > 0}
        for role in ("negative", "negative_id"):
            if self.several[role] and any(has(values, column) for column in self.several[role]):
                self.unseen.discard(role)
                for one in self._candidates(values, texts, "negative", "negative_id"):
                    if one is not None and one[1].strip() in plain:
                        raise ValueError(f"{one[1][:60]!r} stands among the positives and among the negatives")
                    if one is not None:
                        found.setdefault(one[0], (*one, 0.0))
        return list(found.values())

    def finish(self, where: str) -> None:
        """ValueError where a column was named that no record has; one line that says how fractional judgements were read."""
        if self.unseen:
            role = min(self.unseen)
            raise ValueError(f"{where}: no record holds {_told(self.several[role])}; name the right column as {role}")
        if self.fractional:
            print(
                f"{where}: {self.fractional} judgements are fractions; above {self.relevant_above:g} counts as relevant (relevant_above)"
            )

    def _candidates(
        self, values: Mapping[str, object], texts: Mapping[str, str], role: str, id_role: str
    ) -> list[tuple[str, str] | None]:
        """(id, text), None where one is absent."""
        if self.by_id and self.several[id_role]:
            return [
                None if name is None else (name, _text_of(name, texts)) for name in labels_in(values, self.several[id_role])
            ]
        if not self.several[role]:
            return []
        if self.of.kind.shape == "labelled":
            found: list[str | None] = [label_in(values, self.one[role])]
        else:
            found = texts_in(values, self.several[role])
        if not self.several[id_role]:
            return [None if text is None else (content_id(text), text) for text in found]
        names = labels_in(values, self.several[id_role])
        if len(names) != len(found):
            raise ValueError(
                f"{_told(self.several[role])} holds {len(found)} texts and {_told(self.several[id_role])} {len(names)} ids; one each?"
            )
        for name, text in zip(names, found, strict=True):
            if name is None and text is not None:
                raise ValueError(f"{_told(self.several[id_role])} must hold a name for each text, got none for {text[:40]!r}")
        return [None if text is None else (str(name), text) for name, text in zip(names, found, strict=True)]

    def _scores(self, values: Mapping[str, object], count: int) -> Sequence[float | None]:
        names = self.several["score"]
        if not names:
            return [None] * count
        value: Any = value_at(values, names[0]) if len(names) == 1 else [value_at(values, name) for name in names]
        documents = self.several["document_id" if self.by_id else "document"]
        if not isinstance(value, list) or (len(documents) == 1 and not isinstance(value_at(values, documents[0]), list)):
            scores = [number(value, names[0])] * count
        elif len(value) != count:
            raise ValueError(f"{_told(names)} holds {len(value)} scores for {count} documents; one each is expected")
        else:
            scores = [number(one, names[0]) for one in value]
        return [self.judged(score) for score in scores] if self.ranked else scores

    def judged(self, score: float) -> float:
        """A judgement as training and evaluation read it: above 0 is relevant."""
        self.fractional += score == score and abs(score) < 2**53 and score != int(score)
        return 0.0 if score <= self.relevant_above else score


def _told(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))


def _text_of(name: str, texts: Mapping[str, str]) -> str:
    if name not in texts:
        raise ValueError(f"names the document {name!r}, which is not among the documents (or was rejected there)")
    return texts[name]
