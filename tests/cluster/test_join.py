import random
import re
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.text_pairs import text_pairs
from benchmarks.twins import kept_twins
from pipeline.cluster.join import Join
from pipeline.cluster.spread import Spread

WITHOUT_BLANKS = re.compile(r"[一-鿿฀-๎][\u0e31\u0e34-\u0e3a\u0e47-\u0e4e]*|[^一-鿿฀-๎]+")  # Chinese and Thai
VOCABULARY = [f"{a}{b}" for a in ("fit", "row", "Ünit", "数", "naïve", "x") for b in range(400)]


def reference_sets(texts, unit, size):
    found = []
    for text in texts:
        text = unicodedata.normalize("NFC", text)
        lower = "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
        words = "".join(c if unicodedata.category(c)[0] in "LNM" else " " for c in lower).split()
        units = words if unit == "character" else [part for word in words for part in WITHOUT_BLANKS.findall(word)]
        units = list(" ".join(words)) if unit == "character" else units
        run = min(size, len(units))
        found.append({tuple(units[i : i + run]) for i in range(len(units) - run + 1)} if units else set())
    return found


def reference(texts, unit, size, threshold):
    """Every pair that shares a shingle is compared."""
    sets = reference_sets(texts, unit, size)
    holders = {}
    pairs = {}
    for j, shingles in enumerate(sets):
        shared = {}
        for shingle in shingles:
            for i in holders.setdefault(shingle, []):
                shared[i] = shared.get(i, 0) + 1
            holders[shingle].append(j)
        for i, n in shared.items():
            if n / (len(sets[i]) + len(shingles) - n) >= threshold:
                pairs[i, j] = n / (len(sets[i]) + len(shingles) - n)
    return pairs


def joined(texts, unit, size, threshold, workers=1):
    near = Join(unit=unit, size=size, threshold=threshold, workers=workers)(texts)
    return {(i, j): similarity for i, j, similarity in text_pairs(near)}


def edited_texts(count, seed=0):
    draw = random.Random(seed)
    texts = []
    while len(texts) < count:
        if texts and draw.random() < 0.5:
            text = list(draw.choice(texts)) if draw.random() < 0.5 else draw.choice(texts).split(" ")
            glue = "" if text and len(text[0]) == 1 else " "
            for _ in range(draw.randint(0, 4)):
                at = draw.randrange(len(text))
                text[at : at + draw.randint(0, 1)] = draw.choice([[], ["a"], [draw.choice(VOCABULARY)]])
                text = text or ["x"]
            texts.append(glue.join(text))
        else:
            texts.append(" ".join(draw.choice(VOCABULARY) for _ in range(draw.choice([1, 2, 3, 8, 12, 20, 70]))))
    return texts


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.9])
@pytest.mark.parametrize(("unit", "size"), [("word", 3), ("character", 5)])
def test_the_join_equals_brute_force_on_edited_texts(unit, size, threshold):
    texts = edited_texts(1500)
    found = joined(texts, unit, size, threshold)
    assert found == reference(texts, unit, size, threshold)
    assert len(found) > 300


@pytest.mark.slow
@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.9])
@pytest.mark.parametrize(("unit", "size"), [("word", 3), ("character", 9)])
def test_the_join_equals_brute_force_on_20_000_texts(unit, size, threshold):
    texts = edited_texts(20_000, seed=1)
    assert joined(texts, unit, size, threshold, workers=2) == reference(texts, unit, size, threshold)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.text("ab É!", max_size=12), max_size=14),
    st.sampled_from(["word", "character"]),
    st.integers(1, 3),
    st.sampled_from([0.2, 1 / 3, 0.5, 0.6, 2 / 3, 0.7, 0.75, 0.8, 1.0]),
)
def test_the_join_equals_brute_force_on_texts_of_four_letters(texts, unit, size, threshold):
    assert joined(texts, unit, size, threshold) == reference(texts, unit, size, threshold)


def test_the_number_of_workers_and_of_parts_changes_nothing():
    texts = edited_texts(600)
    make = [Join(unit="word", size=2, threshold=0.5, workers=workers) for workers in (1, 2, 3)]
    found = [join(texts) for join in make] + [make[0].stream([texts[:100], texts[100:101], [], texts[101:]])]
    for one in found[1:]:
        for name in ("set_of", "left", "right", "similarity"):
            assert np.array_equal(getattr(one, name), getattr(found[0], name))


def test_texts_without_a_word_are_near_to_none():
    near = Join(unit="word", size=2, threshold=0.5, workers=1)(["", "!!!", "!!!", "a b"])
    assert len(set(near.set_of.tolist())) == 4
    assert list(text_pairs(near)) == []


@pytest.mark.parametrize("threshold", [30, 0, -0.1, 1.01])
def test_a_threshold_that_is_no_share_is_refused(threshold):
    with pytest.raises(ValueError, match=re.escape(f"threshold must be in (0, 1], got {threshold}; write 0.30 for 30 percent")):
        Join(unit="word", size=2, threshold=threshold, workers=1)


@pytest.mark.parametrize("chains", [False, True])
def test_every_dropped_text_has_a_kept_twin_of_lower_rank_and_kept_ones_are_apart(chains):
    texts = edited_texts(500)
    near = Join(unit="word", size=1, threshold=0.5, workers=1)(texts)
    rank = np.random.default_rng(0).permutation(len(texts))
    twin = kept_twins(near, rank, chains=chains)
    pairs = {pair for i, j, _ in text_pairs(near) for pair in ((i, j), (j, i))}
    assert np.array_equal(twin[twin], twin)
    assert all(rank[t] <= rank[i] for i, t in enumerate(twin))
    kept = {i for i, t in enumerate(twin.tolist()) if i == t}
    assert not any(i in kept and j in kept for i, j in pairs)
    if chains:
        component = near.components()
        assert np.array_equal(component[twin], component)
        assert len(kept) == len(set(component.tolist()))
    else:
        assert all(i == t or (i, t) in pairs for i, t in enumerate(twin.tolist()))
    assert 50 < len(kept) < 450


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.6, 0.7, 0.8, 0.9])
def test_pairs_exactly_at_the_threshold_are_found_whatever_their_sizes(threshold):
    """A set inside a larger one, sizes in the ratio of the threshold: of 28 and 35 the bound 0.8 / 1.8 x 63 comes out above 28."""
    tenths, texts = round(10 * threshold), []
    for size in range(10, 121, 1):
        if size * tenths % 10 == 0:
            words = [f"n{size}w{i}" for i in range(size)]
            texts += [" ".join(words[: size * tenths // 10]), " ".join(words)]
    expected = {(i, i + 1) for i in range(0, len(texts), 2)}
    assert set(joined(texts, "word", 1, threshold)) == expected
    near = Spread(unit="word", size=1, threshold=threshold, parts=3, workers=1, scheduler=None, scratch=None)
    assert {(i, j) for i, j, _ in text_pairs(near.on(lambda f, items: [f(item) for item in items])(texts))} == expected
