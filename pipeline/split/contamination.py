"""Train rows that show an evaluation row's words are taken out of train; evaluation rows are never changed."""

from collections.abc import Callable, Iterable, Iterator

from pipeline.corpus.row import Row

Texts = Callable[[Row], Iterator[tuple[str, str]]]


def _pair(row: Row) -> Iterator[tuple[str, str]]:
    yield row.query, row.document


def _query(row: Row) -> Iterator[tuple[str, str]]:
    yield row.query, ""


def _text(row: Row) -> Iterator[tuple[str, str]]:
    yield row.query, ""
    yield row.document, ""


MATCHES: dict[str, Texts] = {"pair": _pair, "query": _query, "text": _text}


class Contamination:
    """Looks rows up among the evaluation rows, after ``normalise``; ``match`` is one of `MATCHES`, or ``off``."""

    def __init__(self, evaluation: Iterable[Row], *, match: str, normalise: Callable[[str], str]) -> None:
        self.texts = MATCHES.get(match)
        self.normalise = normalise
        self.known: dict[tuple[str, str], str] = {}
        for row in evaluation:
            for key in self._keys(row):
                self.known.setdefault(key, f"{row.query_id} | {row.document_id}")

    def twin(self, row: Row) -> str | None:
        """The evaluation row that ``row`` gives away, if any."""
        return next((self.known[key] for key in self._keys(row) if key in self.known), None)

    def _keys(self, row: Row) -> Iterator[tuple[str, str]]:
        if self.texts is not None:
            for query, document in self.texts(row):
                yield self.normalise(query), self.normalise(document)
