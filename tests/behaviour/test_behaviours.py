"""What each behaviour finds of a model whose behaviour is known."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.behaviour.length import Length
from pipeline.behaviour.limit import Limit, max_sim
from pipeline.behaviour.negation import Negation, negated
from pipeline.behaviour.passkey import Passkey
from pipeline.behaviour.subject import Subject
from pipeline.behaviour.typo import Typo, misspelt
from pipeline.corpus.collection import Judged

WORDS = [f"word{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(200)]


def bag(texts, *, first=None, ignore=()):
    """Each word a direction of its own, drawn by its letters: the mean of the first words' directions."""
    out = []
    for text in texts:
        words = [word for word in text.lower().split()[:first] if word not in ignore]
        out.append(sum((np.random.default_rng(list(word.encode())).normal(size=64) for word in words), np.zeros(64)))
    vectors = np.stack(out)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def subject(encode, *, num=40, collections=None):
    draw = np.random.default_rng(0)
    documents = {f"d{i}": " ".join(draw.choice(WORDS, 12, replace=False)) + f" is thing{i}" for i in range(num)}
    queries = {f"q{i}": " ".join(documents[f"d{i}"].split()[:3]) for i in range(num)}
    ranked = Judged("x", "retrieval", queries, documents, {f"q{i}": {f"d{i}": 1} for i in range(num)})
    return Subject(
        encode=encode, tokens=lambda texts, side, task: [bag(text.split()) for text in texts],
        count=lambda texts: [len(text.split()) + 2 for text in texts], max_length_tokens=64,
        collections=[ranked] if collections is None else collections, seed=0,
    )  # fmt: skip


def by_words(texts, side, task, *, max_length_tokens=None):
    return bag(texts, first=max_length_tokens)


def by_names(first):
    """Reads persons' names alone, among the first words."""

    def encode(texts, side, task, *, max_length_tokens=None):
        kept = [" ".join(word for word in text.split()[:first] if word.endswith("'s")) or "nobody" for text in texts]
        return bag(kept)

    return encode


def test_vectors_that_share_a_direction_per_word_collapse_as_texts_grow():
    def drawn_together(texts, side, task, *, max_length_tokens):
        vectors = bag(texts, first=max_length_tokens)
        vectors[:, 0] += 0.02 * max_length_tokens
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    found = Length(texts=8, tokens=[8, 16, 32, 4096]).measure(subject(drawn_together))
    assert found.at == [8, 16, 32]  # the model's own limit is 64
    assert found.rows["mean cosine"] == sorted(found.rows["mean cosine"])
    assert found.rows["mean cosine"][2] > found.rows["mean cosine"][0] + 0.05


def test_the_cosine_of_texts_by_length_is_that_of_all_pairs():
    one = Length(texts=2, tokens=[8]).measure(subject(lambda texts, *_, **__: np.array([[1, 0], [0.6, 0.8]], dtype=np.float32)))
    assert one.rows["mean cosine"] == [pytest.approx(0.6)]


def test_too_few_documents_for_two_long_texts_are_not_measured():
    assert Length(texts=8, tokens=[64]).measure(subject(by_words, num=6)) is None


def test_typing_errors_cost_a_model_that_only_knows_whole_words_and_none_cost_nothing():
    found = Typo(queries=30, errors=[0, 1, 3]).measure(subject(by_words))
    none, one, three = found.rows["x"]
    assert none > 0.9
    assert none > one > three


def test_an_error_keeps_the_ends_of_a_word_and_short_words():
    for seed in range(200):
        found = misspelt("an elephant is in it", 1, str(seed))
        first, word, *rest = found.split(" ")
        assert (first, rest) == ("an", ["is", "in", "it"])
        assert word[0] + word[-1] == "et"
        assert abs(len(word) - 8) <= 1
    assert len({misspelt("elephant", 1, str(seed)) for seed in range(200)}) > 10
    assert misspelt("a to it", 5, "0") == "a to it"


def test_a_model_blind_to_not_sees_no_difference_and_one_that_reads_it_does():
    def blind(texts, side, task, *, max_length_tokens=None):
        return bag(texts, ignore=("not",))

    assert Negation(pairs=20).measure(subject(blind)).rows["x"] == [pytest.approx(1), 1]
    cosine, share = Negation(pairs=20).measure(subject(by_words)).rows["x"]
    assert cosine < 0.99
    assert share < 0.5


def test_a_statement_is_negated_once_and_a_negated_one_not_again():
    assert negated("It is red and was blue.") == "It is not red and was blue."
    assert negated("It is not red.") == "It is not red."


