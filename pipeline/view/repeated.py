"""Each text with itself, some of its tokens standing twice: what is learned cannot rest on equal lengths.

As `twice`, but the document repeats a few tokens, drawn anew at each step: of a text of L tokens, 0 to min(``most``, int(``rate`` L)) - 1
of them, never the first, the last, or one of a prompt that is not pooled. Rate 0 is `twice`. What is then longer than the limit loses
its end, but for the last token.
Price: a repeated word is no natural text; and texts that fill the limit are as long as before.

Source: Wu et al. 2022 (ESimCSE), arXiv:2109.04380, section 3.1, as its code draws the number. Ours: the draw is made at each step, theirs
once; theirs lets a text grow beyond the limit.
"""

import random
from typing import Annotated

from pydantic import Field

from pipeline.view.twice import Twice
from pipeline.view.view import Side


class Repeated(Twice):
    """``alike``: the query repeats the same tokens, so both are of one length again, which is the control."""

    varies = True

    def __init__(self, *, rate: Annotated[float, Field(ge=0, le=1)], most: Annotated[int, Field(gt=0)], alike: bool) -> None:
        self.rate = rate
        self.most = most
        self.alike = alike

    def ids(self, ids: list[int], side: Side, draw: random.Random, limit: int) -> list[int]:
        if self.alike:
            draw = random.Random(str(ids))
        elif side == "query":
            return ids
        inner = [place for place in range(1, len(ids) - 1) if ids[place] >= 0]
        bound = min(self.most, int(self.rate * len(ids)))
        chosen = set(draw.sample(inner, min(draw.randrange(bound), len(inner)))) if bound else set()
        repeated = [token for place, token in enumerate(ids) for token in [token] * (1 + (place in chosen))]
        return repeated if len(repeated) <= limit else [*repeated[: limit - 1], repeated[-1]]
