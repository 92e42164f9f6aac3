"""What a run left out, cut or did not learn is told three times: on the terminal, in the card, on the page."""

import json
import re
from types import SimpleNamespace

import pytest

from pipeline.checkpoint import read_json
from pipeline.corpus.collection import Judged, Labelled, Pairs
from pipeline.corpus.records import Records
from pipeline.corpus.row import Row
from pipeline.curation import checks
from pipeline.curation.card import vanished
from pipeline.stage.notices import notices

CARD = {
    "raw": {"rows": {"retrieval": 90}, "rejected": 10, "reasons": {"no JSON": 10}},
    "kept": {"train/retrieval": 60, "test/retrieval": 20},
    "splits": {"train": 60, "validation": 0, "test": 20},
    "probe": {},
    "dropped": {"not readable": 10, "repeated pair": 10},
}
CFG = {
    "left_out": {"train": {}, "merge": {}},
    "tasks": {"retrieval": {"kind": "retrieval", "learned": True}, "legal": {"kind": "sts", "learned": True}},
    "experts": {},
    "evaluate": {"max_length_tokens": 6},
}


@pytest.fixture(scope="module")
def encoder(tiny_encoder):
    return tiny_encoder()


def told(encoder, *, card=None, scored=("retrieval/c",), test=(), **changes):
    return notices(CFG | changes, {"c": CARD | (card or {})}, scored, encoder, test)


def test_rows_that_were_lost_stand_in_one_line_with_every_reason(encoder):
    assert told(encoder) == ["c: 20 of 100 records were dropped (10 not readable, 10 repeated pair; 10 of these: no JSON)."]
    assert told(encoder, card={"dropped": {}}) == []


@pytest.mark.parametrize(
    ("card", "scored", "line"),
    [
        ({"raw": {"rows": {"retrieval": 90, "legal": 7}, "rejected": 0}}, ["retrieval/c"], "c: none of the 7 rows of task legal is left."),
        ({}, [], "c: the 20 test rows of task retrieval give no score, as none is judged relevant."),
        (
            {"raw": {"rows": {"legal": 5}, "rejected": 0}, "kept": {"test/legal": 5}},
            ["legal/other"],
            "c: the 5 test rows of task legal give no score, as the final model does not answer them.",
        ),
    ],
)  # fmt: skip
def test_a_task_that_vanished_or_gives_no_score_is_told(encoder, card, scored, line):
    assert line in told(encoder, card=card, scored=scored)


def test_rows_set_aside_for_merges_have_not_vanished(encoder):
    lines = told(encoder, card={"kept": {}, "probe": {"retrieval": 5}, "dropped": {}})
    assert lines == []


def test_what_has_no_rows_is_told(encoder):
    left_out = {"train": {"sts": "x", "joint": "y"}, "merge": {"soup": "z"}, "evaluate": {}}
    assert told(encoder, card={"dropped": {}}, left_out=left_out) == [
        "Left out, since no corpus has rows of a task that it needs: merge soup; train joint, sts."
    ]


@pytest.mark.parametrize(
    ("seen", "lines"),
    [
        ({"rows": 9, "seen": 9, "texts": 18, "full": 0, "tokens": 32}, []),
        ({"rows": 9, "seen": 4, "texts": 8, "full": 0, "tokens": 32}, ["Training x: 5 of 9 rows of task retrieval were never seen."]),
        (
            {"rows": 9, "seen": 9, "texts": 18, "full": 7, "tokens": 32},
            ["Training x, task retrieval: 7 of 18 texts fill all 32 tokens, and what is longer was cut."],
        ),
    ],
)  # fmt: skip
def test_rows_never_seen_and_texts_cut_in_training_are_told(encoder, tmp_path, seen, lines):
    (tmp_path / "seen.json").write_text(json.dumps({"tasks": {"retrieval": seen}, "moved": 0.1}))
    assert told(encoder, card={"dropped": {}}, experts={"x": str(tmp_path)}) == lines


def test_weights_that_stayed_where_they_were_are_told(encoder, tmp_path):
    for moved, num in ((0.0, 1), (1e-8, 1), (1e-3, 0)):
        (tmp_path / "seen.json").write_text(json.dumps({"tasks": {}, "moved": moved}))
        lines = told(encoder, card={"dropped": {}}, experts={"x": str(tmp_path)})
        assert sum("nothing was learned" in line for line in lines) == num


