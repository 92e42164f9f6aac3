"""Every flipped bit in a listed file is told before the file is used."""

import random

import pytest

from pipeline.checkpoint import read_json, whole_directory, write_json
from pipeline.corpus.files import read, write
from pipeline.corpus.row import Row
from pipeline.encoder.encoder import Encoder
from pipeline.sums import SUMS, check_file, check_folder, read_sums

ROWS = [Row("retrieval", f"q{i}", f"question {i}", f"d{i}", f"answer {i}") for i in range(20)]


def flipped(file, bit):
    content = bytearray(file.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    file.write_bytes(bytes(content))


@pytest.fixture
def model(tmp_path, tiny_encoder):
    with whole_directory(tmp_path / "model") as folder:
        tiny_encoder().save(folder)
    return tmp_path / "model"


def test_a_flipped_bit_in_any_file_of_a_model_is_told_by_its_name(model):
    draw = random.Random(0)
    Encoder.load(model)
    for file in sorted(file for file in model.rglob("*") if file.is_file()):
        whole = file.read_bytes()
        for bit in draw.sample(range(8 * len(whole)), 3):
            flipped(file, bit)
            with pytest.raises(ValueError, match="SHA256SUMS" if file.name == SUMS else file.name):
                Encoder.load(model)
            file.write_bytes(whole)
    Encoder.load(model)


def test_a_flipped_bit_in_rows_is_told_by_the_list_and_without_it_by_the_pages(tmp_path):
    draw, silent, told = random.Random(1), 0, 0
    with whole_directory(tmp_path / "raw") as folder:
        (folder / "x").mkdir()
        write(folder / "x/rows.parquet", Row, ROWS)
        write_json(folder / "x/card.json", {"rows": 20})
    file = tmp_path / "raw/x/rows.parquet"
    whole = file.read_bytes()
    for listed in (True, False):
        if not listed:
            (tmp_path / "raw" / SUMS).unlink()
        for bit in draw.sample(range(8 * len(whole)), 60):
            flipped(file, bit)
            try:
                same = read(file, Row) == ROWS
            except ValueError as error:
                told += str(file) in str(error)
            else:
                assert not listed
                silent += not same
            file.write_bytes(whole)
    assert silent == 0
    assert told > 90
    assert read(file, Row) == ROWS


def test_a_card_that_was_changed_is_told(tmp_path):
    with whole_directory(tmp_path / "raw") as folder:
        write_json(folder / "card.json", {"rows": 20})
    (tmp_path / "raw/card.json").write_text('{"rows": 21}')
    with pytest.raises(
        ValueError, match=r"raw/card.json is damaged, or was changed .*dvc checkout --force .*raw`.*if the change is your own"
    ):
        read_json(tmp_path / "raw/card.json")
    (tmp_path / "raw" / SUMS).unlink()
    assert read_json(tmp_path / "raw/card.json") == {"rows": 21}


def test_a_file_that_is_gone_is_told_and_one_that_nobody_lists_passes(tmp_path):
    with whole_directory(tmp_path / "x") as folder:
        (folder / "a.json").write_text("1")
        (folder / "b.onnx").write_text("1")
        (folder / "README.md").write_text("1")
    (tmp_path / "x/b.onnx").unlink()  # a form that was not fetched
    (tmp_path / "x/new").write_text("2")
    (tmp_path / "x/README.md").write_text("mine")
    check_file(tmp_path / "x/new")
    check_folder(tmp_path / "x")
    (tmp_path / "x/a.json").unlink()
    with pytest.raises(ValueError, match=r"x/a\.json is missing, which SHA256SUMS names"):
        check_folder(tmp_path / "x")


@pytest.mark.parametrize("line", ["0" * 64 + "  ../x", "0" * 64 + "  /etc/passwd", "0" * 63 + "  a", "a"])
def test_a_list_names_files_of_its_folder_alone(tmp_path, line):
    (tmp_path / SUMS).write_text(line + "\n")
    with pytest.raises(ValueError, match="SHA256SUMS:1: expected a hash of 64 digits and a name"):
        read_sums(tmp_path / SUMS)


def test_a_list_that_was_cut_short_is_told(tmp_path):
    (tmp_path / SUMS).write_text("0" * 64 + "  a.json\n" + "0" * 64 + "  b")
    with pytest.raises(ValueError, match="it was cut short"):
        read_sums(tmp_path / SUMS)