@pytest.mark.parametrize("filler", ["plain", "documents"])
def test_who_reads_the_whole_text_finds_the_key_and_who_reads_its_start_does_not(filler):
    whole = Passkey(texts=10, tokens=[16, 32, 64, 128], filler=filler).measure(subject(by_names(None)))
    assert whole.at == [16, 32, 64]
    assert min(whole.rows["found first"]) == 1
    start = Passkey(texts=10, tokens=[64], filler=filler).measure(subject(by_names(4)))
    assert start.rows["found first"][0] < 0.5


def test_hidden_keys_stand_whole_in_texts_of_at_most_the_length():
    seen = []

    def encode(texts, side, task, *, max_length_tokens=None):
        seen.extend(texts if side == "document" else [])
        return bag(texts)

    Passkey(texts=5, tokens=[40], filler="plain").measure(subject(encode))
    assert all("'s pass key is " in text and 30 < len(text.split()) <= 38 for text in seen)
    assert len(seen) == 5


def test_max_sim_adds_up_each_query_token_s_best_document_token():
    draw = np.random.default_rng(0)
    vectors = {text: draw.normal(size=(length, 4)) for text, length in {"a": 2, "b": 3, "x": 4, "y": 1, "z": 2}.items()}
    scores, rows = max_sim(lambda texts, side, task: [vectors[text] for text in texts], "retrieval")(
        ["a", "b"], ["x", "y", "z"], 2
    )
    for i, query in enumerate("ab"):
        expected = [max(0, 0) + sum(max(q @ d for d in vectors[document]) for q in vectors[query]) for document in "xyz"]
        assert rows[i].tolist() == sorted(range(3), key=lambda n: -expected[n])[:2]
        np.testing.assert_allclose(scores[i], sorted(expected, reverse=True)[:2])


class Alphabet:
    """A search that ranks in the order of the texts, whatever is asked."""

    def search(self, queries, documents, depth):
        order = np.argsort(documents)
        return np.tile(-np.arange(len(order), dtype=float), (len(queries), 1)), np.tile(order, (len(queries), 1))


def test_three_searches_answer_the_same_queries_of_the_named_corpora():
    found = Limit(corpora=["x"], lexical=Alphabet()).measure(subject(by_words))
    assert list(found.rows) == ["x: one vector", "x: BM25", "x: vectors of tokens"]
    assert found.rows["x: vectors of tokens"][3] > 0.9
    assert found.rows["x: BM25"][0] == pytest.approx(2 / 40)
    assert Limit(corpora=["y"], lexical=Alphabet()).measure(subject(by_words)) is None


def test_values_that_measure_nothing_are_refused():
    for made in (
        lambda: Length(texts=1, tokens=[8]), lambda: Typo(queries=0, errors=[0]), lambda: Negation(pairs=0),
        lambda: Passkey(texts=21, tokens=[8], filler="plain"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"expected|at least"):
            made()


def test_every_behaviour_has_a_place_in_this_file(root):
    """A new behaviour needs a test of what it finds, not only of its shape."""
    names = {file.stem for file in (root / "pipeline/behaviour").glob("*.py")} - {"__init__", "subject"}
    text = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in sorted(names) if f"pipeline.behaviour.{name} import" not in text] == []


def in_script(first, count=12):
    documents = {f"d{i}": "".join(chr(first + (7 * i + k) % 300) for k in range(20)) for i in range(count)}
    queries = {name.replace("d", "q"): text[:6] for name, text in documents.items()}
    return Judged("zh", "retrieval", queries, documents, {f"q{i}": {f"d{i}": 1} for i in range(count)})


def test_queries_without_blanks_are_left_out_of_typing_errors_with_a_line(capsys):
    han, words = in_script(0x4E00), subject(by_words).collections[0]
    alone = Typo(queries=5, errors=[0, 1]).measure(subject(by_words, collections=[han]))
    assert alone is None
    assert "typo: zh: queries in a script without blanks are left out (12 Han of 12)" in capsys.readouterr().out
    both = Typo(queries=5, errors=[0, 1]).measure(subject(by_words, collections=[han, words]))
    assert both.rows == Typo(queries=5, errors=[0, 1]).measure(subject(by_words, collections=[words])).rows
    capsys.readouterr()
    Typo(queries=5, errors=[0]).measure(subject(by_words))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("first", [0x4E00, 0x430, 0x905])
def test_documents_in_another_script_are_told_as_negation_is_of_english(first, capsys):
    found = Negation(pairs=5).measure(subject(by_words, collections=[in_script(first), subject(by_words).collections[0]]))
    assert list(found.rows) == ["x"]
    assert "English" in found.about
    assert (
        "negation: zh: 12 of 12 relevant documents are not in Latin letters; only English is negated" in capsys.readouterr().out
    )
    Negation(pairs=5).measure(subject(by_words))
    assert capsys.readouterr().out == ""
