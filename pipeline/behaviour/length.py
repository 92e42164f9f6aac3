"""Length collapse: do vectors of texts that have nothing to do with each other draw together as texts grow?

Source: Zhou et al. 2024, arXiv:2410.24200, sec. 3.
"""

import random
from collections.abc import Sequence

import numpy as np

from pipeline.behaviour.subject import Measured, Subject
from pipeline.task import SEARCH


class Length:
    """``texts`` long texts, each of documents that stand in no other, cut at each of ``tokens``."""

    def __init__(self, *, texts: int, tokens: Sequence[int]) -> None:
        if texts < 2 or min(tokens) < 3:
            raise ValueError(f"expected two texts or more and lengths of 3 tokens or more, got {texts} and {list(tokens)}")
        self.texts = texts
        self.lengths = sorted(tokens)

    def measure(self, subject: Subject) -> Measured | None:
        """Mean cosine over all pairs of texts; None where the documents do not fill two texts of the longest cut."""
        lengths = [length for length in self.lengths if length <= subject.max_length_tokens]
        given = subject.texts()
        random.Random(subject.seed).shuffle(given)
        long: list[str] = []
        part: list[str] = []
        held = 0
        for text, number in zip(given, subject.count(given), strict=True):
            part.append(text)
            held += number - 2  # less the special tokens, which a longer text has once
            if lengths and held + 2 >= lengths[-1]:
                long.append(" ".join(part))
                part, held = [], 0
            if len(long) == self.texts:
                break
        if len(long) < 2:
            return None
        means = []
        for length in lengths:
            vectors = subject.encode(long, "document", SEARCH.name, max_length_tokens=length)
            cosine = vectors @ vectors.T
            means.append(float(cosine[np.triu_indices(len(long), 1)].mean()))
        about = f"Mean cosine between {len(long)} unrelated texts cut at so many tokens. Rising: longer texts are harder to tell apart."
        return Measured(about, "tokens", lengths, {"mean cosine": means})
