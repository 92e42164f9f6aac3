"""How much of a text can be read back from its vector, by somebody who has the vector, the model, and other texts of the same kind.

A linear decoder (ridge regression) learns from vectors of train texts which words stand in them, and tells the words of test texts from
their vectors alone. Beside it stands the same decoder on vectors that were dealt anew among the test texts: what it still gets right are
words that are likely anywhere. The difference is what a stored vector gives away.
Price: the order of the words is not read, nor a word that fewer than ``seen`` train texts hold. A stronger decoder may read more, so this
is the least that can be read.

Our own design, after the lens of Hwang et al. 2025, arXiv:2505.22202, which decodes sentences by a language model.
"""

import random
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from pipeline.behaviour.subject import Measured, Subject

WORD = re.compile(r"\w+")


class Decoder(NamedTuple):
    """``words``: what it can tell. A text's scores are ``bias + vector @ weight``."""

    words: list[str]
    rare: set[str]
    weight: Float[np.ndarray, "D V"]
    bias: Float[np.ndarray, " V"]


class SentenceLens:
    """``train_texts`` and ``test_texts``: how many are encoded. ``seen``: train texts that hold a word which is told; ``common``: so many
    of the commonest words are not rare. ``ridge``: on the squared weights, beside the mean squared error of unit vectors."""

    def __init__(self, *, train_texts: int, test_texts: int, seen: int, common: int, ridge: float) -> None:
        if min(train_texts, test_texts) < 10 or seen < 1 or common < 0 or ridge <= 0:
            raise ValueError(
                f"expected at least 10 train and test texts, seen of at least 1, common of at least 0 and ridge above 0, got "
                f"{train_texts}, {test_texts}, {seen}, {common} and {ridge}; see conf/behaviour/sentence_lens.yaml"
            )
        self.num = train_texts, test_texts
        self.seen = seen
        self.common = common
        self.ridge = ridge

    def measure(self, subject: Subject) -> Measured | None:
        """None where there are fewer than ten texts of either kind."""
        draw = random.Random(f"{subject.seed} lens")
        test = subject.texts()
        train = sorted(set(subject.train()) - set(test))
        if min(len(train), len(test)) < 10:
            return None
        train, test = (draw.sample(texts, min(num, len(texts))) for texts, num in zip((train, test), self.num, strict=True))
        task = next(c.task for c in subject.collections)
        decoder = self.fitted(train, subject.encode(train, "document", task))
        vectors = subject.encode(test, "document", task)
        dealt = vectors[_dealt_anew(len(test), draw)]
        rows = {
            name: [_f1(decoder, given, test, rare=False), _f1(decoder, given, test, rare=True)]
            for name, given in (("own vectors", vectors), ("dealt anew", dealt))
        }
        about = (
            f"Words of {len(test)} test texts told from their vectors by a linear decoder, which {len(train)} train texts taught "
            f"{len(decoder.words)} words: F1 with the words that stand there, all and without the {self.common} commonest. Dealt anew: the "
            "same with another text's vector, which is what can be guessed. The difference is the least that a stored vector gives away."
        )
        return Measured(about, "", ["words", "rare words"], rows)

    def fitted(self, texts: Sequence[str], vectors: Float[np.ndarray, "B D"]) -> Decoder:
        held = [words_of(text) for text in texts]
        often = Counter(word for one in held for word in one)
        words = sorted((word for word, num in often.items() if num >= self.seen), key=lambda word: (-often[word], word))
        place = {word: i for i, word in enumerate(words)}
        stands_BV = np.zeros((len(texts), len(words)))
        for row, one in enumerate(held):
            stands_BV[row, [place[word] for word in one if word in place]] = 1
        mean_D, mean_V = vectors.mean(axis=0, dtype=np.float64), stands_BV.mean(axis=0)
        centred_BD = vectors.astype(np.float64) - mean_D
        square_DD = centred_BD.T @ centred_BD / len(texts) + self.ridge * np.eye(len(mean_D))
        weight_DV = np.linalg.solve(square_DD, centred_BD.T @ (stands_BV - mean_V) / len(texts))
        return Decoder(words, set(words[self.common :]), weight_DV, mean_V - mean_D @ weight_DV)


def words_of(text: str) -> set[str]:
    return set(WORD.findall(text.lower()))


def told(decoder: Decoder, vectors: Float[np.ndarray, "B D"]) -> list[set[str]]:
    """Of each vector the likeliest words, as many as the scores add up to."""
    score_BV = decoder.bias + vectors @ decoder.weight
    order = np.argsort(-score_BV, axis=1, kind="stable")
    nums = np.maximum(1, np.rint(np.clip(score_BV, 0, 1).sum(axis=1))).astype(int)
    return [{decoder.words[i] for i in row[:num]} for row, num in zip(order.tolist(), nums.tolist(), strict=True)]


def _f1(decoder: Decoder, vectors: Float[np.ndarray, "B D"], texts: Sequence[str], *, rare: bool) -> float:
    """Mean over texts of 2 * right / (told + standing there). ``rare``: of rare words alone, over the texts that hold or are told one."""
    common = set(decoder.words) - decoder.rare if rare else set()
    pairs = [(one - common, words_of(text) - common) for one, text in zip(told(decoder, vectors), texts, strict=True)]
    return float(np.mean([2 * len(one & there) / (len(one) + len(there)) for one, there in pairs if one or there] or [0.0]))


def _dealt_anew(num: int, draw: random.Random) -> list[int]:
    """An order in which nothing keeps its place."""
    order = list(range(num))
    draw.shuffle(order)
    place = {one: order[(i + 1) % num] for i, one in enumerate(order)}
    return [place[i] for i in range(num)]
