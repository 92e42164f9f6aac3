"""Which model became final, and the sentence that says why."""

from typing import Any

from pipeline.report.gather import Facts


def verdict(facts: Facts) -> dict[str, Any]:
    found = facts.verdict
    return {
        "sentence": found.sentence,
        "rows": found.rows,
        "gated": facts.gated[0],
        "merged": bool(found.merges or found.refused),
        "corpora": [card.corpus for card in facts.cards],
        "version": facts.version,
    }
