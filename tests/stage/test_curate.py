import json
import os
import random
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from pipeline.audit.words import Audit
from pipeline.checkpoint import read_json, sha256
from pipeline.cluster.join import Join
from pipeline.corpus.files import Dropped, read, write
from pipeline.corpus.row import SPLITS, Rejected, Row
from pipeline.curation.checks import check_rows
from pipeline.curation.data import AS_GIVEN, CuratedData
from pipeline.split.contamination import Contamination
from pipeline.split.set_aside import SetAside

CORPORA = ("questions", "labels", "graded")


@pytest.fixture(scope="module")
def curated(finished):
    return finished / "data/curated"


@pytest.fixture(scope="module")
def rows(curated):
    return {(name, split): read(curated / name / f"{split}.parquet", Row) for name in CORPORA for split in SPLITS}


def test_every_record_is_kept_or_dropped_with_a_reason(finished, rows):
    for name in CORPORA:
        dropped = read(finished / f"data/curated/{name}/dropped.parquet", Dropped)
        card = read_json(finished / f"data/raw/{name}/card.json")
        kept = sum(len(rows[name, split]) for split in SPLITS)
        assert kept + len(dropped) == sum(card["rows"].values()) + card["rejected"]
        assert all(row.reason for row in dropped)


def test_the_three_faults_of_the_corpora_are_found(curated):
    found = [(row.corpus, row.reason) for name in CORPORA for row in read(curated / f"{name}/dropped.parquet", Dropped)]
    assert sorted(found) == [
        ("graded", "text of a test row"),
        ("questions", "not readable"),
        ("questions", "repeated pair"),
    ]


def test_no_train_row_shows_a_text_of_an_evaluation_row(rows):
    held_out = {t for (_, split), of in rows.items() if split != "train" for row in of for t in (row.query, row.document)}
    train = {t for (_, split), of in rows.items() if split == "train" for row in of for t in (row.query, row.document)}
    assert held_out
    assert held_out & train == set()


def test_splits_have_their_shares_or_the_source_s_own(rows):
    assert [len(rows["questions", split]) for split in SPLITS] == [80, 10, 10]  # of 100: what is left, 10 %, 10 %
    assert [len(rows["graded", split]) for split in SPLITS] == [49, 20, 20]
    assert [len(rows["labels", split]) for split in SPLITS] == [50, 0, 0]  # weak rows only teach


def test_the_card_counts_and_hashes_what_is_there(curated, rows):
    card = read_json(curated / "questions/card.json")
    assert card["kept"] == {f"{split}/retrieval": len(rows["questions", split]) for split in SPLITS}
    assert card["dropped"] == {"not readable": 1, "repeated pair": 1}
    assert card["sha256"] == {file.name: sha256(file) for file in curated.glob("questions/*.parquet")}


def test_the_audit_finds_nothing_and_says_how_near_the_splits_come(curated):
    leakage = read_json(curated / "leakage.json")
    measured = {
        f"{split} paraphrased in train": leakage.pop(f"{split} paraphrased in train") for split in ("test", "validation")
    }
    assert all(sum(found["nearest"]) == found["texts"] > 0 for found in measured.values())
    assert set(leakage) == {"test in train", "validation in train", "test in validation", AS_GIVEN}
    assert all(found["num_leaks"] == 0 and sum(found["nearest"]) > 0 and 0 < found["highest"] < 1 for found in leakage.values())


def test_the_funnel_leads_from_what_was_read_to_what_is_kept(curated, rows):
    funnel = read_json(curated / "questions/card.json")["funnel"]
    assert funnel == [["read", 102], ["readable", 101], ["fit", 101], ["different", 100], ["kept", 100]]
    assert funnel[-1][1] == sum(len(rows["questions", split]) for split in SPLITS)


LEAK = (
    "We walked along the old river from the mill to the bridge before noon and came back",
    "Nothing like it stands elsewhere",
)
EDITED = LEAK[0].replace("came", "went")  # 15 of 17 words stay in place: 14 of 16 shingles


