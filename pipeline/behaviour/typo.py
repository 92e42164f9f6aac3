"""Typing errors in queries: how much worse does search get? An error swaps, drops or doubles a letter inside a word of four or more.

That is how words are mistyped which blanks part. Queries in Chinese or Thai, say, are left out, and a line says so.

Source: Zhuang and Zuccon 2021, arXiv:2108.12139, sec. 3 (kinds of errors).
"""

import random
from collections.abc import Sequence
from dataclasses import replace

from pipeline.behaviour.subject import Measured, Subject
from pipeline.corpus.script import counted, script_without_blanks
from pipeline.evaluator.retrieval import Retrieval

LEAST_LETTERS = 4


class Typo:
    """``queries`` of each collection with each number of ``errors``, among the documents that are relevant to one of them."""

    def __init__(self, *, queries: int, errors: Sequence[int]) -> None:
        if queries < 1 or min(errors) < 0:
            raise ValueError(f"expected one query or more and errors of 0 or more, got {queries} and {list(errors)}")
        self.queries = queries
        self.errors = sorted(errors)

    def measure(self, subject: Subject) -> Measured | None:
        """nDCG@10 by collection and number of errors; None without a retrieval collection."""
        rows: dict[str, list[float]] = {}
        for whole in subject.ranked():
            if without := counted(whole.queries.values()):
                told = ", ".join(f"{n} {script}" for script, n in without.items())
                print(f"typo: {whole.corpus}: queries in a script without blanks are left out ({told} of {len(whole.queries)})")
            fit = sorted(query for query, text in whole.queries.items() if not script_without_blanks(text))
            if not fit:
                continue
            chosen = random.Random(subject.seed).sample(fit, min(self.queries, len(fit)))
            judgements = {query: whole.judgements[query] for query in chosen}
            documents = {d: whole.documents[d] for grades in judgements.values() for d in grades}
            rows[whole.corpus] = []
            for number in self.errors:
                queries = {query: misspelt(whole.queries[query], number, f"{subject.seed} {query}") for query in chosen}
                collection = replace(whole, queries=queries, documents=documents, judgements=judgements)
                scores, _ = Retrieval(depth=100).evaluate(subject.encode, collection)
                rows[whole.corpus].append(scores["ndcg@10"])
        about = (
            f"nDCG@10 of up to {self.queries} test queries, among the documents judged for them, by typing errors in a query "
            "(any language whose words blanks part)."
        )
        return Measured(about, "errors", self.errors, rows) if rows else None


def misspelt(text: str, number: int, seed: str) -> str:
    """``text`` with ``number`` errors, fewer where it has too few words of `LEAST_LETTERS`; more errors keep those of fewer."""
    draw = random.Random(seed)
    words = text.split(" ")
    for _ in range(number):
        long = [i for i, word in enumerate(words) if len(word) >= LEAST_LETTERS]
        if not long:
            break
        i = draw.choice(long)
        at = draw.randrange(1, len(words[i]) - 2)  # the first letter and the last stay
        word = words[i]
        words[i] = draw.choice(
            [word[:at] + word[at + 1] + word[at] + word[at + 2 :], word[:at] + word[at + 1 :], word[: at + 1] + word[at:]]
        )
    return " ".join(words)
