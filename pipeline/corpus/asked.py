"""Questions to documented objects, in words that are not those of their own description.

* said: what the See Also of another object says about this one
* shown: the sentence by which its docstring introduces an example
* code: a line of its examples that names it
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pipeline.corpus.documented import Documented
from pipeline.corpus.linked import Links
from pipeline.corpus.wording import share

KINDS = ("said", "shown", "code")
NO_CALL = re.compile(r"(from|import|help|def|class)\b|#")
REMARK = re.compile(r"\s+#.*$")  # behind a line of code


class Question(NamedTuple):
    """``kind``: one of `KINDS`. ``by``: the object whose docstring holds the text."""

    kind: str
    by: str
    text: str
    about: str


def questions(
    objects: Sequence[Documented],
    links: Links,
    documents: Mapping[str, str],
    *,
    most: Mapping[str, int],
    min_words: int,
    max_shared: float,
) -> Iterator[Question]:
    """Questions about ``objects``, sorted by object, of each kind at most ``most[kind]`` about one.

    ``documents``: what is to be found, by name. A question that shares more than ``max_shared`` of its words with its document
    is left out, for a search for equal words answers it; so is a text that is said of more than one object, which asks for none.
    Prose has at least ``min_words`` words.
    """
    found = [each for each in _all(objects, links) if each.about in documents]
    found = [each for each in found if each.kind == "code" or len(each.text.split()) >= min_words]
    said_of: dict[str, set[str]] = defaultdict(set)
    for each in found:
        said_of[each.text.lower()].add(each.about)
    given: dict[tuple[str, str], set[str]] = defaultdict(set)
    for each in sorted(found, key=lambda each: each.about):  # a stable sort: of one object in the order of the texts
        texts = given[each.about, each.kind]
        if len(texts) == most[each.kind] or each.text.lower() in texts or len(said_of[each.text.lower()]) > 1:
            continue
        if share(each.text, documents[each.about]) <= max_shared:
            texts.add(each.text.lower())
            yield each


def _all(objects: Sequence[Documented], links: Links) -> Iterator[Question]:
    for each in objects:
        for mention in each.prose.see_also:
            about = links.resolved(each, mention.name) if mention.words else None
            if about is not None and about.name != each.name:
                yield Question("said", each.name, mention.words, about.name)
        yield from (Question("shown", each.name, text, each.name) for text in each.prose.shown)
        last = re.escape(each.name.rpartition(".")[2])
        named = re.compile(rf"\b{last}\b(?!\s*=)")  # ``name=1`` passes an argument of that name
        for line in each.prose.code:
            code = REMARK.sub("", line)
            if named.search(code) and not NO_CALL.match(code) and not re.fullmatch(last, code):
                yield Question("code", each.name, code, each.name)
