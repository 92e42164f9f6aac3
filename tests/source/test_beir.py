import gzip
import inspect
import json
from pathlib import Path

import pytest
import yaml

from pipeline.corpus.row import Document, Rejected, Row
from pipeline.source.beir import Beir

CONF = Path(__file__).parents[2] / "conf/source/beir.yaml"
CORPUS = [
    {"_id": "d1", "title": "Bees", "text": "Bees dance."},
    {"_id": "d2", "title": "", "text": "Ants walk."},
    {"_id": "d 3", "text": "Wasps sting."},
]
QUERIES = [{"_id": "q1", "text": "do bees dance?"}, {"_id": "q2", "text": "what stings?"}]


def jsonl(records):
    return "".join(json.dumps(record) + "\n" for record in records)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "insects"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text(jsonl(CORPUS))
    (folder / "queries.jsonl").write_text(jsonl(QUERIES))
    (folder / "qrels/train.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\n")
    (folder / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nq2\td 3\t1\n")
    return folder


OF_TASK = {"task": "retrieval", "kind": None, "relevant_above": 0}


def read(splits=None):
    splits = splits or {"train": "train", "validation": None, "test": "test"}
    return list(Beir(path="insects", root=None, splits=splits, **OF_TASK).read())


def rejected(records):
    return [(record.file, record.line, record.reason) for record in records if isinstance(record, Rejected)]


def test_the_yaml_names_every_argument():
    conf = yaml.safe_load(CONF.read_text())
    assert conf.pop("_target_") == "pipeline.source.beir.Beir"
    assert set(conf) == set(inspect.signature(Beir).parameters)
    Beir(**(conf | {"path": "insects"}))


def test_every_document_is_a_candidate_and_every_judgement_a_row(folder):
    assert read() == [
        Document("d1", "Bees\nBees dance."),
        Document("d2", "Ants walk."),
        Document("d 3", "Wasps sting."),
        Row("retrieval", "q1", "do bees dance?", "d1", "Bees\nBees dance.", 2.0, "train", None),
        Row("retrieval", "q1", "do bees dance?", "d2", "Ants walk.", 0.0, "train", None),
        Row("retrieval", "q2", "what stings?", "d 3", "Wasps sting.", 1.0, "test", None),
    ]


def test_gzipped_files_give_the_same_records(folder):
    plain = read()
    for path in sorted(folder.rglob("*.*")):
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert read() == plain


def test_one_split_may_be_judged_by_several_files(folder):
    rows = [record for record in read({"test": ["train", "test"]}) if isinstance(record, Row)]
    assert [(row.query_id, row.split) for row in rows] == [("q1", "test"), ("q1", "test"), ("q2", "test")]


def test_judgements_that_name_the_unknown_are_rejected_with_line_and_id(folder):
    (folder / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nq9\td1\t1\nq2\td9\t1\nq2\td 3\t1\n")
    records = read()
    assert rejected(records) == [
        ("insects/qrels/test.tsv", 2, "judges the query 'q9', which is not among the queries (or was rejected there)"),
        ("insects/qrels/test.tsv", 3, "judges the document 'd9', which is not in the corpus (or was rejected there)"),
    ]
    assert sum(isinstance(record, Row) for record in records) == 3


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("q2\td 3\tyes", "'score' must hold a number, got 'yes'"),
        ("q2\td 3\t-1", "score is -1.0, expected 0"),
        ("q2\td 3\tnan", "score is nan, expected a finite number"),
        ("q2\td 3", "expected 3 fields"),
        ("q2\t\t1", "'corpus-id' must hold a name"),
    ],
)
def test_a_judgement_that_cannot_be_read_is_rejected(folder, line, reason):
    (folder / "qrels/test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{line}\n")
    ((file, number, told),) = rejected(read())
    assert (file, number) == ("insects/qrels/test.tsv", 2)
    assert reason in told


def test_the_second_of_two_equal_judgements_is_rejected(folder):
    (folder / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nq2\td 3\t1\nq2\td 3\t0\n")
    records = read()
    assert [line for _, line, _ in rejected(records)] == [3]
    assert [row.score for row in records if isinstance(row, Row) and row.split == "test"] == [1.0]


def test_the_second_document_of_one_id_and_empty_ones_are_rejected(folder):
    extra = [
        {"_id": "d1", "title": "", "text": "Another."},
        {"_id": "d4", "title": " ", "text": ""},
        {"_id": "d5", "title": "No text"},
    ]
    (folder / "corpus.jsonl").write_text(jsonl([*CORPUS, *extra]) + "{broken\n")
    records = read()
    assert [(file, line) for file, line, _ in rejected(records)] == [
        ("insects/corpus.jsonl", number) for number in (4, 5, 6, 7)
    ]
    reasons = [reason for *_, reason in rejected(records)]
    assert reasons[0] == "'_id' 'd1' stands twice; the first one is kept"
    assert reasons[1] == "'d4' has an empty title and text"
    assert reasons[2].startswith("no 'text' in this record")
    assert [record.document_id for record in records if isinstance(record, Document)] == ["d1", "d2", "d 3"]


def test_an_empty_query_is_rejected_and_so_is_its_judgement(folder):
    (folder / "queries.jsonl").write_text(jsonl([{"_id": "q1", "text": "do bees dance?"}, {"_id": "q2", "text": " "}]))
    assert [(file, line) for file, line, _ in rejected(read())] == [("insects/queries.jsonl", 2), ("insects/qrels/test.tsv", 2)]


@pytest.mark.parametrize("name", ["corpus", "queries"])
def test_a_file_without_a_text_is_an_error_that_names_it(folder, name):
    (folder / f"{name}.jsonl").write_text("\n")
    with pytest.raises(ValueError, match=rf"insects/{name}.jsonl is empty; expected a JSON object on each line"):
        read()


@pytest.mark.parametrize("missing", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_a_missing_file_is_an_error_before_anything_is_read(folder, missing):
    (folder / missing).unlink()
    with pytest.raises(ValueError, match=f"expected data at .*{missing}"):
        Beir(path="insects", root=None, splits={"test": "test"}, **OF_TASK).read()


def test_a_trec_file_without_header_is_an_error(folder):
    (folder / "qrels/test.tsv").write_text("q2 0 d3 1\n")
    with pytest.raises(ValueError, match="expected a column 'query-id'"):
        read()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"splits": {"dev": "dev"}}, "unknown split 'dev'"),
        ({"splits": {"test": "../../secret"}}, "path must be relative"),
        ({"path": "/data/insects"}, "path must be relative"),
        ({"splits": {"train": None}}, "at least one split"),
    ],
)
def test_a_wrong_setting_is_an_error_before_anything_is_read(settings, message):
    with pytest.raises(ValueError, match=message):
        Beir(**({"path": "insects", "root": None, "splits": {"test": "test"}, **OF_TASK} | settings))
