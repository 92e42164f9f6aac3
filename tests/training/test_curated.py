"""Which of the curated rows an expert or a phase learns."""

import pytest

import pipeline.training.curated as curated
from pipeline.corpus.files import Negative, write
from pipeline.corpus.row import Row
from pipeline.training.fit import Learned
from pipeline.training.job import Job

INFONCE = {"_target_": "pipeline.objective.infonce.InfoNCE", "temperature": 0.05, "symmetric": False, "same_side": []}
TRIPLET = {"_target_": "pipeline.objective.triplet.Triplet", "margin": 0.1, "negatives": "mined"}
TASK = {"num_negatives": 0, "negatives": "gathered", "objective": INFONCE}


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
            return Learned([], {}, {})

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


def test_rows_without_mined_negatives_are_learned_too(learned, capsys):
    assert len(learned(tasks={"retrieval": TASK | {"num_negatives": 2}})[0]) == 40
    assert "0 of 40 rows have 2 mined negatives, the others what was found\n" in capsys.readouterr().out


@pytest.mark.parametrize("needy", [{"objective": TRIPLET}, {"negatives": "own"}])
def test_where_an_objective_needs_negatives_rows_without_any_are_left_out_and_told(learned, capsys, needy):
    assert learned(tasks={"retrieval": TASK | {"num_negatives": 2} | needy})[0] == ["letters q3"]
    assert "; 39 rows without any are left out" in capsys.readouterr().out
    with pytest.raises(
        ValueError, match="task retrieval: its objective learns from hard negatives alone, and no query has one; mine some"
    ):
        learned(tasks={"retrieval": TASK | {"num_negatives": 2} | needy}, corpora=["manuals"])
