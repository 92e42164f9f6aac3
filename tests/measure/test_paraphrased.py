import numpy as np

from pipeline.cluster.paraphrase import Paraphrase
from pipeline.corpus.row import Row
from pipeline.measure.paraphrased import Paraphrased

SAME = "wash the red apples with cold clear water"


def measure(**values):
    search = Paraphrase(**{"threshold": 0.5, "more": 0.7, "most": 9, "workers": 1, "by_model": None} | values)
    return Paraphrased(search=search, max_shown=2, max_texts=1_000)


def rows(kind, *texts, task="retrieval"):
    return [Row(task, f"{kind}{i}", f"{kind} asks {i}", f"{kind} {i}", text) for i, text in enumerate(texts)]


def test_what_words_settle_is_counted_and_what_they_leave_open_is_handed_on():
    train = rows(
        "train",
        "With cold clear water, wash red apples!",
        "never paint green doors on warm sunny days",
        "peel ripe pears with a small sharp knife",
    )
    test = rows(
        "test",
        SAME,
        "paint green doors on warm sunny days",
        "peel ripe pears with a little sharp knife",
        "ride fast horses over wide open plains",
    )
    found = measure()(train, test, str.lower)
    assert (found["texts"], found["in_other_words"], found["not_handed_on"]) == (8, 1, 0)
    assert found["nearest"] == [7, *[0] * 8, 1]
    assert found["shown"] == [{"similarity": 1.0, "train": "With cold clear water, wash red apples!", "evaluation": SAME}]
    assert found["open"] == [["peel ripe pears with a small sharp knife", "peel ripe pears with a little sharp knife"]]
    assert measure(most=0)(train, test, str.lower)["not_handed_on"] == 1


def test_a_text_that_is_known_by_its_words_is_not_handed_on():
    found = measure()(rows("train", SAME, SAME.replace("clear", "fresh")), rows("test", SAME), str)
    assert (found["in_other_words"], found["open"]) == (1, [])


def test_nothing_in_common_is_no_flag_and_chains_are_no_words():
    draw = np.random.default_rng(0)
    made = [" ".join(f"w{n}" for n in draw.integers(0, 9000, 12)) for _ in range(400)]
    found = measure()(rows("train", *made[:200]), rows("test", *made[200:]), str)
    assert found["in_other_words"] < 0.01 * found["texts"]
    chains = [Row("affinity", "a", "ACDEFGHIKL", "b", "MNPQRSTVWY", 7.0)]
    assert measure()(chains, chains, str)["texts"] == 0


def test_too_many_texts_are_not_looked_at_and_a_line_says_so(capsys):
    search = Paraphrase(threshold=0.5, more=0.7, most=9, workers=1, by_model=None)
    rows = [Row("retrieval", f"q{i}", f"query {i}", f"d{i}", f"document {i}") for i in range(3)]
    assert Paraphrased(search=search, max_shown=2, max_texts=11)(rows, rows, str) is None
    assert "12 texts are too many" in capsys.readouterr().out
    assert Paraphrased(search=search, max_shown=2, max_texts=12)(rows, rows, str) is not None
