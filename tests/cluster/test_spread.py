import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.shards import deduplicate_shards
from pipeline.checkpoint import sha256
from pipeline.cluster.join import Join
from pipeline.cluster.spread import Spread, near_in_parts


def texts(count, seed=0):
    draw = random.Random(seed)
    made = ["", "!", "ö ü", "ö, ü!"]
    while len(made) < count:
        words = (
            draw.choice(made).split()
            if draw.random() < 0.6
            else [f"w{draw.randrange(200)}" for _ in range(draw.randint(1, 30))]
        )
        for _ in range(draw.randint(0, 2)):
            words.insert(draw.randint(0, len(words)), f"w{draw.randrange(200)}")
        made.append(" ".join(words))
    return made


def written(folder: Path, parts):
    shards = []
    for k, part in enumerate(parts):
        shards.append(folder / f"{k}.parquet")
        pq.write_table(
            pa.table({"id": [f"{k}-{i}" for i in range(len(part))], "text": pa.array(part, pa.string())}), shards[-1]
        )
    return shards


def here(function, items):
    return list(map(function, items))


def assert_same(found, expected):
    for name in ("set_of", "left", "right", "similarity"):
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name


@pytest.mark.parametrize("threshold", [0.3, 0.7, 1.0])
@pytest.mark.parametrize(("unit", "size"), [("word", 2), ("character", 4)])
@pytest.mark.parametrize("parts", [1, 3, 16])
def test_the_join_in_parts_is_the_join(tmp_path, parts, unit, size, threshold):
    given = texts(500)
    shards = written(tmp_path, [given[:200], [], given[200:210], given[210:]])
    (tmp_path / "between").mkdir()
    found = near_in_parts(here, shards, tmp_path / "between", "text", unit, size, threshold, parts)
    assert_same(found, Join(unit=unit, size=size, threshold=threshold, workers=1)(given))
    assert len(found.left) > 10 or threshold == 1.0


def test_two_dask_workers_find_and_write_what_one_process_does(tmp_path, monkeypatch):
    pytest.importorskip("distributed", reason="needs the extra `cluster`: pip install 'dask[distributed]'")
    monkeypatch.setattr("pipeline.cluster.spread.SHARD_TEXTS", 150)
    given, shared = texts(400), {"unit": "word", "size": 2, "threshold": 0.6}
    shards = written(tmp_path, [given[:150], given[150:]])
    join = Join(**shared, workers=1)
    spread = Spread(**shared, parts=3, workers=2, scheduler=None, scratch=None)
    columns = {"text": "text", "identity": "id", "longest": True}
    counts = deduplicate_shards(shards, tmp_path / "one", find=join, **columns)
    with spread.engine() as engine:
        assert deduplicate_shards(shards, tmp_path / "two", find=spread.on(engine), engine=engine, **columns) == counts
        assert_same(spread.on(engine)(given), join(given))
    assert sha256(tmp_path / "two") == sha256(tmp_path / "one")
    assert counts["near duplicate"] > 20


@pytest.mark.parametrize(("change", "words"), [({"threshold": 30}, "write 0.30"), ({"parts": 0}, "must be at least 1")])
def test_values_that_cannot_be_meant_are_refused(change, words):
    values = {"unit": "word", "size": 2, "threshold": 0.6, "parts": 3, "workers": 2, "scheduler": None, "scratch": None}
    with pytest.raises(ValueError, match=words):
        Spread(**values | change)
