"""What curation dropped from each corpus and why, with examples, and what its audit found."""

from typing import Any

from pipeline.report.gather import Facts


def curation(facts: Facts) -> dict[str, Any]:
    return {
        "cards": [
            {
                **card.counts,
                "name": card.corpus,
                "read": sum(card.counts["raw"]["rows"].values()) + card.counts["raw"]["rejected"],
                "examples": card.dropped,
            }
            for card in facts.cards
        ]
    }
