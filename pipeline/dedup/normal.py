"""What a text is compared by. The text itself is never changed."""

import re
import unicodedata
from collections.abc import Sequence
from typing import Literal


class Normal:
    """Takes ``boilerplate`` out (regular expressions, ``^`` and ``$`` at each line), composes Unicode by ``form``, collapses white
    space and, by choice, lowers case. A text that is all boilerplate is compared as it stands, so that two such are not equal."""

    def __init__(self, *, lowercase: bool, form: Literal["NFC", "NFKC"], boilerplate: Sequence[str]) -> None:
        self.lowercase = lowercase
        self.form: Literal["NFC", "NFKC"] = form
        try:
            self.rules = [re.compile(rule, re.MULTILINE) for rule in boilerplate]
        except re.error as error:
            raise ValueError(
                f"curate.normal.boilerplate: {error.pattern!r} is no regular expression ({error}); mend or quote it"
            ) from error

    def __call__(self, text: str) -> str:
        cleaned = text
        for rule in self.rules:
            cleaned = rule.sub(" ", cleaned)
        cleaned = " ".join(unicodedata.normalize(self.form, cleaned).split())
        if not cleaned:
            cleaned = " ".join(unicodedata.normalize(self.form, text).split())
        return cleaned.lower() if self.lowercase else cleaned
