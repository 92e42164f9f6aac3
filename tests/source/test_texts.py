"""A folder of texts becomes rows."""

import pytest

from pipeline.corpus.row import Rejected, Row
from pipeline.source.texts import MANY, Texts


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def made(files):
        for name, content in files.items():
            place = tmp_path / "texts" / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content if isinstance(content, bytes) else content.encode())
        return Texts(path="texts", root=None, endings=[".txt", ".md"], min_words=4)

    return made


def test_each_passage_is_a_row_of_its_beginning_and_its_rest(folder):
    source = folder(
        {
            "b.txt": "The cat sat. It sat on a mat.\n\nA dog ran in the park today",
            "in/a.MD": "\ufeffRows of all numbers. Sum them up.",
            "c.csv": "not, read",
            ".hidden.txt": "nor this one, as it is hidden.",
        }
    )
    found = list(source.read())
    assert [(row.query, row.document, row.query_id) for row in found] == [
        ("The cat sat.", "It sat on a mat.", "texts/b.txt#0"),
        ("A dog ran in", "the park today", "texts/b.txt#1"),
        ("Rows of all numbers.", "Sum them up.", "texts/in/a.MD#0"),
    ]
    assert all(isinstance(row, Row) and row.task == "retrieval" and row.group is None for row in found)


def test_passages_of_a_file_stay_together_where_there_are_many_files(folder):
    found = list(
        folder({f"{i}.txt": f"Text number {i} begins. It ends.\n\nAnother one of {i}. Here." for i in range(MANY)}).read()
    )
    assert len(found) == 2 * MANY
    assert len({row.group for row in found}) == MANY


def test_what_is_too_short_is_left_out_and_told_and_what_is_no_utf_8_is_rejected(folder, capsys):
    found = list(
        folder({"a.txt": "too short", "b.txt": b"caf\xe9 in another encoding", "c.txt": "Long enough it is. Yes."}).read()
    )
    assert [type(one) for one in found] == [Rejected, Row]
    assert found[0].reason == "not valid UTF-8"
    assert "1 texts of fewer than 4 words are left out" in capsys.readouterr().out


def test_a_folder_without_texts_is_told(folder):
    with pytest.raises(ValueError, match=r"found no file that ends in \.txt, \.md"):
        list(folder({"a.csv": "x"}).read())
