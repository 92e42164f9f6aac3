"""Texts that say the same in other words: by their bags of words, and by a model only where the words do not settle it.

A bag holds the stems of a text's words; each number counts as the same word, the commonest words and the order for nothing. The exact join
finds all pairs of bags that share ``threshold`` of their stems. Where the one text has only words more, they say the same; where a negation
or one of two opposites stands in one of them alone, they do not. What remains are pairs in which words stand for others, be it synonyms or
other things. There the model is asked: whether the texts are near, and whether each word that differs is near one of the other text's.
Without a model such pairs count as different. Texts of equal bags share a set.
Price: stems, commonest words, negations and opposites are English. A word that only sounds like a synonym passes for one.

Our own design, after SYSTEMS row 46 (2025), where a comparison of letters misses most of what stands there in other words.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int

from pipeline.cluster.join import check_threshold, near_sets
from pipeline.cluster.shingle import shingled
from pipeline.corpus.near import Near, sorted_near
from pipeline.corpus.script import parted

WORD = re.compile(r"[a-z0-9]+")
NEGATED = re.compile(r"n['’]t\b|\bcannot\b")
COMMON = (
    "a an the this that these those it its is are was were be been being am do does did has have had having will would shall should can "
    "could may might must of to in on at by for from as and or so such than then there here which who whom whose what when where how "
    "if while also very just only quite really simply generally usually please too into onto per via i you he she we they him his her "
    "our your their my me us some any each one ones"
)
NEGATIONS = "not no never without neither nor none nothing except unless false fail"
OPPOSED = (
    "before after|first last|left right|upper lower|up down|above below|more less|most least|greater smaller|larger smaller|higher lower|"
    "increase decrease|minimum maximum|min max|start end|begin end|start stop|row column|input output|open close|add remove|enable disable|"
    "encode decode|ascending descending|positive negative|same different|all none|read write|include exclude|internal external|"
    "forward backward|horizontal vertical|old new|good bad|hot cold"
)
ENDINGS = ("ations", "ation", "ings", "ing", "ies", "ied", "ers", "ed", "er", "es", "ly", "s", "e")
DENYING = ("un", "non", "in", "im", "dis", "de", "ir", "anti")  # before a word: its contrary
DIGITS = "0123456789"
SHORT = 4  # stems: of a text with fewer nothing is taken for the same but its own words
LEAST = 3  # letters that an ending leaves
Model: TypeAlias = Callable[[Sequence[str]], Float[np.ndarray, "B D"]]
Bag: TypeAlias = Mapping[str, str]  # stem (`stem2` where it stands again) -> its word


class Told(NamedTuple):
    """Pairs ``left[k] < right[k]`` of sets of equal bags; ``similarity``: shared stems / all stems; ``same``: whether their words say the
    same, ``open``: whether they leave it open. ``set_of[i]``: the set of text ``i``."""

    set_of: Int[np.ndarray, " T"]
    left: Int[np.ndarray, " P"]
    right: Int[np.ndarray, " P"]
    similarity: Float[np.ndarray, " P"]
    same: Bool[np.ndarray, " P"]
    open: Bool[np.ndarray, " P"]


class ByModel:
    """Whether pairs of texts in which words stand for others say the same: ``cosine`` of the texts, and ``words``, the mean cosine of the
    words that differ, each with the nearest of the other text, must be reached. Both bounds are those of one ``model``."""

    def __init__(self, *, cosine: float, words: float, model: Model) -> None:
        for value in (cosine, words):
            check_threshold(value)
        self.cosine = cosine
        self.words = words
        self.model = model

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[bool]:
        bags = {text: bag(text) for pair in pairs for text in pair}
        # the fewer words first; none where the one text has only words more
        rest = [sorted((_rest(bags[one], bags[other]), _rest(bags[other], bags[one])), key=len) for one, other in pairs]
        asked = sorted({*bags, *(word for two in rest for words in two for word in words)})
        vector = dict(zip(asked, self.model(asked) if asked else (), strict=True))
        found: list[bool] = []
        for (one, other), two in zip(pairs, rest, strict=True):
            nearest = [max(float(vector[word] @ vector[like]) for like in two[1]) for word in two[0]] if two[0] else [1.0]
            found.append(float(np.mean(nearest)) >= self.words and float(vector[one] @ vector[other]) >= self.cosine)
        return found


class Paraphrase:
    """``threshold``: shared stems / all stems, from which a pair is looked at; ``more``: the same, from which a text with only words more
    says the same. ``most``: pairs that ``by_model`` is asked about, those with most in common first; null: none is asked about."""

    def __init__(self, *, threshold: float, more: float, most: int, workers: int, by_model: ByModel | None) -> None:
        for value in (threshold, more):
            check_threshold(value)
        self.threshold = threshold
        self.more = more
        self.most = most
        self.workers = workers
        self.by_model = by_model

    def __call__(self, texts: Sequence[str]) -> Near:
        told = self.told(texts)
        same = told.same
        if self.by_model is not None and told.open.any():
            asked = nearest_first(told)[: self.most]
            _, member = np.unique(told.set_of, return_index=True)
            pairs = [(texts[int(member[told.left[k]])], texts[int(member[told.right[k]])]) for k in asked]
            same[asked] = self.by_model(pairs)
        return sorted_near(told.set_of, told.left[same], told.right[same], told.similarity[same])

    def told(self, texts: Sequence[str], side: Sequence[int] | None = None) -> Told:
        """All pairs of texts whose bags are near; with ``side``, 0 or 1 for each text, only pairs of one side and the other."""
        bags = [bag(text) for text in texts]
        words = shingled([" ".join(one) for one in bags], unit="word", size=1, workers=self.workers)
        near = near_sets(words, threshold=self.threshold, workers=self.workers)
        _, member = np.unique(near.set_of, return_index=True)
        kept = np.ones(len(near.left), bool) if side is None else _between(near, np.asarray(side, bool))
        left, right, similarity = near.left[kept], near.right[kept], near.similarity[kept]
        verdicts = [
            self._settled(bags[i], bags[j], one)
            for i, j, one in zip(member[left].tolist(), member[right].tolist(), similarity.tolist(), strict=True)
        ]
        same, open_ = (np.array([verdict is known for verdict in verdicts], bool) for known in (True, None))
        return Told(near.set_of, left, right, similarity, same, open_)

    def _settled(self, one: Bag, other: Bag, similarity: float) -> bool | None:
        """Whether two bags say the same; None where words stand for others."""
        left, right = one.keys() - other.keys(), other.keys() - one.keys()
        if min(len(one), len(other)) < SHORT:
            return False
        if not NEGATED_STEMS.isdisjoint(key.rstrip(DIGITS) for key in left | right):
            return False
        if any(_opposed(a, b) for a in left for b in right):
            return False
        return None if left and right else similarity >= self.more


def nearest_first(told: Told) -> Int[np.ndarray, " P"]:
    """Places of the pairs that words leave open."""
    open_ = np.flatnonzero(told.open)
    return open_[np.argsort(-told.similarity[open_], kind="stable")]


def _between(near: Near, side: Bool[np.ndarray, " T"]) -> Bool[np.ndarray, " P"]:
    """Which pairs of sets hold a text of one side and one of the other."""
    holds = np.zeros((near.num_sets, 2), bool)
    holds[near.set_of, side.astype(np.int64)] = True
    left, right = holds[near.left], holds[near.right]
    return (left[:, 0] & right[:, 1]) | (left[:, 1] & right[:, 0])


def bag(text: str) -> Bag:
    """A number is `0`. Of a text of few stems, its words as they are."""
    text = NEGATED.sub(" not ", text.lower())
    words = WORD.findall(text) if text.isascii() else _words(parted(text))
    often: Counter[str] = Counter()
    found: dict[str, str] = {}
    for word in words:
        if word in COMMON_WORDS:
            continue
        key = "0" if word.isdigit() else stem(word)
        often[key] += 1
        found[key if often[key] == 1 else f"{key}{often[key]}"] = word
    return found if len(found) >= SHORT else {word: word for word in words}


@lru_cache(maxsize=1 << 20)
def stem(word: str) -> str:
    """``word`` without an English ending, as far as bags need it: `copies`, `copied` and `copy` are one, and so `plan` and `planned`."""
    if not word.isascii() or not word.isalpha():
        return word
    for ending in ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= LEAST and not (ending == "s" and word.endswith("ss")):
            word = word[: -len(ending)] + ("y" if ending in ("ies", "ied") else "")
            break
    if len(word) > LEAST and word[-1] == word[-2] and word[-1] not in "ls":
        word = word[:-1]
    return word


def _words(text: str) -> list[str]:
    return "".join(c if unicodedata.category(c)[0] in "LNM" else " " for c in unicodedata.normalize("NFC", text)).split()


def _rest(one: Bag, other: Bag) -> list[str]:
    return [word for key, word in one.items() if key not in other]


def _opposed(one: str, other: str) -> bool:
    short, long = sorted((one, other), key=len)
    return frozenset((one, other)) in OPPOSITES or (len(short) >= LEAST and long in {prefix + short for prefix in DENYING})


COMMON_WORDS = frozenset(COMMON.split())
NEGATED_STEMS = frozenset(map(stem, NEGATIONS.split()))
OPPOSITES = frozenset(frozenset(map(stem, pair.split())) for pair in OPPOSED.split("|"))
