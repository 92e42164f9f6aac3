import gzip
import json
import shutil

import pytest

from pipeline.checkpoint import read_json
from pipeline.corpus.files import read
from pipeline.corpus.row import Rejected, Row
from pipeline.stage.ingest import _check_tasks

PLAIN = [json.dumps({"question": f"question {i}", "answer": f"answer {i}", "score": 1.0}).encode() for i in range(100)]
BAD_LINES = {
    "a missing column": (b'{"question": "why?", "score": 1.0}', "no 'answer' in this record"),
    "an empty text": (b'{"question": " ", "answer": "because", "score": 1.0}', "empty query"),
    "a score that is no number": (
        b'{"question": "why?", "answer": "because", "score": NaN}',
        "score is nan, expected a finite number",
    ),
    "a broken byte": (b'{"question": "wh\xff?", "answer": "because", "score": 1.0}', "not valid UTF-8"),
    "half a record": (b'{"question": "why?"', "not valid JSON"),
}
SCORED = {"query": "question", "document": "answer", "score": "score"}
CORPUS = {"source": "table", "path": "data/source/questions.jsonl", "columns": SCORED}


@pytest.fixture(scope="module")
def composed(make, run, tmp_path_factory):
    folder = make(tmp_path_factory.mktemp("composed") / "workspace", corpora={"questions": CORPUS})
    assert run(folder, "compose") == 0
    return folder / "data/config.yaml"


@pytest.fixture
def scored(composed, tmp_path):
    """A workspace with one corpus, questions.jsonl, that still has to be written."""
    (tmp_path / "data/source").mkdir(parents=True)
    shutil.copy(composed, tmp_path / "data")
    return tmp_path


def test_every_source_becomes_rows_of_one_schema(finished):
    rows = {name: read(finished / f"data/raw/{name}/rows.parquet", Row) for name in ("questions", "labels", "graded")}
    assert {name: len(of_corpus) for name, of_corpus in rows.items()} == {"questions": 101, "labels": 50, "graded": 90}
    assert {(row.task, row.split) for row in rows["questions"]} == {("retrieval", None)}
    assert {(row.task, row.split) for row in rows["graded"]} == {("sts", split) for split in ("train", "validation", "test")}
    assert {row.score for row in rows["graded"]} <= {0.0, 1.0, 2.0, 3.0}


def test_a_record_within_the_budget_is_kept_with_its_place_and_reason(finished):
    (rejected,) = read(finished / "data/raw/questions/rejected.parquet", Rejected)
    assert (rejected.file, rejected.line) == ("data/source/questions.jsonl", 42)
    assert rejected.reason.startswith("not valid JSON")
    assert read_json(finished / "data/raw/questions/card.json")["rejected"] == 1


@pytest.mark.parametrize("fault", BAD_LINES)
def test_more_than_the_budget_fails_with_file_and_line_of_each(scored, run, capsys, fault):
    line, reason = BAD_LINES[fault]
    (scored / "data/source/questions.jsonl").write_bytes(b"\n".join([*PLAIN[:4], line, *PLAIN[4:60], line, *PLAIN[60:]]))
    assert run(scored, "ingest") == 1
    error = capsys.readouterr().err
    assert "corpus questions: 2 of 102 records cannot be read, more than ingest.max_rejected = 1.0%" in error
    assert f"data/source/questions.jsonl:5: {reason}" in error
    assert f"data/source/questions.jsonl:62: {reason}" in error
    assert sorted(path.name for path in (scored / "data").iterdir()) == ["config.yaml", "source"]


@pytest.mark.parametrize("fault", BAD_LINES)
def test_within_the_budget_the_dropped_rows_hold_it(scored, run, fault):
    from pipeline.corpus.files import Dropped

    line, reason = BAD_LINES[fault]
    (scored / "data/source/questions.jsonl").write_bytes(b"\n".join([*PLAIN[:4], line, *PLAIN[4:]]))
    assert run(scored, "ingest") == 0
    assert run(scored, "curate") == 0
    (dropped,) = read(scored / "data/curated/questions/dropped.parquet", Dropped)
    assert dropped.reason == "not readable"
    assert dropped.detail.startswith(f"data/source/questions.jsonl:5: {reason}")


