"""Files that unpack to far more than they are end in a message, and memory stays where it was."""

import bz2
import gzip
import io
import lzma
import resource
import zipfile
from collections import deque

import openpyxl
import pyarrow as pa
import pyarrow.ipc
import pytest

from pipeline.corpus import lines
from pipeline.corpus.reading import read_cells

FORM = {"needed": ["q"], "delimiter": None, "quoting": True}
PACKERS = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda one: pa.compress(one, codec="zstd", asbytes=True),
}


def read(path):
    return list(read_cells(path, file=path.name, **FORM))


@pytest.fixture(autouse=True)
def little(monkeypatch):
    """Bounds that a test reaches in no time."""
    monkeypatch.setattr(lines, "PLENTY", 1 << 20)
    monkeypatch.setattr("pipeline.corpus.workbook.PLENTY", 1 << 20)


@pytest.mark.parametrize("ending", PACKERS)
@pytest.mark.parametrize("line", [b'{"q": "a"}\n', b"x", b"\n"], ids=["records", "one line", "empty lines"])
def test_a_packed_file_that_unpacks_to_much_more_is_told(tmp_path, ending, line):
    path = tmp_path / f"x.jsonl.{ending}"
    path.write_bytes(PACKERS[ending](line * (30_000_000 // len(line))))
    assert path.stat().st_size < 100_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(
        ValueError, match=f"x.jsonl.{ending} unpacks to more than 100 times its size; if that is right, unpack it by hand"
    ):
        deque(read_cells(path, file=path.name, **FORM), maxlen=0)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


@pytest.mark.parametrize("ending", PACKERS)
def test_one_that_unpacks_to_what_texts_do_is_read_whole(tmp_path, ending):
    rows = [f'{{"q": "{n * 7919 % 100_003} times {n}"}}' for n in range(60_000)]
    path = tmp_path / f"x.jsonl.{ending}"
    path.write_bytes(PACKERS[ending]("\n".join(rows).encode()))
    assert [cells.values["q"] for cells in read(path)] == [f"{n * 7919 % 100_003} times {n}" for n in range(60_000)]


def test_a_workbook_that_unpacks_to_much_more_is_told_before_it_is_read(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["q"])
    whole, path = io.BytesIO(), tmp_path / "x.xlsx"
    book.save(whole)
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name) + b" " * (20_000_000 if "sheet1" in name else 0))
    with pytest.raises(
        ValueError, match=r"x.xlsx unpacks to 20,0\d\d,\d\d\d bytes, more than 100 times its size; save the sheet as CSV"
    ):
        read(path)


def test_a_workbook_whose_entities_grow_is_told(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["q"])
    whole, path = io.BytesIO(), tmp_path / "x.xlsx"
    book.save(whole)
    grown = b"".join(b'<!ENTITY %c "%s">' % (c + 1, (b"&%c;" % c) * 10) for c in b"abcdefgh")
    bomb = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + grown + b"]><x>&i;</x>"
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, bomb if "sheet1" in name else old.read(name))
    with pytest.raises(ValueError, match=r"x\.xlsx"):
        read(path)


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_a_file_without_a_record_is_told_beside_others(tmp_path, capsys, content):
    (tmp_path / "x.jsonl").write_bytes(content)
    assert read(tmp_path / "x.jsonl") == []
    assert capsys.readouterr().out == f"{tmp_path / 'x.jsonl'}: no record stands in it\n"


def test_a_column_whose_name_is_no_text_is_a_damaged_file(tmp_path):
    whole = pa.BufferOutputStream()
    table = pa.table({"qqqq": ["a"], "d": ["b"]})
    with pa.ipc.new_file(whole, table.schema) as writer:
        writer.write_table(table)
    (tmp_path / "x.arrow").write_bytes(whole.getvalue().to_pybytes().replace(b"qqqq", b"qqq\xe2"))
    with pytest.raises(ValueError, match=r"x.arrow is a damaged Arrow file"):
        read(tmp_path / "x.arrow")
