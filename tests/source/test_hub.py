import inspect
import sys
from pathlib import Path
from types import SimpleNamespace

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.corpus.row import Document, Rejected, Row
from pipeline.corpus.settings import ROLES
from pipeline.source.hub import Hub

CONF = Path(__file__).parents[2] / "conf/source/hub.yaml"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
SETTINGS = {
    "repo": "owner/pairs",
    "name": None,
    "revision": COMMIT,
    "layout": "pairs",
    "splits": {"train": "train"},
    "columns": {"query": "q", "document": "d"},
    "task": "retrieval",
    "relevant_above": 0,
    "kind": None,
}


class FakeSet(list):
    """A list of records with the one attribute of a loaded data set that matters here."""

    def __init__(self, records, commit=COMMIT):
        super().__init__(records)
        self.cache_files = [{"filename": f"/cache/owner___pairs/default/0.0.0/{commit}/part.arrow"}]


@pytest.fixture
def hub(monkeypatch):
    """Stands for the `datasets` library: ``hub.tables`` holds what it can load, ``hub.asked`` what was asked of it."""
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    fake = SimpleNamespace(tables={}, asked=[], error=None)

    def load_dataset(repo, name, **options):
        fake.asked.append((repo, name, options))
        if fake.error is not None:
            raise fake.error
        return fake.tables[name, options["split"]]

    fake.load_dataset = load_dataset
    monkeypatch.setitem(sys.modules, "datasets", fake)
    return fake


def read(**changes):
    return list(Hub(**(SETTINGS | changes)).read())


def test_the_yaml_names_every_argument_and_every_role():
    conf = yaml.safe_load(CONF.read_text())
    assert conf.pop("_target_") == "pipeline.source.hub.Hub"
    assert set(conf) == set(inspect.signature(Hub).parameters)
    assert set(conf["columns"]) == set(ROLES)
    Hub(**(conf | {"repo": "owner/pairs", "revision": COMMIT}))


def test_pairs_become_rows_of_our_splits(hub):
    hub.tables = {(None, "train"): FakeSet([{"q": "a", "d": "b"}]), (None, "dev"): FakeSet([{"q": "c", "d": "d"}])}
    rows = read(splits={"validation": "dev", "train": "train"})
    assert [(row.query, row.document, row.split) for row in rows] == [("a", "b", "train"), ("c", "d", "validation")]


def test_exactly_the_commit_is_asked_for_and_no_code_is_trusted(hub):
    hub.tables = {(None, "train"): FakeSet([])}
    read()
    assert hub.asked == [("owner/pairs", None, {"revision": COMMIT, "split": "train"})]


def test_a_bad_record_is_rejected_with_the_number_of_its_row(hub):
    hub.tables = {("small", "train"): FakeSet([{"q": "a", "d": "b"}, {"q": "a", "d": None}, {"q": "a"}])}
    _, empty, missing = read(name="small")
    assert isinstance(empty, Rejected)
    assert (empty.file, empty.line) == ("owner/pairs/small/train", 2)
    assert "must hold a text" in empty.reason
    assert missing.reason.startswith("no 'd' in this record")


def test_the_beir_layout_joins_its_three_configurations(hub):
    hub.tables = {
        ("corpus", "corpus"): FakeSet([{"_id": "d1", "title": "T", "text": "x"}]),
        ("queries", "queries"): FakeSet([{"_id": "q1", "text": "y"}]),
        ("default", "test"): FakeSet(
            [{"query-id": "q1", "corpus-id": "d1", "score": 1}, {"query-id": "q1", "corpus-id": "d2", "score": 1}]
        ),
    }
    document, row, unknown = read(layout="beir", splits={"test": "test"}, columns={})
    assert document == Document("d1", "T\nx")
    assert row == Row("retrieval", "q1", "y", "d1", "T\nx", 1.0, "test", None)
    assert (unknown.file, unknown.line) == ("owner/pairs/default/test", 2)


def test_real_tables_of_the_library_are_read_like_the_fake_ones(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setitem(sys.modules, "datasets", datasets)  # the real one, in place of the fixture's
    folder = tmp_path / COMMIT
    folder.mkdir()
    pq.write_table(pa.table({"q": ["a", "b"], "d": ["c", None], "s": [1, 2]}), folder / "train.parquet")

    def load_dataset(repo, name, *, revision, split):
        return datasets.Dataset.from_parquet(str(folder / "train.parquet"), cache_dir=str(folder), split=split)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    good, bad = read(columns=SETTINGS["columns"] | {"score": "s"})
    assert (good.query, good.document, good.score) == ("a", "c", 1.0)
    assert bad.line == 2


def test_a_hub_that_cannot_be_reached_is_told_with_what_was_asked_and_what_to_do(hub):
    hub.error = ConnectionError("Couldn't reach it")
    with pytest.raises(ValueError, match=rf"cannot reach the hub for owner/pairs/train at commit {COMMIT}.*source=table"):
        read()


def test_a_data_set_that_the_hub_does_not_have_is_told_apart(hub):
    hub.error = FileNotFoundError("no such data set")
    with pytest.raises(ValueError, match=r"the hub has no owner/pairs/train at commit .*check repo, name and revision"):
        read()


def test_another_commit_out_of_the_cache_is_refused(hub):
    hub.tables = {(None, "train"): FakeSet([{"q": "a", "d": "b"}], commit="f" * 40)}
    with pytest.raises(ValueError, match="its cache holds another commit"):
        read()


@pytest.mark.parametrize("value", ["1", "true", "YES"])
def test_offline_fails_at_once_without_asking(hub, monkeypatch, value):
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    with pytest.raises(ValueError, match="HF_HUB_OFFLINE is set"):
        read()
    assert hub.asked == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"revision": "main"}, "revision must be a full commit of 40 hexadecimal digits, got 'main'"),
        ({"revision": COMMIT[:7]}, "revision must be a full commit"),
        ({"revision": None}, "revision must be a full commit"),
        ({"revision": COMMIT.upper()}, "revision must be a full commit"),
        ({"repo": "/etc/pairs"}, "repo must be owner/name"),
        ({"repo": "pairs"}, "repo must be owner/name"),
        ({"layout": "pair"}, r"layout must be one of pairs, beir, got 'pair' \(did you mean 'pairs'"),
        ({"layout": "beir", "task": "sts"}, "its task must be of kind retrieval"),
        ({"splits": {"dev": "train"}}, "unknown split 'dev'"),
        ({"columns": {"query": "q"}}, "must name the column of 'document'"),
        ({"columns": {"query": "q", "document": "d", "split": "p"}}, "columns.split must be null"),
        ({"task": "pairs"}, "'pairs' is no kind of task.*expected one of retrieval, sts"),
        ({"task": "pairs", "kind": "reranking"}, "must name the column of 'score'"),
    ],
)
def test_a_wrong_setting_is_an_error_before_the_network_is_asked(changes, message):
    with pytest.raises(ValueError, match=message):
        Hub(**(SETTINGS | changes))


def test_a_folder_that_would_pass_for_the_data_set_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner/pairs").mkdir(parents=True)
    with pytest.raises(ValueError, match="no folder here"):
        Hub(**SETTINGS)
