"""Which of the curated rows an expert or a phase learns."""

import pytest

import pipeline.training.curated as curated
from pipeline.corpus.files import Negative, write
from pipeline.corpus.row import Row
from pipeline.training.fit import Learned
from pipeline.training.job import Job

TASK = {"num_negatives": 0}


def rows(name, num, task="retrieval"):
    return [Row(task, f"{name} q{i}", f"{name} q{i}", f"{name} d{i}", f"{name} d{i}") for i in range(num)]


@pytest.fixture
def learned(tiny_encoder, tmp_path, monkeypatch):
    """What the training of a section is given."""
    for name in ("letters", "manuals"):
        folder = tmp_path / "curated" / name
        folder.mkdir(parents=True)
        write(folder / "train.parquet", Row, [*rows(name, 20), *rows(name, 3, "weak")])
        write(folder / "validation.parquet", Row, rows(f"{name} held out", 4))
    (tmp_path / "mined").mkdir()
    write(tmp_path / "mined/a.parquet", Negative, [Negative("letters q3", "manuals d1", 0, "retrieval")])

    def made(seed=0, mined=True, **section):
        seen = {}

        def fit(encoder, given, negatives, *rest, held_out, **named):
            seen.update(rows=given, negatives=negatives, held_out=held_out)
            return Learned([], {})

        monkeypatch.setattr(curated, "fit", fit)
        job = Job(
            encoder=tiny_encoder(), section={"tasks": {"retrieval": TASK}, "mine": None} | section, runtime={}, seed=seed, name="x",
            curated=tmp_path / "curated", mined=tmp_path / "mined" if mined else None, inputs={}, scratch=tmp_path / "scratch",
        )  # fmt: skip
        curated.Contrastive()(job)
        return (
            [row.query for row in seen["rows"]["retrieval"]],
            [row.query for row in seen["held_out"]["retrieval"]],
            seen["negatives"],
        )

    return made


def test_without_a_word_all_rows_of_its_tasks_are_learned(learned):
    found, held_out, negatives = learned()
    assert found == [row.query for name in ("letters", "manuals") for row in rows(name, 20)]
    assert len(held_out) == 8
    assert negatives == {"retrieval": {"letters q3": ["manuals d1"]}}
    assert learned(corpora=None, share=None)[0] == found
    assert learned(mined=False)[2] == {}


def test_of_named_corpora_only_their_rows_are_learned_and_looked_at(learned):
    found, held_out, _ = learned(corpora=["manuals"])
    assert found == [row.query for row in rows("manuals", 20)]
    assert all(query.startswith("manuals held out") for query in held_out)
    assert len(held_out) == 4


def test_a_share_is_drawn_by_the_seed_and_stays_in_order(learned):
    every = learned()[0]
    found = learned(share=0.3)[0]
    assert len(found) == 12
    assert found == [query for query in every if query in set(found)]
    assert learned(share=0.3)[0] == found
    assert learned(share=0.3, seed=1)[0] != found
    assert len(learned(share=0.001)[0]) == 1
    assert learned(share=1.0)[0] == every


def test_only_rows_with_the_negatives_asked_for_are_learned(learned):
    assert learned(tasks={"retrieval": {"num_negatives": 1}})[0] == ["letters q3"]