@pytest.fixture
def leaking(workspace, run):
    """Makes a workspace, ingested, in which an edited text of a test row stands in train."""

    def make(**values):
        draw = random.Random(0)
        words = [f"word{i}" for i in range(500)]
        pairs = [
            (" ".join(draw.sample(words, 8)), " ".join(draw.sample(words, 8)), split) for split in SPLITS for _ in range(9)
        ]
        pairs += [(*LEAK, "test"), (EDITED, "An answer of quite another kind", "train")]
        columns = {"query": "question", "document": "answer", "split": "part"}
        folder = workspace(
            corpora={"planted": {"source": "table", "path": "data/source/planted.jsonl", "columns": columns}},
            experts={"retrieval": "checkpoints/experts/retrieval"},
            models={"retrieval": "checkpoints/experts/retrieval"},
            methods=[],
            set=values,
        )
        lines = [json.dumps({"question": q, "answer": a, "part": split}) for q, a, split in pairs]
        (folder / "data/source/planted.jsonl").write_text("\n".join(lines), encoding="utf-8")
        assert run(folder, "compose") == run(folder, "ingest") == 0
        return folder

    return make


def test_an_edited_test_text_in_train_is_taken_out(leaking, run):
    folder = leaking()
    assert run(folder, "curate") == 0
    (dropped,) = read(folder / "data/curated/planted/dropped.parquet", Dropped)
    assert (dropped.reason, dropped.query, dropped.twin_query) == ("near text of a test row", EDITED, LEAK[0])
    assert dropped.similarity == pytest.approx(13 / 17)
    assert len(read(folder / "data/curated/planted/test.parquet", Row)) == 10


@pytest.mark.parametrize(
    "values", [{"curate.contamination": "off"}, {"curate.near.threshold": 0.9}, {"curate.contamination": "document"}]
)
def test_where_contamination_does_not_look_the_audit_stops_the_stage(leaking, run, capsys, values):
    folder = leaking(**values)
    assert run(folder, "curate") == 1
    said = capsys.readouterr().err
    assert "audit: 1 pairs of texts between test and train" in said
    assert f"0.76  {EDITED!r}\n        {LEAK[0]!r}" in said
    assert not (folder / "data/curated").exists()


class Dealer:
    dealt = None

    def __init__(self, split):
        self.split = split

    def __call__(self, rows):
        return [replace(row, split=row.split or one) for row, one in zip(rows, self.split, strict=True)]


@pytest.fixture
def three(tmp_path, monkeypatch):
    """Curates three rows with nearly the same query; ``split`` says where each goes that the source left open."""

    def make(given, split, match="text"):
        rows = [
            Row("retrieval", f"q{i}", f"{LEAK[0]} {i}", f"d{i}", f"Answer number {i}", split=one) for i, one in enumerate(given)
        ]
        (tmp_path / "data/raw/three").mkdir(parents=True)
        write(tmp_path / "data/raw/three/rows.parquet", Row, rows)
        write(tmp_path / "data/raw/three/rejected.parquet", Rejected, [])
        monkeypatch.chdir(tmp_path)
        shared = {"unit": "word", "size": 3, "threshold": 0.7}
        data = CuratedData(
            str, {}, lambda corpus, rows, normal: (rows, []),
            Dealer(split),
            Contamination(match=match, neighbours=Join(**shared, workers=1)), Audit(match="text", **shared, max_shown=3), {}, {},
            SetAside(rows={}, share=0.0, seed=0),
        )  # fmt: skip
        data.prepare_data()
        return data

    return make


def test_a_validation_row_dealt_here_gives_way_to_a_test_row_and_train_to_both(three):
    data = three([None, None, None], SPLITS)
    assert [row.split for row in data.rows["three"]] == ["test"]
    assert [(row.query[-1], row.reason) for row in data.dropped["three"]] == [
        ("0", "near text of a test row"), ("1", "near text of a test row")
    ]  # fmt: skip
    assert all(found.num_leaks == 0 for found in data.audited().values())


def test_a_validation_row_dealt_here_near_a_test_row_stops_the_stage_where_nothing_took_it_out(three):
    data = three([None, "validation", "test"], ["validation"] * 3, match="off")
    with pytest.raises(ValueError, match="audit: 1 pairs of texts between test and validation have a similarity"):
        data.audited()


def test_a_train_row_near_a_validation_row_stops_the_stage_where_nothing_took_it_out(three):
    data = three(["train", "validation"], [None, None], match="off")
    with pytest.raises(ValueError, match="audit: 1 pairs of texts between validation and train have a similarity"):
        data.audited()


