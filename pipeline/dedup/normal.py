"""What a text is compared by. The text itself is never changed."""

import re
import unicodedata
from collections.abc import Sequence
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

compute: Any = pc
BLANKS = r"[\t\n\f\r ]+"  # what parts words in ASCII, to Python and to RE2; others are rare, and left to Python
ALIKE = re.compile(  # regular expressions that RE2, which Arrow has, reads as Python does where a text holds ASCII and no other blanks
    r"(?:[A-Za-z0-9 _:;,<>=!@#%&~\"'/`-]|\\[.\[\]()*+?^$|{}\\sdwbSDW>:`-]|[.^$*+?|)]|\((?:\?:)?(?!\?)|\{\d+(?:,\d*)?\}"
    r"|\[\^?(?:[A-Za-z0-9 _.,:;<>=!@#%&~\"'/`$*+?()|{}-]|\\[\[\]\\sdw^-])+\])*"
)


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

    def column(self, texts: pa.Array) -> pa.Array:
        """The same of all ``texts``, compiled for those in ASCII of which no rule takes anything out; the others come one by one."""
        plain = compute.and_(
            compute.string_is_ascii(texts), compute.invert(compute.match_substring_regex(texts, r"[\x0b\x1c-\x1f]"))
        )
        for rule in self.rules:
            plain = compute.and_(plain, compute.invert(self._found(rule, texts)))
        loose = compute.match_substring_regex(texts, r"[\t\n\f\r]|  |^ | $")
        tight = compute.ascii_trim(compute.replace_substring_regex(texts.filter(loose), BLANKS, " "), " ")
        found = compute.replace_with_mask(texts, loose, tight)
        if self.lowercase:
            found = compute.ascii_lower(found)
        rest = compute.invert(plain)
        return compute.replace_with_mask(
            found, rest, pa.array([self(text) for text in texts.filter(rest).to_pylist()], texts.type)
        )

    @staticmethod
    def _found(rule: re.Pattern[str], texts: pa.Array) -> pa.Array:
        """Where ``rule`` finds something, or might."""
        if ALIKE.fullmatch(rule.pattern):
            try:
                return compute.match_substring_regex(texts, f"(?m){rule.pattern}")
            except pa.ArrowInvalid:  # no expression to RE2
                pass
        return pa.array([rule.search(text) is not None for text in texts.to_pylist()], pa.bool_())

    def __call__(self, text: str) -> str:
        cleaned = text
        for rule in self.rules:
            cleaned = rule.sub(" ", cleaned)
        cleaned = " ".join(unicodedata.normalize(self.form, cleaned).split())
        if not cleaned:
            cleaned = " ".join(unicodedata.normalize(self.form, text).split())
        return cleaned.lower() if self.lowercase else cleaned
