"""What a training saw of its rows, counted on its plan, for the record that stands beside an expert."""

from collections.abc import Mapping, Sequence, Sized

from pipeline.corpus.batches import Batch
from pipeline.corpus.row import Row
from pipeline.training.reading import Reader


def saw(batches: Sequence[Batch], rows: Mapping[str, Sequence[Row]], reader: Reader) -> dict[str, dict[str, int]]:
    """By task what `looked_at` and `full_texts` count."""
    full = full_texts(batches, rows, reader)
    return {task: counts | full[task] for task, counts in looked_at(batches, rows).items()}


def looked_at(batches: Sequence[Batch], rows: Mapping[str, Sized]) -> dict[str, dict[str, int]]:
    """By task: how many ``rows`` there are, how many are ``drawn``, each as often as it is, and how many are ``seen`` at all."""
    drawn = _drawn(batches, rows)
    return {task: {"rows": len(rows[task]), "drawn": len(found), "seen": len(set(found))} for task, found in drawn.items()}


def full_texts(batches: Sequence[Batch], rows: Mapping[str, Sequence[Row]], reader: Reader) -> dict[str, dict[str, int]]:
    """By task: how many different ``texts`` the rows seen have, and how many are ``full``: they fill all ``tokens`` that the training
    reads, and what was longer was cut there."""
    found = {}
    for task, places in _drawn(batches, rows).items():
        seen = [rows[task][place] for place in sorted(set(places))]
        sides = {"query": [row.query for row in seen], "document": [row.document for row in seen]}
        lengths = [length for side, texts in sides.items() for length in reader.lengths(task, side, texts)]
        found[task] = {"texts": len(lengths), "full": sum(n >= reader.limit for n in lengths), "tokens": reader.limit}
    return found


def _drawn(batches: Sequence[Batch], rows: Mapping[str, Sized]) -> dict[str, list[int]]:
    """By task the places of its rows in ``batches``, each as often as it stands there."""
    drawn: dict[str, list[int]] = {task: [] for task in rows}
    for batch in batches:
        for task, groups in batch.parts:
            drawn[task] += [row for group in groups for row in group]
    return drawn
