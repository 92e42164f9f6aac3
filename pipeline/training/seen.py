"""How many of its rows a training looked at, counted on its plan, for the record that stands beside an expert."""

from collections.abc import Mapping, Sequence, Sized

from pipeline.corpus.batches import Batch


def looked_at(batches: Sequence[Batch], rows: Mapping[str, Sized]) -> dict[str, dict[str, int]]:
    """By task: how many ``rows`` there are, how many are ``drawn``, each as often as it is, and how many are ``seen`` at all."""
    drawn: dict[str, list[int]] = {task: [] for task in rows}
    for batch in batches:
        for task, groups in batch.parts:
            drawn[task] += [row for group in groups for row in group]
    return {task: {"rows": len(rows[task]), "drawn": len(found), "seen": len(set(found))} for task, found in drawn.items()}
