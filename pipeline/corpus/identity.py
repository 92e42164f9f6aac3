"""What names stand for, over all files of a corpus: one name one text, one pair one judgement, one number one spelling."""

import hashlib
import re

WHOLE = re.compile(r"(-?\d+)(\.0+)?")


class Identities:
    """Remembers what each name was seen with; methods raise ValueError where that is contradicted."""

    def __init__(self) -> None:
        self.texts: dict[tuple[str, str], tuple[bytes, str]] = {}
        self.pairs: dict[tuple[str, str], tuple[float | None, str]] = {}
        self.spelled: dict[tuple[str, str], tuple[str, str]] = {}

    def check_text(self, kind: str, name: str, text: str, where: str) -> None:
        """``kind``: query or document."""
        content = hashlib.blake2b(text.encode(), digest_size=8).digest()
        known, first = self.texts.setdefault((kind, name), (content, where))
        if known != content:
            raise ValueError(
                f"{kind} id {name!r} stands for two texts, the first one at {first}; give each text an id of its own"
            )

    def check_pair(self, query_id: str, document_id: str, score: float | None, where: str) -> None:
        known, first = self.pairs.setdefault((query_id, document_id), (score, where))
        if known != score and not (known != known and score != score):
            raise ValueError(f"this pair is judged {known} at {first} and {score} here; keep one of them")

    def misspelled(self, role: str, name: str, where: str) -> str | None:
        """A message where one number is written as 1 here and as 1.0 there: as texts they are two names, and were one."""
        match = WHOLE.fullmatch(name)
        if match is None:
            return None
        known, first = self.spelled.setdefault((role, match[1]), (name, where))
        if known == name:
            return None
        return (
            f"{where}: {role} {name!r} is {known!r} at {first}: one number in two spellings, of which each would be a name of its own; "
            "write all alike (a gap in a column makes pandas write 1.0 for 1: read it with dtype=str or Int64)"
        )