def test_evaluation_rows_that_the_source_fixed_stay_and_what_they_share_is_counted(three):
    data = three(["train", "validation", "test"], SPLITS)
    assert [row.split for row in data.rows["three"]] == ["validation", "test"]
    found = data.audited()
    assert list(found) == [AS_GIVEN]
    assert found[AS_GIVEN].num_leaks == 1


def test_a_second_run_writes_the_same_bytes(leaking, run):
    folder = leaking()
    hashes = [sha256(folder / "data/curated") for _ in range(2) if run(folder, "curate") == 0]
    assert len(hashes) == 2
    assert hashes[0] == hashes[1]


def test_one_worker_and_two_write_the_same_bytes(leaking, run, monkeypatch):
    monkeypatch.setattr("pipeline.cluster.join.CHUNK_SETS", 7)
    monkeypatch.setattr("pipeline.cluster.shingle.CHUNK_TEXTS", 5)
    folder = leaking()
    config = folder / "data/config.yaml"
    two = config.read_text(encoding="utf-8")
    assert two.count("workers: 2") == 5  # mine compares texts too, and curate and final have a search for paraphrases
    hashes = []
    for workers in (1, 2):
        config.write_text(two.replace("workers: 2", f"workers: {workers}"), encoding="utf-8")
        assert run(folder, "curate") == 0
        hashes.append(sha256(folder / "data/curated"))
    assert hashes[0] == hashes[1]


