import inspect
from pathlib import Path

import pytest
import yaml

from pipeline.corpus.row import Rejected, Row
from pipeline.corpus.values import content_id
from pipeline.source.sts import Sts

CONF = Path(__file__).parents[2] / "conf/source/sts.yaml"
COLUMNS = {"sentence1": "sentence1", "sentence2": "sentence2", "score": "score", "id": "id"}
HEADER = "id\tscore\tsentence1\tsentence2\n"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sts").mkdir()
    return tmp_path / "sts"


OF_TASK = {"task": "sts", "kind": None}


def read(files, **columns):
    return list(Sts(path="sts", root=None, files=files, columns=COLUMNS | columns, **OF_TASK).read())


def test_the_yaml_names_every_argument():
    conf = yaml.safe_load(CONF.read_text())
    assert conf.pop("_target_") == "pipeline.source.sts.Sts"
    assert set(conf) == set(inspect.signature(Sts).parameters)
    Sts(**(conf | {"path": "sts"}))


def test_graded_pairs_become_rows_of_their_files_split(folder):
    (folder / "a.tsv").write_text(HEADER + "p1\t4.5\tA cat sits.\tA cat is sitting.\n")
    (folder / "b.tsv").write_text(HEADER + "p2\t0\tA dog.\tThe moon.\n")
    assert read({"test": "b.tsv", "train": "a.tsv"}) == [
        Row("sts", "p1#1", "A cat sits.", "p1#2", "A cat is sitting.", 4.5, "train", None),
        Row("sts", "p2#1", "A dog.", "p2#2", "The moon.", 0.0, "test", None),
    ]


def test_without_an_id_column_equal_sentences_share_an_id(folder):
    (folder / "a.tsv").write_text("score\tsentence1\tsentence2\n1\tsame\tone\n2\ttwo\tsame\n")
    first, second = read({"train": "a.tsv"}, id=None)
    assert first.query_id == second.document_id == content_id("same")


def test_stray_quotes_swallow_nothing(folder):
    (folder / "a.tsv").write_text(HEADER + 'p1\t1\t"An open quote\tb\np2\t2\tc\t"d" e\n')
    assert [row.query for row in read({"train": "a.tsv"})] == ['"An open quote', "c"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("p1\t\ta\tb", "'score' must hold a number, got ''"),
        ("p1\tinf\ta\tb", "score is inf"),
        ("p1\t1\ta\t ", "empty document"),
        ("p1\t1\ta", "expected 4 fields as in the header, got 3"),
        ("\t1\ta\tb", "'id' must hold a name"),
    ],
)
def test_a_pair_that_cannot_be_one_is_rejected_with_its_place(folder, line, reason):
    (folder / "a.tsv").write_text(HEADER + f"{line}\np2\t1\ta\tb\n")
    bad, good = read({"train": "a.tsv"})
    assert isinstance(bad, Rejected)
    assert (bad.file, bad.line) == ("sts/a.tsv", 2)
    assert reason in bad.reason
    assert isinstance(good, Row)


def test_a_missing_column_is_an_error_with_the_nearest_one(folder):
    (folder / "a.tsv").write_text("id\tscores\tsentence1\tsentence2\n")
    with pytest.raises(ValueError, match=r"a\.tsv: expected a column 'score'.*did you mean 'scores'"):
        read({"train": "a.tsv"})


def test_every_file_is_looked_for_before_the_first_is_read(folder):
    (folder / "a.tsv").write_text(HEADER + "p1\t1\ta\tb\n")
    with pytest.raises(ValueError, match=r"expected data at .*b\.tsv"):
        next(Sts(path="sts", root=None, files={"train": "a.tsv", "test": "b.tsv"}, columns=COLUMNS, **OF_TASK).read())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"files": {"dev": "a.tsv"}}, "unknown split 'dev'"),
        ({"files": {"test": "../a.tsv"}}, "path must be relative"),
        ({"columns": COLUMNS | {"score": None}}, "must name the column of 'score'"),
        ({"columns": COLUMNS | {"sentence3": "x"}}, "unknown role 'sentence3'"),
    ],
)
def test_a_wrong_setting_is_an_error(settings, message):
    with pytest.raises(ValueError, match=message):
        Sts(**({"path": "sts", "root": None, "files": {"test": "a.tsv"}, "columns": COLUMNS, **OF_TASK} | settings))
