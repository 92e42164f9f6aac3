"""Prose out of docstrings: reStructuredText with numpydoc or Google sections, as Python packages write it.

The rules are rough on purpose. What is not plainly prose is left out: a lost sentence costs less than code in a text.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

UNDERLINE = re.compile(r"[-=~^]{3,}$")
SECTION = re.compile(
    r"(args?|arguments|parameters|keyword arg(ument)?s|returns?|yields?|raises|warns|examples?|shape|attributes|inputs?|"
    r"outputs?|notes?|warnings?|references?|see also|todo|usage|methods|variables|\.\. (seealso|rubric)):{0,2}",
    re.IGNORECASE,
)
FIELD = re.compile(r":(param|parameter|arg|type|returns?|rtype|raises|keyword)\b")
CALL = re.compile(r"[\w.]+\(.*\)(\s*->.*)?")
LEFT_OUT = re.compile(r"(\.\. |>>>|\.\.\. |[|+=]|[-~^]{3}|:\w+:\s)")  # directive, session, table, rule, option
TEMPLATE = re.compile(r"%\(\w+\)s|\{\w+\}$")
SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[\"'(\[]?[A-Z0-9])")
ABBREVIATION = re.compile(r"\b(e\.g|i\.e|etc|vs|cf|resp|approx|Fig|Eq|Eqs|Sec|Ref|Refs|No|al|Dr|St)\.$")
SEE_ALSO_NAME = re.compile(r"(?::[\w:]+:)?`?~?([A-Za-z_][\w.]*)`?(?:\(\))?")
SEE_ALSO_END = re.compile(r"\s*:(?:\s+|$)")  # of the names: ``a : what it does``
MARKUP = (
    (re.compile(r":[\w:+-]+:`[~!]?([^`<]+?)(?:\s*<[^`>]*>)?`"), r"\1"),  # :func:`x`
    (re.compile(r"`([^`<]+?)\s*<[^`>]*>`__?"), r"\1"),  # `text <url>`_
    (re.compile(r"``([^`]*)``"), r"\1"),
    (re.compile(r"`~?\.?([^`]*)`_?"), r"\1"),
    (re.compile(r"\s*\[(\d+|[A-Z]\w*)\]_"), ""),  # footnote
    (re.compile(r"(?<![\w*(])(\*{1,2})(?=[^\s*])([^*]*[^\s*])\1(?![\w*])"), r"\2"),  # emphasis
    (re.compile(r"\\ "), ""),
    (re.compile(r"\s+"), " "),
)


class Mention(NamedTuple):
    """An entry of See Also: the name as written there, and what is said of it; empty where nothing is, or of several at once."""

    name: str
    words: str


class Prose(NamedTuple):
    """What a docstring says before its first section, its first sentence and the others; and what it says further down.

    ``shown``: the last sentence before each example; ``code``: the lines that begin with a prompt, without it.
    """

    summary: str
    description: tuple[str, ...] = ()
    see_also: tuple[Mention, ...] = ()
    shown: tuple[str, ...] = ()
    code: tuple[str, ...] = ()


def plain(text: str) -> str:
    """``text`` on one line, without the usual reStructuredText marks."""
    for pattern, replacement in MARKUP:
        text = pattern.sub(replacement, text)
    return text.strip()


def sentences(text: str) -> list[str]:
    """``text`` cut after every end of a sentence that is no abbreviation."""
    found, start = [], 0
    for end in SENTENCE_END.finditer(text):
        if not ABBREVIATION.search(text, start, end.start()):
            found.append(text[start : end.start()])
            start = end.end()
    return [*found, text[start:]] if text[start:] else found


def parsed_docstring(docstring: str) -> Prose:
    """``docstring`` as `inspect.cleandoc` leaves it. Code, formulas set apart, tables and directives are left out."""
    lines = docstring.expandtabs().splitlines()
    paragraphs = list(_paragraphs(lines[: _first_section(lines)]))
    if paragraphs and CALL.fullmatch(paragraphs[0]):
        del paragraphs[0]  # a signature written out by hand
    found = [each for text in paragraphs if not TEMPLATE.search(text) for each in sentences(plain(text))]
    code = tuple(line for each in lines if (line := _prompted(each.strip())))
    return Prose(found[0] if found else "", tuple(found[1:]), tuple(_see_also(lines)), tuple(_shown(lines)), code)


def _first_section(lines: Sequence[str]) -> int:
    for number, line in enumerate(lines):
        text = line.strip()
        underlined = number + 1 < len(lines) and UNDERLINE.match(lines[number + 1].strip())
        if text and (underlined or (text.endswith(":") and SECTION.fullmatch(text)) or FIELD.match(text)):
            return number
    return len(lines)


def _paragraphs(lines: Sequence[str]) -> Iterator[str]:
    """Paragraphs of prose. What is indented below a directive or a ``::`` belongs to it and goes with it."""
    dropped_below: int | None = None
    for blank, group in groupby(lines, key=lambda line: not line.strip()):
        if blank:
            continue
        block = list(group)
        indent = len(block[0]) - len(block[0].lstrip())
        if dropped_below is not None and indent > dropped_below:
            continue
        first, last = block[0].strip(), block[-1].rstrip()
        dropped_below = indent if LEFT_OUT.match(first) or last.endswith("::") else None
        if not LEFT_OUT.match(first):
            yield " ".join(line.strip() for line in block).removesuffix(":").removesuffix(":")


def _see_also(lines: Sequence[str]) -> Iterator[Mention]:
    """Entries under a numpydoc heading ``See Also``: ``a, b`` or ``a : what it does``, whose further lines are indented."""
    entries: list[tuple[list[str], list[str]]] = []
    for line in _under(lines, "see also"):
        if line.startswith(" ") and entries:
            entries[-1][1].append(line.strip())
        elif line.strip():
            names, _, words = SEE_ALSO_END.sub("\n", line.strip(), count=1).partition("\n")
            entries.append((names.split(","), [words]))
    for names, words in entries:
        said = plain(" ".join(words)) if len(names) == 1 else ""
        for entry in names:
            if name := SEE_ALSO_NAME.fullmatch(entry.strip()):
                yield Mention(name[1].rstrip("."), said)


def _under(lines: Sequence[str], heading: str) -> Iterator[str]:
    """The lines below an underlined ``heading``, up to the next underlined one."""
    stripped = [line.strip() for line in lines]
    below = [*stripped[1:], ""]
    underlined = [bool(text and UNDERLINE.match(below[number])) for number, text in enumerate(stripped)]
    for number, text in enumerate(stripped):
        if underlined[number] and text.lower() == heading:
            last = next((i for i in range(number + 2, len(lines)) if underlined[i]), len(lines))
            yield from lines[number + 2 : last]


def _prompted(line: str) -> str:
    return line[3:].strip() if line.startswith(">>>") else ""


def _shown(lines: Sequence[str]) -> Iterator[str]:
    """The last sentence of the prose right before a prompt; what stands between prompts is output, and no prose."""
    before: list[str] = []
    for blank, group in groupby((line.strip() for line in lines), key=lambda line: not line):
        if blank:
            continue
        block = list(group)
        prompt = next((i for i, line in enumerate(block) if line.startswith(">>>")), None)
        if prompt is None:
            before = block
            continue
        text = plain(" ".join(_below_heading(block[:prompt] if prompt else before))).rstrip(":")
        before = []
        if text and any(map(_prompted, block)) and not LEFT_OUT.match(text) and _reads(last := sentences(text)[-1]):
            yield last


def _below_heading(block: Sequence[str]) -> Sequence[str]:
    heading = max((i for i, line in enumerate(block) if UNDERLINE.match(line)), default=-1)
    return block[heading + 1 :]


def _reads(text: str) -> bool:
    """Prose rather than numbers or code: three of four words are letters alone."""
    words = [word.strip(".,:;()'\"") for word in text.split()]
    return bool(words) and sum(word.isalpha() for word in words) >= 0.75 * len(words)