def test_a_failed_run_leaves_the_output_of_the_one_before(scored, run):
    source = scored / "data/source/questions.jsonl"
    source.write_bytes(b"\n".join(PLAIN))
    assert run(scored, "ingest") == 0
    before = (scored / "data/raw/questions/rows.parquet").read_bytes()
    source.write_bytes(b"\n".join([*PLAIN, b"{", b"{"]))
    assert run(scored, "ingest") == 1
    assert (scored / "data/raw/questions/rows.parquet").read_bytes() == before
    assert sorted(path.name for path in (scored / "data").iterdir()) == ["config.yaml", "raw", "source"]


def test_a_folder_named_by_the_environment_stands_in_for_the_hub(workspace, run, monkeypatch):
    """Also where it is named only after compose has run."""
    folder = workspace(corpora={})
    experiment = folder / "conf/experiment/tiny.yaml"
    experiment.write_text(experiment.read_text().replace("corpora: []", "corpora: [stsb]"))
    assert run(folder, "compose") == 0
    (folder / "data/source/graded").rename(folder / "data/source/sts")
    monkeypatch.setenv("TRIBUTARY_DATA", str(folder / "data/source"))
    assert run(folder, "ingest") == 0
    assert read_json(folder / "data/raw/stsb/card.json")["rows"] == {"sts": 90}


def test_a_corpus_without_a_valid_row_is_refused(scored, run, capsys):
    (scored / "data/source/questions.jsonl").write_text("{\n[]\n", encoding="utf-8")
    assert run(scored, "ingest") == 1
    said = capsys.readouterr().err
    assert "corpus questions: no valid row out of 2 records; mend the source, or take the corpus out of params.yaml" in said
    assert "data/source/questions.jsonl:1: not valid JSON" in said
    assert not (scored / "data/raw").exists()


@pytest.mark.parametrize(("damage", "words"), [(bytes(12), "is a damaged gzip file"), (None, "test.tsv")])
def test_an_evaluation_set_that_cannot_be_read_is_named(finished, tmp_path, run, capsys, damage, words):
    shutil.copytree(finished / "data/source", tmp_path / "data/source")
    shutil.copy(finished / "data/config.yaml", tmp_path / "data")
    file = tmp_path / "data/source/graded/stsb.test.tsv"
    if damage:
        file.with_name(file.name + ".gz").write_bytes(gzip.compress(file.read_bytes())[:100] + damage)
    file.unlink()
    assert run(tmp_path, "ingest") == 1
    said = capsys.readouterr().err
    assert "data/source/graded/stsb.test.tsv" in said
    assert words in said
    assert not (tmp_path / "data/raw").exists()


def test_a_missing_file_is_named(finished, tmp_path, run, capsys):
    (tmp_path / "data/source").mkdir(parents=True)
    shutil.copy(finished / "data/config.yaml", tmp_path / "data")
    assert run(tmp_path, "ingest") == 1
    assert f"expected data at {tmp_path / 'data/source/graded'}" in capsys.readouterr().err
    assert not (tmp_path / "data/raw").exists()


def test_graded_pairs_without_a_score_are_refused_before_anything_is_read(workspace, run, capsys):
    columns = {"query": "question", "document": "answer"}
    folder = workspace(corpora={"questions": CORPUS | {"columns": columns, "task": "sts"}})
    assert run(folder, "compose") == 0
    assert run(folder, "ingest") == 1
    assert "columns must name the column of 'score', got None" in capsys.readouterr().err
    assert not (folder / "data/raw").exists()


def test_one_task_of_two_kinds_is_told_with_both_corpora(tmp_path):
    rows = [Row("legal", "q", "a", "d", "b", 1.0, kind=kind) for kind in ("retrieval", "sts")]
    kinds = {}
    _check_tasks("laws", rows[:1], kinds)
    with pytest.raises(ValueError, match="task 'legal' is of kind retrieval in corpus laws and of kind sts in mail"):
        _check_tasks("mail", rows[1:], kinds)
