"""What is read of files that others made: how large they may be, how deep, and how much their aliases may stand for.

A file of a few kilobytes can hold lists a hundred thousand deep, or aliases that stand for a billion values: a parser gives up late.
"""

import json
from pathlib import Path
from typing import Any

import yaml

MOST_BYTES = 1 << 27  # of a JSON file: the largest tokenizers have a quarter of it
MOST_YAML_BYTES = 1 << 20  # PyYAML takes a second for each half of it
MOST_DEPTH = 64
MOST_VALUES = 1_000_000  # with each alias counted as what it stands for


def parsed_json(file: Path) -> Any:
    """What ``file`` holds. ValueError where it is too large or too deep, not UTF-8, or no JSON."""
    text = _text(file, MOST_BYTES)
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError(
            f"{file}: expected JSON of a depth that can be read, found deeper lists; fetch or write it again"
        ) from None
    except ValueError as error:
        raise ValueError(f"{file} is no JSON ({error}); fetch or write it again") from None


def parsed_yaml(file: Path) -> Any:
    """What ``file`` holds: plain values alone, as `yaml.safe_load` gives them. ValueError where it is too large, too deep, or no YAML."""
    text = _text(file, MOST_YAML_BYTES)
    try:
        content = yaml.safe_load(text)
    except RecursionError:
        raise ValueError(f"{file}: expected lists at most {MOST_DEPTH} deep, found deeper ones; write it anew") from None
    except (yaml.YAMLError, ValueError) as error:  # PyYAML lets a date of month 13 through
        raise ValueError(f"{file} is not valid YAML: {error}") from error
    check_size(content, str(file))
    return content


def check_size(content: Any, name: str) -> None:
    """ValueError where ``content`` is deeper than `MOST_DEPTH`, holds itself, or more than `MOST_VALUES` values."""
    known: dict[int, int] = {}

    def size(value: Any, depth: int) -> int:
        if not isinstance(value, dict | list):
            return 1
        if depth > MOST_DEPTH:
            raise ValueError(f"{name}: expected lists at most {MOST_DEPTH} deep, found deeper ones; write it anew")
        if id(value) not in known:
            inner = value.values() if isinstance(value, dict) else value
            known[id(value)] = 1 + sum(size(one, depth + 1) for one in inner)
        return known[id(value)]

    if (found := size(content, 0)) > MOST_VALUES:
        raise ValueError(
            f"{name}: expected at most {MOST_VALUES:,} values, found {found:,}, by aliases (&a, *a); write it anew"
        )


def _text(file: Path, most: int) -> str:
    size = file.stat().st_size
    if size > most:
        raise ValueError(f"{file}: expected at most {most:,} bytes, found {size:,}; is it the right file?")
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not in UTF-8 (byte {error.start}); save it as UTF-8") from error