@pytest.mark.slow
def test_killed_at_any_moment_it_leaves_no_output_or_a_whole_one(leaking):
    folder = leaking()
    command = [sys.executable, "-W", "ignore", str(Path(__file__).with_name("killed.py")), str(folder), "0"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert min(found["none"], found["before"], found["whole"]) > 0
    assert found["none"] + found["before"] + found["whole"] > 50
    assert found["left over"] == []


def test_a_corpus_of_one_pair_again_and_again_is_refused_with_what_became_of_it(workspace, run, capsys):
    columns = {"query": "question", "document": "answer"}
    folder = workspace(
        corpora={"same": {"source": "table", "path": "data/source/same.jsonl", "columns": columns}},
        experts={"retrieval": "checkpoints/experts/retrieval"},
        models={"retrieval": "checkpoints/experts/retrieval"},
        methods=[],
        set={},
    )
    (folder / "data/source/same.jsonl").write_text('{"question": "why so", "answer": "because"}\n' * 40, encoding="utf-8")
    assert run(folder, "compose") == run(folder, "ingest") == 0
    assert run(folder, "curate") == 1
    said = capsys.readouterr().err
    assert "curation left no validation row" in said
    assert "of 40 records 1 are left (1 train), 39 went as 'repeated pair'; bring more different rows" in said
    assert not (folder / "data/curated").exists()


def test_measures_stand_beside_the_audit(three):
    data = three(["train", "validation", "test"], SPLITS)
    data.measures = {"counted": lambda train, evaluation, normal: {"nearest": [len(train), len(evaluation)]}}
    assert data.measured() == {
        "test counted in train": {"nearest": [0, 1]}, "validation counted in train": {"nearest": [0, 1]}
    }  # fmt: skip


def test_a_run_without_a_test_row_is_refused(leaking, run, capsys):
    folder = leaking()
    file = folder / "data/source/planted.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    file.write_text("\n".join(json.dumps(row) for row in rows if row["part"] != "test"))
    assert run(folder, "ingest") == 0
    assert run(folder, "curate") == 1
    assert "curation left no test row" in capsys.readouterr().err
    assert not (folder / "data/curated").exists()


def test_a_task_that_no_test_row_measures_is_told(workspace, run, capsys):
    folder = workspace()
    file = folder / "data/source/graded/stsb.test.tsv"
    file.write_text(file.read_text().splitlines()[0] + "\n")
    assert [run(folder, stage) for stage in ("compose", "ingest", "curate")] == [0, 0, 0]
    assert "sts: rows to train on, and no test row in any corpus" in capsys.readouterr().out


@pytest.fixture
def with_probe(workspace, run):
    """A workspace, curated, whose probe is asked for; a train row holds an edited text of each question, so some are near the probe."""

    def make(**values):
        rows = {"retrieval": 10, "sts": 6}
        page_set = {"curate.probe": {"rows": rows, "share": 0.3}, "near.threshold": 0.7} | values
        draw = random.Random(0)
        words = [f"word{i}" for i in range(900)]
        lines = []
        for i in range(120):
            question = " ".join(draw.sample(words, 12))
            lines.append(
                {"question": question, "answer": " ".join(draw.sample(words, 12)), "part": SPLITS[max(0, i - 99) // 7 % 3]}
            )
            if i < 90:  # one word more: 10 of 11 shingles in common, another row and no tie but the text's
                lines.append({"question": question + " indeed", "answer": " ".join(draw.sample(words, 12)), "part": "train"})
        columns = {"query": "question", "document": "answer", "split": "part"}
        folder = workspace(
            corpora={
                "near": {"source": "table", "path": "data/source/near.jsonl", "columns": columns},
                "scores": {"source": "sts", "path": "data/source/scores"},
            },
            methods=[],
            set=page_set,
        )
        (folder / "data/source/near.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
        (folder / "data/source/scores").mkdir()
        for name, num in (("train", 60), ("dev", 5), ("test", 5)):
            pairs = [f"{i}\t{' '.join(draw.sample(words, 9))}\t{' '.join(draw.sample(words, 9))}\t{i % 5}" for i in range(num)]
            text = "id\tsentence1\tsentence2\tscore\n" + "\n".join(pairs) + "\n"
            (folder / f"data/source/scores/stsb.{name}.tsv").write_text(text, encoding="utf-8")
        assert [run(folder, stage) for stage in ("compose", "ingest", "curate")] == [0, 0, 0]
        return folder

    return make


def test_probe_rows_are_in_no_split_and_no_train_row_is_near_one(with_probe, capsys):
    folder = with_probe()
    said = capsys.readouterr().out
    names, both = (*SPLITS, "probe"), ("near", "scores")
    split = {name: [r for c in both for r in read(folder / f"data/curated/{c}/{name}.parquet", Row)] for name in names}
    probe, train = split["probe"], split["train"]
    assert Counter(row.task for row in probe) == {"retrieval": 10, "sts": 6}
    assert not {(r.query, r.document) for r in probe} & {(r.query, r.document) for name in SPLITS for r in split[name]}

    def shingles(text):
        words = text.split()
        return {tuple(words[i : i + 3]) for i in range(len(words) - 2)}

    texts = {text: shingles(text) for row in train for text in (row.query, row.document)}
    for own in (shingles(text) for row in probe for text in (row.query, row.document)):
        assert all(len(own & other) / len(own | other) < 0.7 for other in texts.values())
    dropped = read(folder / "data/curated/near/dropped.parquet", Dropped)
    near = [row for row in dropped if row.reason == "near text of a probe row"]
    assert near
    assert all(row.similarity == pytest.approx(10 / 11) for row in near)
    card = read_json(folder / "data/curated/near/card.json")
    assert card["probe"] == {"retrieval": 10}
    assert f"near: set aside for merges to be tried on: 10 retrieval; {len(near)} train rows tied or near to these went" in said
    assert read_json(folder / "data/curated/leakage.json")["probe in train"]["num_leaks"] == 0


def test_contamination_that_looks_elsewhere_takes_what_is_near_the_probe_all_the_same(with_probe):
    folder = with_probe(**{"curate.contamination": "off"})
    train = {text for row in read(folder / "data/curated/near/train.parquet", Row) for text in (row.query, row.document)}
    for row in read(folder / "data/curated/near/probe.parquet", Row):
        assert row.query not in train
        assert f"{row.query} indeed" not in train
        assert row.query.removesuffix(" indeed") not in train


def test_more_probe_rows_than_can_leave_stop_the_stage(workspace, run, capsys):
    folder = workspace(set={"curate.probe.rows.sts": 400})
    assert [run(folder, stage) for stage in ("compose", "ingest", "curate")] == [0, 0, 1]
    assert "curate.probe.rows.sts: expected 400 rows to set aside" in capsys.readouterr().err
    assert not (folder / "data/curated").exists()


@pytest.mark.parametrize("held_out", ["test", "validation"])
def test_a_train_row_that_shows_a_text_of_either_held_out_split_alone_is_taken_out(three, held_out):
    data = three(["train", held_out], [None, None])
    assert [row.split for row in data.rows["three"]] == [held_out]
    assert [row.reason for row in data.dropped["three"]] == [f"near text of a {held_out} row"]


def test_a_task_that_is_learned_and_has_no_train_row_left_stops_the_stage(three, capsys):
    data = three(["train", "validation", "test"], [None] * 3, match="off")
    check_rows(data, {"retrieval": {"kind": "retrieval", "learned": True}, "sts": {"kind": "sts", "learned": False}})
    with pytest.raises(
        ValueError, match="left no train row of task sts, which an expert or a phase learns: of 3 records 3 are left"
    ):
        check_rows(data, {"sts": {"kind": "sts", "learned": True}})


def test_an_empty_split_of_a_task_that_is_scored_is_told(three, capsys):
    data = three(["train", "validation", "test"], [None] * 3, match="off")
    more = [Row("legal", "q9", "a", "d9", "b", split=split, kind="retrieval") for split in ("train", "test")]
    data.rows["three"] += more
    check_rows(data, {})
    assert capsys.readouterr().out.splitlines()[0] == (
        "legal: rows to train on, and no validation row in any corpus: no model is chosen by them"
    )


@pytest.mark.parametrize(("num", "told"), [(4, "of 4 units"), (49, "of 49 units"), (50, None), (60, None)])
def test_what_validation_rows_are_too_few_to_show_is_told_before_training(three, capsys, num, told):
    data = three(["train", "validation", "test"], [None] * 3, match="off")
    rows = [Row("retrieval", f"more {i}", f"query {i}", f"more {i}", f"answer {i}", split="validation") for i in range(num - 1)]
    data.rows["three"] += rows
    check_rows(data, {})
    out = capsys.readouterr().out
    assert bool(told) == ("cannot be told from chance" in out)
    if told:
        assert told in out
        assert f"a gain below about {1.645 * 0.25 / num**0.5:.2f} cannot" in out


def words(draw, count):
    return " ".join(f"word{draw.randrange(300)}" for _ in range(count))


def shapes_of_rows():
    """By name: the records and which columns they have beside query and document."""
    draw = random.Random(0)
    answers = [words(draw, 12) for _ in range(5)]
    canned = [{"query": words(draw, 9), "document": answers[i % 5]} for i in range(400)]
    single = [{"query": words(draw, 9), "document": words(draw, 12)} for _ in range(200)]
    split = {"columns.split": "split"}
    return {
        "canned answers": (canned, {}),
        "canned answers, own test": (
            [row | {"split": "test" if i % 9 == 0 else "train"} for i, row in enumerate(canned)],
            split,
        ),
        "canned answers, own splits": ([row | {"split": SPLITS[i % 9 % 3]} for i, row in enumerate(canned)], split),
        "one group": ([row | {"group": "all"} for row in single], {"columns.group": "group"}),
        "one large group": (
            [row | {"group": "all" if i > 20 else f"{i}"} for i, row in enumerate(single)],
            {"columns.group": "group"},
        ),
        "own test, no validation": (
            [row | {"split": "test" if i % 9 == 0 else "train"} for i, row in enumerate(single)],
            split,
        ),
    }


@pytest.mark.parametrize("shape", shapes_of_rows())
def test_the_advice_of_an_error_works_when_it_is_taken(shape, workspace, run, capsys):
    records, extra = shapes_of_rows()[shape]
    columns = {"query": "query", "document": "document"} | {name.split(".")[1]: value for name, value in extra.items()}
    page = {
        "corpora": {"own": {"source": "table", "path": "data/source/own.jsonl", "columns": columns}},
        "experts": {"retrieval": "checkpoints/experts/retrieval"},
        "models": {"retrieval": "checkpoints/experts/retrieval"},
        "methods": [],
    }
    folder = workspace(**page, set={})
    (folder / "data/source/own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in records))
    outcomes = [run(folder, stage) for stage in ("compose", "ingest", "curate")]
    told = capsys.readouterr().err
    if shape.startswith("canned") or shape == "one group":
        assert outcomes == [0, 0, 1]
        advice = {key: yaml.safe_load(value) for key, value in re.findall(r"`(choose|set): (\{[^}]*\})`", told)}
        assert set(advice) == ({"set"} if "own splits" in shape else {"choose", "set"})
        before = yaml.safe_load((folder / "params.yaml").read_text())
        (folder / "params.yaml").write_text(
            yaml.safe_dump(before | {key: (before[key] or {}) | value for key, value in advice.items()})
        )
        assert [run(folder, stage) for stage in ("compose", "curate")] == [0, 0], capsys.readouterr().err
    kept = [row for split in SPLITS for row in read(folder / f"data/curated/own/{split}.parquet", Row)]
    assert len(kept) >= 0.95 * len(records)
    counts = Counter(row.split for row in kept)
    assert min(counts[split] for split in SPLITS) >= 5
    given = Counter(record["split"] for record in records if "split" in record)
    assert not given or counts["test"] == given["test"]


@pytest.mark.parametrize(("split", "lacks"), [("test", "train"), ("train", "test")])
def test_rows_of_one_named_split_are_dealt_when_the_name_is_left_out_as_advised(split, lacks, workspace, run, capsys):
    line = {"source": "table", "path": "data/source/own.jsonl", "columns": {"query": "query", "document": "document"}}
    page = {
        "experts": {"retrieval": "checkpoints/experts/e"},
        "models": {"retrieval": "checkpoints/experts/e"},
        "methods": [],
        "set": {},
    }
    folder = workspace(**page, corpora={"own": line | {"split": split}})
    (folder / "data/source/own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in shapes_of_rows()["one group"][0]))
    assert [run(folder, stage) for stage in ("compose", "ingest", "curate")] == [0, 0, 1]
    told = capsys.readouterr().err
    assert f"curation left no {lacks} row" in told
    assert "leave `split` and columns.split out" in told
    page = yaml.safe_load((folder / "params.yaml").read_text())
    (folder / "params.yaml").write_text(yaml.safe_dump(page | {"corpora": {"own": line}}))
    assert [run(folder, stage) for stage in ("compose", "ingest", "curate")] == [0, 0, 0]


def test_train_rows_that_share_a_document_with_a_test_row_are_told_with_the_way_to_keep_them(workspace, run, capsys):
    draw = random.Random(1)
    shared = [words(draw, 12) for _ in range(40)]
    rows = [
        {"query": words(draw, 9), "document": shared[i % 37] if i % 2 else words(draw, 12), "split": SPLITS[i % 5 % 3]}
        for i in range(400)
    ]
    columns = {"query": "query", "document": "document", "split": "split"}
    folder = workspace(
        corpora={"own": {"source": "table", "path": "data/source/own.jsonl", "columns": columns}},
        experts={"retrieval": "checkpoints/experts/e"},
        models={"retrieval": "e"},
        methods=[],
        set={},
    )
    (folder / "data/source/own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [run(folder, stage) for stage in ("compose", "ingest", "curate")] == [0, 0, 0]
    told = re.search(r"own: (\d+) train rows went because their document stands in a held-out row", capsys.readouterr().out)
    held_out = {row["document"] for row in rows if row["split"] != "train"}
    assert int(told[1]) == sum(row["split"] == "train" and row["document"] in held_out for row in rows)


def test_texts_without_blanks_are_told_in_a_line_and_in_the_card(workspace, run, capsys):
    draw = random.Random(2)

    def text(first, count):
        return "".join(chr(first + draw.randrange(400)) for _ in range(count))

    rows = [{"query": text(0x4E00, 12), "document": text(0x4E00, 30)} for _ in range(100)]
    near = [
        {"query": row["query"] + "吗", "document": row["document"][:-1]} for row in rows[:20]
    ]  # a pair that is nearly another
    latin = [{"query": words(draw, 9), "document": words(draw, 12)} for _ in range(50)]
    folder = workspace(
        corpora={name: {"source": "table", "path": f"data/source/{name}.jsonl"} for name in ("han", "latin")},
        experts={"retrieval": "checkpoints/experts/e"},
        models={"retrieval": "e"},
        methods=[],
        set={},
    )
    for name, records in (("han", [*rows, *near]), ("latin", latin)):
        (folder / f"data/source/{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in records))
    assert [run(folder, stage) for stage in ("compose", "ingest", "curate")] == [0, 0, 0]
    said = capsys.readouterr().out
    assert "han: 200 Han of 200 kept texts are in a script without blanks" in said
    assert "latin: " in said
    assert "latin: 100" not in said
    card = read_json(folder / "data/curated/han/card.json")
    assert card["without_blanks"] == {"Han": 200}
    assert sum(n for reason, n in card["dropped"].items() if "near" in reason) == 20
    assert "without_blanks" not in read_json(folder / "data/curated/latin/card.json")
