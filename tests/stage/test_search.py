import json

import pytest

from pipeline.corpus.files import write as write_rows
from pipeline.corpus.row import Document, Row
from pipeline.encoder.encoder import Encoder
from pipeline.stage.search import _documents

NOTES = [{"title": f"note {i}", "body": f"the {thing} stands in the {place}"} for i, (thing, place) in enumerate(
    [("lamp", "attic"), ("table", "kitchen"), ("kettle", "cellar")]
)]  # fmt: skip


@pytest.fixture
def folder(copied):
    return copied("checkpoints/final", "data/raw", "data/config.yaml")


def write(file, notes):
    file.write_text("".join(json.dumps(note) + "\n" for note in notes), encoding="utf-8")


def test_the_texts_of_the_corpora_are_found_and_indexed_once(folder, run, capsys):
    assert run(folder, "search", "How do I clean the lamp in the attic?") == 0
    first = capsys.readouterr().out.splitlines()
    assert first[0] == "indexing 150 of 150 texts, once for this model"  # 100 answers and 50 labelled notes
    scores = [float(line.split()[0]) for line in first[1::2]]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 10
    index = {file: file.stat().st_mtime_ns for file in folder.glob("data/index/*/*")}
    assert sorted(file.suffix for file in index) == [".faiss", ".json", ".safetensors"]
    assert run(folder, "search", "How", "do", "I", "clean", "the lamp in the attic?") == 0
    assert capsys.readouterr().out.splitlines() == first[1:]
    assert {file: file.stat().st_mtime_ns for file in folder.glob("data/index/*/*")} == index


def test_another_model_or_another_cut_gets_another_index(folder, run, capsys, finished):
    for number, words in enumerate([[], [f"model={finished}/checkpoints/backbone"], ["tokens=5"]], start=1):
        assert run(folder, "search", *words, "lamp") == 0
        assert capsys.readouterr().out.startswith("indexing 150 of 150")
        assert len(list(folder.glob("data/index/*"))) == number


def test_any_table_is_searched_by_its_columns(folder, run, capsys):
    write(folder / "notes.jsonl", [*NOTES, {"title": "empty", "body": " "}])
    words = ["search", "corpus=notes.jsonl", "text=body", "name=title", "top=2", "the kettle stands in the cellar"]
    assert run(folder, *words) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[:2] == ["notes.jsonl: 1 records hold no text and are left out", "indexing 3 of 3 texts, once for this model"]
    assert out[2].split("  ") == ["1.000", "note 2"]
    assert len(out) == 2 + 2 * 2
    assert run(folder, "search", "corpus=notes.jsonl", "text=body", "the lamp stands in the attic") == 0
    assert "1.000  notes.jsonl:1" in capsys.readouterr().out


def test_a_grown_corpus_encodes_its_new_texts_alone(folder, run, capsys, monkeypatch):
    write(folder / "notes.jsonl", NOTES[:2])
    words = ["search", "corpus=notes.jsonl", "text=body", "name=title", "lamp"]
    assert run(folder, *words) == 0
    assert "indexing 2 of 2" in capsys.readouterr().out
    write(folder / "notes.jsonl", NOTES)
    assert run(folder, *words) == 0
    assert "indexing 1 of 3" in capsys.readouterr().out
    write(folder / "notes.jsonl", NOTES[:2])  # as it was: nothing is encoded but the question
    asked = []
    encode = Encoder.encode
    monkeypatch.setattr(Encoder, "encode", lambda self, texts, **rest: asked.append(texts) or encode(self, texts, **rest))
    assert run(folder, *words) == 0
    assert asked == [["lamp"]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "search needs a question: python -m pipeline search"),
        (["corpus=notes.jsonl"], "search needs a question"),
        (["corpus=notes.jsonl", "lamp"], "notes.jsonl, line 1: no column 'text'; columns there: title, body; say text=COLUMN"),
        (["corpus=notes.jsonl", "text=body", "name=kind", "lamp"], "kind 'note' names two texts; choose a column"),
        (["corpus=empty.jsonl", "text=body", "lamp"], "empty.jsonl holds no text to search"),
        (["corpus=nowhere.jsonl", "lamp"], "nowhere.jsonl"),
        (["top=none", "lamp"], "top must be a whole number above 0, got 'none'"),
        (["model=data/raw", "lamp"], "data/raw is no encoder directory"),
    ],
)
def test_what_cannot_be_searched_is_told(folder, run, capsys, words, message):
    write(folder / "notes.jsonl", [note | {"kind": "note"} for note in NOTES] if "name=kind" in words else NOTES)
    (folder / "empty.jsonl").touch()
    assert run(folder, "search", *words) == 1
    assert message in capsys.readouterr().err
    assert not (folder / "data/index").exists()


def test_without_a_model_it_says_what_to_do(copied, run, capsys):
    assert run(copied("data/raw", "data/config.yaml"), "search", "lamp") == 1
    assert run(copied(), "search", "lamp") == 1  # a clone that has made nothing
    assert "there is no model yet (checkpoints/final); run `make repro`" in capsys.readouterr().err


def test_an_id_is_never_taken_apart_and_documents_about_one_thing_are_shown_as_one(tmp_path, monkeypatch):
    rows = [
        Row("retrieval", "q1", "how", "issue#12", "the lamp flickers"), Row("retrieval", "q2", "why", "issue#13", "the door sticks"),
        Row("retrieval", "q3", "what", "f", "It adds. At length.", thing="f"),
        Row("weak", "q4", "f(a)", "f#summary", "It adds.", thing="f"),
    ]  # fmt: skip
    place = tmp_path / "data/raw/x"
    place.mkdir(parents=True)
    write_rows(place / "rows.parquet", Row, rows)
    write_rows(place / "documents.parquet", Document, [])
    monkeypatch.chdir(tmp_path)
    assert _documents() == {
        "issue#12": "the lamp flickers",
        "issue#13": "the door sticks",
        "f": "It adds.\nIt adds. At length.",
    }


@pytest.mark.parametrize(
    "damage", [lambda one: one[: len(one) // 2], lambda one: one[:-1] + bytes([one[-1] ^ 1]), lambda _: b""]
)
def test_a_damaged_index_is_named_and_made_anew(folder, run, capsys, damage):
    assert run(folder, "search", "lamp") == 0
    first = capsys.readouterr().out.splitlines()[1:]
    (file,) = folder.glob("data/index/*/*.faiss")
    file.write_bytes(damage(file.read_bytes()))
    assert run(folder, "search", "lamp") == 0
    told, *rest = capsys.readouterr().out.splitlines()
    assert told == f"{file.relative_to(folder)} is damaged: its bytes have not the hash in its name; it is made anew"
    assert rest == first
    assert list(folder.glob("data/index/*/*.faiss")) == [file]
