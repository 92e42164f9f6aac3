import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.shards import deduplicate_shards
from pipeline.checkpoint import sha256
from pipeline.cluster.join import Join
from pipeline.corpus import shards as module

TEXTS = ["one two three four", "quite another", "One, two, three, four!", "one two three four five", "", "one two three four"]


def deduplicated(tmp_path, workers=1, longest=False):
    files = []
    for name, at in (("b", slice(0, 3)), ("a", slice(3, 6))):
        file = tmp_path / f"{name}.parquet"
        pq.write_table(pa.table({"key": [f"k{i}" for i in range(6)][at], "body": TEXTS[at], "more": list(range(6))[at]}), file)
        files.append(file)
    find = Join(unit="word", size=1, threshold=0.7, workers=workers)
    counts = deduplicate_shards(files, tmp_path / "out", text="body", identity="key", find=find, longest=longest)
    kept, dropped = (
        [row for file in files for row in pq.read_table(tmp_path / "out" / part / file.name).to_pylist()]
        for part in ("kept", "dropped")
    )
    return (
        counts,
        [row["key"] for row in kept],
        {row["key"]: (row["reason"], row["twin_id"], row["twin_text"]) for row in dropped},
    )


@pytest.mark.parametrize("batch", [1, 2, 100])
def test_near_texts_of_all_shards_leave_one_and_the_others_name_it(tmp_path, monkeypatch, batch):
    monkeypatch.setattr(module, "BATCH_ROWS", batch)
    counts, kept, dropped = deduplicated(tmp_path)
    assert kept == ["k0", "k1", "k4"]
    assert dropped == {
        "k2": ("equal words", "k0", TEXTS[0]), "k3": ("near duplicate", "k0", TEXTS[0]), "k5": ("equal words", "k0", TEXTS[0])
    }  # fmt: skip
    assert counts == {"kept": 3, "equal words": 2, "near duplicate": 1}


def test_the_longest_is_kept_where_that_is_chosen(tmp_path):
    assert deduplicated(tmp_path, longest=True)[1] == ["k1", "k3", "k4"]


def test_one_worker_and_two_write_the_same_bytes_and_a_failure_writes_nothing(tmp_path, monkeypatch):
    deduplicated(tmp_path)
    first = sha256(tmp_path / "out")
    deduplicated(tmp_path, workers=2)
    assert sha256(tmp_path / "out") == first
    monkeypatch.setattr("benchmarks.shards._with_twin", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        deduplicated(tmp_path / "again" if (tmp_path / "again").mkdir() is None else tmp_path)
    assert not (tmp_path / "again/out").exists()
