"""A view: what a training sees of the curated rows of a task.

It works at three places, in this order, and a subclass changes those it needs:

* `rows`: once, before the batches are planned: which query and which document stand together
* `text`: for each text of each step: its words, before it is turned into tokens
* `ids`: for each text of each step: its tokens

The last two are asked only where ``varies`` is true. Their ``draw`` depends on the seed, the step and the text's place in the batch
alone, so a resumed training and all processes draw the same. What is known to belong together, and what reads alike, is decided by the
text as the rows have it, before `text` and `ids`.
"""

import random
from collections.abc import Sequence
from typing import Literal, TypeAlias

from pipeline.corpus.row import Row

Side: TypeAlias = Literal["query", "document"]


class View:
    """The rows as they are. ``needs_dropout``: two equal texts of a row differ by the encoder's dropout alone, which must not be 0."""

    varies: bool = False
    needs_dropout: bool = False

    def rows(self, rows: Sequence[Row]) -> list[Row]:
        """Rows of the same task and kind, in an order that depends on ``rows`` alone."""
        return list(rows)

    def text(self, text: str, side: Side, draw: random.Random) -> str:
        """Another text in the place of one, which holds no prompt."""
        return text

    def ids(self, ids: list[int], side: Side, draw: random.Random, limit: int) -> list[int]:
        """At most ``limit`` token ids in the place of some, special tokens and prompt among them (`Encoder.token_ids`)."""
        return ids
