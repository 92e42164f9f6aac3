"""JSON: an object a line, or one array of objects, whatever the file is called."""

import json
from collections.abc import Generator, Iterator
from itertools import islice

from pipeline.corpus.cells import Cells, Needed, excerpt, is_unicode
from pipeline.corpus.lines import Line, Text, lines
from pipeline.corpus.row import Rejected

LOOKED_AT = 100  # lines, where the file begins like an array and is none
EXPECTED = "expected JSON lines (an object on each line) or one array of objects"


class NotJSONError(ValueError):
    """The file as a whole is no sequence of JSON values."""


def json_records(text: Text, file: str, needed: Needed) -> Iterator[Cells | Rejected]:
    rows = _filled(text)
    first, second = next(rows, None), next(rows, None)
    rows.close()
    if first is None:
        print(f"{text.path}: no record stands in it")
        return
    if second is None or not isinstance(_parsed(first.text), dict):
        whole: list[Cells | Rejected] = []
        try:
            whole += _values(text, file, needed)
        except NotJSONError:
            if first.text.lstrip().startswith("[") and not _mostly_objects(text):
                raise
        else:
            yield from whole
            return
    for line in _filled(text):
        yield _record(file, line)


def _filled(text: Text) -> Generator[Line]:
    for line in lines(text, universal=True):
        if line.text.strip():
            yield line


def _record(file: str, line: Line) -> Cells | Rejected:
    number, content, _ = line
    if not is_unicode(content):
        return Rejected(file, number, "not valid UTF-8", excerpt(content), 1, len(content))
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        return Rejected(file, number, f"not valid JSON: {error}", excerpt(content), 1, len(content))
    if isinstance(values, dict):
        return Cells(file, number, values, 1, len(content))
    return Rejected(file, number, f"expected a JSON object, got {type(values).__name__}", excerpt(content), 1, len(content))


def _parsed(content: str) -> object:
    """The JSON value, or None where it is none."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _mostly_objects(text: Text) -> bool:
    """Whether half of the first lines are objects: then a first line that is none is one bad line."""
    looked = [_parsed(line.text) for line in islice(_filled(text), LOOKED_AT)]
    return 2 * sum(isinstance(one, dict) for one in looked) >= len(looked)


def _values(text: Text, file: str, needed: Needed) -> Iterator[Cells | Rejected]:
    """The objects of one array, or objects that follow each other over several lines. ``line`` is where each begins."""
    content = "".join(line.text + "\n" for line in lines(text, universal=True))
    decoder, at, line = json.JSONDecoder(), 0, 1
    start = len(content) - len(content.lstrip())
    array = content[start] == "["
    at = start + array
    line += content.count("\n", 0, at)
    while True:
        begin = at
        while at < len(content) and content[at] in " \t\n,":
            at += 1
        line += content.count("\n", begin, at)
        if at == len(content) and not array:
            return
        if array and content[at : at + 1] == "]":
            if content[at + 1 :].strip():
                raise NotJSONError(f"{text.path}:{line}: {EXPECTED}, found more behind the array")
            return
        try:
            value, end = decoder.raw_decode(content, at)
        except (ValueError, RecursionError) as error:
            raise NotJSONError(f"{text.path}:{line}: {EXPECTED}, found what is no JSON ({error}); mend it there") from error
        if not array and begin == start:
            _check_single(text, value, content[end:], needed)
        size, spans = end - at, content.count("\n", at, end) + 1
        if not isinstance(value, dict):
            reason = f"expected a JSON object, got {type(value).__name__}"
            yield Rejected(file, line, reason, excerpt(content[at:end]), spans, size)
        elif not is_unicode(content[at:end]):
            yield Rejected(file, line, "not valid UTF-8", excerpt(content[at:end]), spans, size)
        else:
            yield Cells(file, line, value, spans, size)
        line += spans - 1
        at = end


def _check_single(text: Text, value: object, rest: str, needed: Needed) -> None:
    """ValueError where the file is one object that holds the records: which of its keys does is not guessed."""
    if rest.strip() or not isinstance(value, dict):
        return
    asked = [option for one in needed for option in ((one,) if isinstance(one, str) else one)]
    lists = [key for key, held in value.items() if isinstance(held, list) and held and isinstance(held[0], dict)]
    columns = value and all(isinstance(held, dict) for held in value.values())
    if (lists or columns) and (columns or not any(option.split(".")[0] in value for option in asked)):
        way = (
            f"take the list out (jq -c '.{lists[0]}[]')" if lists else 'write it by rows (pandas: orient="records", lines=True)'
        )
        raise ValueError(f"{text.path}: {EXPECTED}, found one object with the keys {', '.join(list(value)[:8])}; {way}")
