"""What a filter says about a row."""

from typing import NamedTuple, TypeAlias


class Fault(NamedTuple):
    """``reason`` is the same text for every row that goes for it (they are counted by it); ``detail`` is this row's."""

    reason: str
    detail: str


Verdict: TypeAlias = Fault | None  # None: the row may stay
