import gzip
import json
import shutil

import pytest

from pipeline.checkpoint import read_json
from pipeline.corpus.files import read
from pipeline.corpus.records import Records
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
    assert "All 2 stand in data/rejected/questions.jsonl: 2 " in error
    kept = [json.loads(line) for line in (scored / "data/rejected/questions.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(one["file"], one["line"]) for one in kept] == [
        ("data/source/questions.jsonl", 5),
        ("data/source/questions.jsonl", 62),
    ]
    assert all(one["reason"].startswith(reason) for one in kept)
    assert sorted(path.name for path in (scored / "data").iterdir()) == ["config.yaml", "rejected", "source"]
    (scored / "data/source/questions.jsonl").write_bytes(b"\n".join(PLAIN))
    assert run(scored, "ingest") == 0
    assert not (scored / "data/rejected/questions.jsonl").exists()


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
    assert sorted(path.name for path in (scored / "data").iterdir()) == ["config.yaml", "raw", "rejected", "source"]


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
    assert run(folder, "compose") == 1
    assert "columns must name the column of 'score', got None" in capsys.readouterr().err
    assert not (folder / "data/raw").exists()


def judged(count, known):
    """A BEIR folder of ``count`` judgements, of which ``known`` name a document, beside many documents."""
    return {
        "corpus.jsonl": "".join(f'{{"_id": "d{i}", "title": null, "text": "document {i}"}}\n' for i in range(2000)),
        "queries.jsonl": "".join(f'{{"_id": "q{i}", "text": "question {i}"}}\n' for i in range(count)),
        "qrels/test.tsv": "query-id\tcorpus-id\tscore\n"
        + "".join(f"q{i}\t{f'd{i}' if i < known else f'd{i}-0'}\t1\n" for i in range(count)),
    }


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (judged(20, 1), "19 of 20 records of the judgements cannot be read"),
        ({"corpus.jsonl": judged(20, 20)["corpus.jsonl"] + "{\n" * 300}, "300 of 2300 records of the corpus cannot be read"),
        (
            {"queries.jsonl": judged(20, 20)["queries.jsonl"] + '{"_id": "q"}\n'},
            "1 of 21 records of the queries cannot be read",
        ),
    ],
)
def test_the_budget_is_of_one_kind_of_file(workspace, run, capsys, files, message):
    line = {"source": "beir", "path": "data/source/b", "splits": {"train": None, "test": "test"}}
    folder = workspace(corpora={"b": line})
    for name, content in (judged(20, 20) | files).items():
        (folder / "data/source/b/qrels").mkdir(parents=True, exist_ok=True)
        (folder / f"data/source/b/{name}").write_text(content)
    assert run(folder, "compose") == 0
    assert run(folder, "ingest") == (1 if files else 0)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        # 300 glued records are one bad line of 1001, and most of what was written.
        ("glued.jsonl", b"\n".join([*PLAIN * 10, b"".join(PLAIN * 3)]), "characters cannot be read"),
        # One bad record of 20 lines in 100 of 20 lines each is 1 % of the lines, and 3 are more.
        (
            "long.csv",
            (
                "question,answer,score\n" + ('a,"' + "text\n" * 19 + 'end",1\n') * 97 + ('a,"' + "text\n" * 19 + 'end",\n') * 3
            ).encode(),
            "60 of 2000 lines cannot be read",
        ),
    ],
)
def test_the_budget_counts_what_is_lost_of_the_file(workspace, run, capsys, name, content, message):
    folder = workspace(corpora={"t": CORPUS | {"path": f"data/source/{name}"}})
    (folder / f"data/source/{name}").write_bytes(content)
    assert run(folder, "compose") == 0
    assert run(folder, "ingest") == 1
    assert message in capsys.readouterr().err


def test_one_task_of_two_kinds_is_told_with_both_corpora(tmp_path):
    rows = Records.of(Row, [Row("legal", "q", "a", "d", "b", 1.0, kind=kind) for kind in ("retrieval", "sts")])
    kinds = {}
    _check_tasks("laws", rows[:1], kinds)
    with pytest.raises(ValueError, match="task 'legal' is of kind retrieval in corpus laws and of kind sts in mail"):
        _check_tasks("mail", rows[1:], kinds)
