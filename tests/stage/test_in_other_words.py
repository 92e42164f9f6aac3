import pytest

from pipeline.checkpoint import write_json
from pipeline.stage import in_other_words
from pipeline.stage.in_other_words import in_other_words as told

FOUND = {"texts": 9, "in_other_words": 2, "open": [["a", "x"], ["b", "x"], ["c", "y"]], "not_handed_on": 0}


@pytest.fixture
def curated(tmp_path):
    def write(**found):
        write_json(tmp_path / "leakage.json", {"test in train": {"num_leaks": 0}, **found})
        return tmp_path

    return write


class Judge:
    def __init__(self):
        self.by_model = lambda pairs: [other == "x" for _, other in pairs]


def test_a_text_counts_once_however_many_say_the_same(curated, monkeypatch):
    monkeypatch.setattr(in_other_words, "build", lambda node: Judge())
    found = curated(
        **{"test paraphrased in train": FOUND, "validation paraphrased in train": FOUND | {"open": [], "in_other_words": 0}}
    )
    assert told(found, {}) == [
        "2 of 9 test texts stand in train in other words, by the words alone, and 1 more by a fixed model, asked about 3 pairs."
    ]
    more = curated(**{"test paraphrased in train": FOUND | {"not_handed_on": 4}})
    assert told(more, {})[0].endswith("asked about 3 pairs of 7.")
    assert (
        "3 pairs that these leave open were not looked at (final.paraphrases)"
        in told(curated(**{"test paraphrased in train": FOUND}), None)[0]
    )


def test_no_model_is_made_where_nothing_is_open_or_measured(curated, monkeypatch, tmp_path):
    monkeypatch.delattr(in_other_words, "build")
    assert told(tmp_path / "nothing", {}) == told(curated(), {}) == []
    found = told(curated(**{"test paraphrased in train": FOUND | {"open": []}}), {})
    assert found == [
        "2 of 9 test texts stand in train in other words, by the words alone, and 0 more by a fixed model, asked about 0 pairs."
    ]
