"""What each behaviour finds of a model whose behaviour is known."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from pipeline.baseline.bm25 import Bm25
from pipeline.behaviour.free_embedding import MEASURED, FreeEmbedding, critical, every_set, holds, ranked_first, realised
from pipeline.behaviour.judgements import Judgements, made
from pipeline.behaviour.length import Length
from pipeline.behaviour.limit import Limit, max_sim
from pipeline.behaviour.negation import Negation, negated
from pipeline.behaviour.passkey import Passkey
from pipeline.behaviour.sentence_lens import SentenceLens, words_of
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
    for refused in (
        lambda: Length(texts=1, tokens=[8]), lambda: Typo(queries=0, errors=[0]), lambda: Negation(pairs=0),
        lambda: Passkey(texts=21, tokens=[8], filler="plain"),
        lambda: FreeEmbedding(widths=[1], k=2, patience=1, steps=1, tries=1), lambda: Judgements(queries=45, persons=9, lexical=None),
        lambda: lens(ridge=0.0),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"expected|at least"):
            refused()


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


def test_free_vectors_hold_what_geometry_allows():
    """On a circle the two documents nearest to a query are neighbours, so every pair of 3 and no more; on a sphere pairs are edges of a
    polyhedron, and 5 points have no 10 edges."""
    settings = {"k": 2, "patience": 300, "steps": 3000, "tries": 8, "seed": 0}
    assert [critical(width, **settings) for width in (2, 3)] == [3, 4]
    found = FreeEmbedding(widths=[2, 3, 4], k=2, patience=300, steps=3000, tries=8).measure(subject(by_words))
    assert found.at == [2, 3, 4]
    assert found.rows["documents"][:2] == [3, 4]
    assert found.rows["documents"][2] > 4


def test_four_numbers_hold_every_pair_of_more_documents_than_training_finds():
    """(cos t, sin t, cos 2t, sin 2t): the query of a pair is a trigonometric polynomial that is 0 at both and below elsewhere."""
    num = 20
    angles = 2 * np.pi * np.arange(num) / num
    document = np.stack([np.cos(angles), np.sin(angles), np.cos(2 * angles), np.sin(2 * angles)], axis=1) / np.sqrt(2)
    pairs = every_set(num, 2)
    query, wanted = [], np.zeros((len(pairs), num), bool)
    for row, (a, b) in enumerate(angles[pairs]):
        middle, half = (a + b) / 2, np.cos((a - b) / 2)  # -(cos(t - middle) - half)^2 and a constant
        first, second = (
            2 * half * np.array([np.cos(middle), np.sin(middle)]),
            -0.5 * np.array([np.cos(2 * middle), np.sin(2 * middle)]),
        )
        query.append(np.concatenate([first, second]))
        wanted[row, pairs[row]] = True
    assert ranked_first(np.stack(query) @ document.T, wanted).all()
    assert not realised(pairs, num, 4, patience=50, steps=300, seed=0)


def test_as_many_random_pairs_are_easier_than_every_pair_of_few():
    settings = {"patience": 300, "steps": 3000}
    dense = every_set(8, 2)
    several = every_set(40, 2)
    hits = {"dense": 0, "random": 0}
    for seed in range(3):
        drawn = several[np.random.default_rng(seed).choice(len(several), len(dense), replace=False)]
        hits["dense"] += realised(dense, 8, 3, seed=seed, **settings)
        hits["random"] += realised(drawn, 40, 3, seed=seed, **settings)
    assert hits["dense"] == 0 < hits["random"]


def test_the_card_s_sentence_holds_what_the_benchmark_measured(root):
    found = json.loads((root / "docs/claims/measured/free_embedding.json").read_text(encoding="utf-8"))
    assert {int(width): num for width, num in found["documents"].items()} == MEASURED
    assert all(
        one["dense"] < one["random"] or one["queries"] < 10 for one in found["one more"].values()
    )  # the control is easier
    assert f"all pairs of {', '.join(map(str, MEASURED.values()))} documents" in holds(384)


def test_made_judgements_differ_in_what_goes_with_what_alone():
    one, other = (made(45, 30, dense=kind, seed=0) for kind in (True, False))
    assert one.queries == other.queries
    assert {len(text.split(",")) for c in (one, other) for text in c.documents.values()} == {
        len(one.documents["d0"].split(","))
    }
    asked = [{d for grades in c.judgements.values() for d in grades} for c in (one, other)]
    assert (len(asked[0]), len(asked[1]) > 20) == (10, True)
    for c in (one, other):
        for query, grades in c.judgements.items():
            thing = c.queries[query].removeprefix("Who likes ").removesuffix("?")
            assert {d for d, text in c.documents.items() if thing in text} == set(grades)
            assert len(grades) == 2
        assert len(set(map(tuple, map(sorted, c.judgements.values())))) == 45
    found = Judgements(queries=45, persons=30, lexical=Bm25(k1=0.9, b=0.4, language=None, stem=False)).measure(
        subject(by_words)
    )
    assert found.rows["dense: BM25"][1] == found.rows["random: BM25"][1] == 1


def lens(**values):
    return SentenceLens(**{"train_texts": 400, "test_texts": 60, "seen": 2, "common": 5, "ridge": 1e-4} | values)


def read_by(encode):
    """Texts of 6 words of 40, and no train text among the others."""
    draw = np.random.default_rng(3)
    texts = [" ".join(draw.choice(WORDS[:40], 6, replace=False)) for _ in range(700)]
    documents = {f"d{i}": text for i, text in enumerate(texts[:100])}
    ranked = Judged("x", "retrieval", {"q": "which"}, documents, {"q": {"d0": 1}})
    return replace(subject(encode, collections=[ranked]), train=lambda: texts[100:])


def test_words_are_read_back_where_vectors_hold_them_and_guessed_where_they_do_not():
    found = lens().measure(read_by(by_words))
    (every, rare), (guessed, guessed_rare) = found.rows["own vectors"], found.rows["dealt anew"]
    assert min(every, rare) > 0.9
    assert max(guessed, guessed_rare) < 0.3  # by chance 6 of 40
    nothing = lens().measure(read_by(lambda texts, *_, **__: np.ones((len(texts), 4), np.float32) / 2))
    assert nothing.rows["own vectors"] == nothing.rows["dealt anew"]
    assert lens().measure(subject(by_words)) is None  # no train text to learn from


def test_the_decoder_is_ridge_regression_on_train_texts_alone():
    given = read_by(by_words)
    vectors = bag(given.train())
    decoder = lens(ridge=0.01).fitted(given.train(), vectors)
    held = np.array([[word in words_of(text) for word in decoder.words] for text in given.train()], float)
    ridge = Ridge(alpha=0.01 * len(held)).fit(vectors.astype(float), held)
    np.testing.assert_allclose(decoder.weight, ridge.coef_.T, atol=1e-8)
    np.testing.assert_allclose(decoder.bias, ridge.intercept_, atol=1e-8)
    assert {word for text in given.train() for word in words_of(text)} >= set(decoder.words)