LONG, SHORT = "the cat sat on a mat over rows", "the cat"
TESTS = {
    "judged": Judged("c", "retrieval", {"q": LONG}, {"d": LONG, "e": SHORT}, {"q": {"d": 1}}),
    "pairs": Pairs("c", "legal", [("1", LONG, SHORT, 1.0)], kind="sts"),
    "labelled": Labelled("c", "topic", [("1", LONG, "x"), ("2", SHORT, "y"), ("3", SHORT, "y")], kind="classification"),
}


@pytest.mark.parametrize(("shape", "full", "texts"), [("judged", 1, 2), ("pairs", 1, 2), ("labelled", 1, 2)])
def test_texts_of_test_rows_that_fill_the_limit_are_counted_each_once(encoder, shape, full, texts):
    lines = told(encoder, card={"dropped": {}}, test=[TESTS[shape]])
    assert lines == [f"Test rows: {full} of {texts} texts fill all 6 tokens, and what is longer was cut."]
    limits = {"max_length_tokens": None}
    assert told(encoder, card={"dropped": {}}, test=[TESTS[shape]], evaluate=limits) == []  # the model's own is 12


def test_the_lines_of_a_run_stand_in_its_record_its_card_and_on_its_page(finished, copied, run, capsys):
    lines = read_json(finished / "checkpoints/final/chosen.json")["notices"]
    assert "questions: 2 of 102 records were dropped (1 not readable, 1 repeated pair; 1 of these: " in "\n".join(lines)
    assert any(re.match(r"Training retrieval: \d+ of \d+ rows of task retrieval were never seen\.", line) for line in lines)
    card = (finished / "checkpoints/final/README.md").read_text(encoding="utf-8")
    page = (finished / "data/report/index.html").read_text(encoding="utf-8")
    plain = (finished / "data/report/report.md").read_text(encoding="utf-8")
    for line in lines:
        assert f"- {line}\n" in card
        assert f"<li>{line}</li>" in page
        assert f"- {line}\n" in plain
    folder = copied(
        "data/config.yaml", "data/metrics/evaluate", "data/evaluated", "data/curated", "checkpoints", final={"forms": {}}
    )
    assert run(folder, "final") == 0
    out = capsys.readouterr().out.splitlines()
    assert [line for line in out if line in lines] == lines


def test_a_training_that_learned_nothing_says_so(copied, run, capsys):
    folder = copied(
        "checkpoints/base", "data/curated", "data/mined", "data/config.yaml", train={"sts": {"optimizer": {"lr": 1e-30}}}
    )
    assert run(folder, "train", "sts") == 0
    assert "sts: its weights are equal to the base's, or nearly: nothing was learned" in capsys.readouterr().out
    assert read_json(folder / "checkpoints/experts/sts/seen.json")["moved"] <= 1e-7


@pytest.mark.parametrize(
    ("grades", "told"),
    [
        ([0.0, 0.0], "c: of the 2 test rows of task retrieval none is judged relevant, so they give no score\n"),
        ([0.0, 1.0], ""),
        ([None], ""),
        ([], ""),
    ],
)
def test_curate_tells_test_rows_of_which_none_is_relevant(capsys, grades, told):
    rows = [Row("retrieval", f"q{i}", "text", f"d{i}", "text", grade, "test") for i, grade in enumerate(grades)]
    rows += [Row("sts", "q", "text", "d", "text", 0.0, "test"), Row("retrieval", "q", "text", "d", "text", 0.0, "train")]
    checks._tell_irrelevant(SimpleNamespace(rows={"c": Records.of(Row, rows)}))  # pyright: ignore[reportPrivateUsage, reportArgumentType]
    assert capsys.readouterr().out == told


@pytest.mark.parametrize(
    ("kept", "probe", "gone"),
    [({"test/a": 1}, {}, ["b"]), ({"train/a": 1, "test/b": 2}, {}, []), ({}, {"a": 3}, ["b"]), ({}, {}, ["a", "b"])],
)
def test_a_task_has_vanished_where_no_row_of_it_is_left_anywhere(kept, probe, gone):
    assert vanished({"raw": {"rows": {"a": 5, "b": 5}}, "kept": kept, "probe": probe}) == gone
