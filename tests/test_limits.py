"""Files that are too large, too deep, or that stand for more than they hold, are told at once."""

import time

import pytest

from pipeline import limits
from pipeline.limits import check_size, parsed_json, parsed_yaml

BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{after}: &{after} [{', '.join([f'*{before}'] * 10)}]\n" for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)
HOSTILE = {
    "an alias that stands for a billion values": (parsed_yaml, BOMB, "found 1,234,567,900, by aliases"),
    "a list a thousand deep": (parsed_yaml, "[" * 1000 + "]" * 1000, "deep, found deeper ones"),
    "a list a hundred deep": (parsed_yaml, "[" * 100 + "]" * 100, "at most 64 deep"),
    "a list that holds itself": (parsed_yaml, "a: &a [*a]", "at most 64 deep"),
    "a tag of Python": (parsed_yaml, "!!python/object/apply:os.getcwd []", "is not valid YAML"),
    "a date that there is not": (parsed_yaml, "a: 2026-13-45", "is not valid YAML"),
    "JSON a hundred thousand deep": (parsed_json, "[" * 100_000, "deeper lists"),
    "half a JSON": (parsed_json, '{"a":', "is no JSON"),
    "a number of 5,000 digits": (parsed_json, "1" * 5000, "is no JSON"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_told_with_its_name_within_a_second(tmp_path, case):
    read, text, message = HOSTILE[case]
    (tmp_path / "x").write_text(text, encoding="utf-8")
    start = time.process_time()
    with pytest.raises(ValueError, match=message) as error:
        read(tmp_path / "x")
    assert str(tmp_path / "x") in str(error.value)
    assert time.process_time() - start < 1


@pytest.mark.parametrize("read", [parsed_json, parsed_yaml])
def test_another_encoding_and_too_many_bytes_are_told(tmp_path, read, monkeypatch):
    (tmp_path / "x").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="is not in UTF-8 \\(byte 0\\)"):
        read(tmp_path / "x")
    for name in ("MOST_BYTES", "MOST_YAML_BYTES"):
        monkeypatch.setattr(limits, name, 10)
    (tmp_path / "x").write_text("[1, 2, 3, 4]")
    with pytest.raises(ValueError, match="at most 10 bytes, found 12"):
        read(tmp_path / "x")


def test_an_alias_counts_as_what_it_stands_for_and_plain_values_pass(tmp_path):
    (tmp_path / "x").write_text("a: &a [1, 2]\nb: [*a, *a]\n")
    assert parsed_yaml(tmp_path / "x") == {"a": [1, 2], "b": [[1, 2], [1, 2]]}
    with pytest.raises(ValueError, match="found 1,000,002"):
        check_size([[0] * 1_000_000], "x")
    check_size([[0] * 999_998], "x")
