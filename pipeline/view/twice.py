"""Each text with itself: dropout is what makes the two differ. Pairs are not needed, and not looked at.

Every text of the rows, queries and documents alike, is a query once, and its own document. Other texts of the batch are its negatives,
but for those that a row marks as belonging to it.
Price: what dropout leaves alone (length, word order) is learned as if it were meaning.

Source: Gao et al. 2021 (unsupervised SimCSE), arXiv:2104.08821, section 3.
"""

from collections.abc import Sequence
from dataclasses import replace

from pipeline.corpus.row import Row
from pipeline.view.view import View


class Twice(View):
    """A grade says nothing of a text and itself, so rows have none."""

    needs_dropout = True

    def rows(self, rows: Sequence[Row]) -> list[Row]:
        """One for each text, in the order of first appearance."""
        first = {text: row for row in reversed(rows) for text in (row.document, row.query)}
        texts = dict.fromkeys(text for row in rows for text in (row.query, row.document))
        return [
            replace(first[text], query_id=str(i), query=text, document_id=str(i), document=text, score=None)
            for i, text in enumerate(texts)
        ]
