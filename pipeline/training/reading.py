"""Texts as the encoder reads them, and what is known to belong together as it reads it.

Two texts are one where their token ids are equal, with the prompt and after the cut: letter case, or a difference behind the cut, makes
no other text for an encoder that does not see it.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from pipeline.corpus.classmates import class_of
from pipeline.corpus.row import Row
from pipeline.encoder.encoder import Encoder
from pipeline.task import kind_of

Codes: TypeAlias = Int[np.ndarray, " n"]  # hashes of token ids
_AT_ONCE = 10_000  # texts given to the tokenizer together


class Reader:
    """Token ids and their hashes. A text is tokenised once under each prompt, however often it is asked for, and cut at
    ``max_length_tokens``; None: where the encoder cuts."""

    def __init__(self, encoder: Encoder, max_length_tokens: int | None) -> None:
        self.encoder = encoder
        self.max_length_tokens = max_length_tokens
        self._sides: dict[str, tuple[str, str]] = {}  # by prompt, a task and side that have it
        self._place: dict[str, dict[str, int]] = {}  # by prompt and text, where it stands in the next two
        self._ids: dict[str, list[np.ndarray]] = {}
        self._codes: dict[str, list[int]] = {}

    @property
    def limit(self) -> int:
        """Of a text, in tokens."""
        return min(self.max_length_tokens or self.encoder.max_length_tokens, self.encoder.max_length_tokens)

    def prompt(self, task: str, side: str) -> str:
        found = self.encoder.reading(task, side)
        self._sides.setdefault(found, (task, side))
        return found

    def ids(self, prompt: str, text: str) -> Tensor:
        """Of one text, not padded; ``prompt`` as `prompt` gave it."""
        (place,) = self._read(prompt, [text])
        return torch.from_numpy(self._ids[prompt][place])

    def read_once(self, task: str, side: str, text: str) -> list[int]:
        """The ids of a text that is not met again, and is not kept."""
        return self.encoder.token_ids([text], self.max_length_tokens, task=task, side=side)[0]

    def codes(self, prompt: str, texts: Sequence[str]) -> Codes:
        places = self._read(prompt, texts)
        known = self._codes.get(prompt, [])
        return np.array([known[place] for place in places], dtype=np.int64)

    def lengths(self, task: str, side: str, texts: Sequence[str]) -> list[int]:
        """In tokens, of each different text, after the cut."""
        prompt = self.prompt(task, side)
        return [len(self._ids[prompt][place]) for place in self._read(prompt, list(dict.fromkeys(texts)))]

    def cut(self) -> str:
        """How many of the texts read so far fill the limit, which is where longer ones were cut; empty where none does."""
        limit = self.limit
        lengths = [len(row) for of_prompt in self._ids.values() for row in of_prompt]
        full = sum(length >= limit for length in lengths)
        return f"{full} of {len(lengths)} texts fill all {limit} tokens; what is longer was cut at that" if full else ""

    def _read(self, prompt: str, texts: Sequence[str]) -> list[int]:
        place = self._place.setdefault(prompt, {})
        ids, codes = self._ids.setdefault(prompt, []), self._codes.setdefault(prompt, [])
        new = [text for text in dict.fromkeys(texts) if text not in place]
        task, side = self._sides[prompt]
        for first in range(0, len(new), _AT_ONCE):
            some = new[first : first + _AT_ONCE]
            rows = self.encoder.token_ids(some, self.max_length_tokens, task=task, side=side)
            whole = np.concatenate([np.asarray(row, dtype=np.int32) for row in rows])
            ids += np.split(whole, np.cumsum([len(row) for row in rows])[:-1])
        for text in new:
            place[text] = len(codes)
            codes.append(code_of(ids[len(codes)]))
        return [place[text] for text in texts]


class Known:
    """Pairs of texts that belong together, each both ways round: a query and what answers it, the two texts of a graded pair, or, where
    a class says so, any two of its texts. A class is kept as its texts, not as its pairs."""

    def __init__(self, rows: Iterable[Row], reader: Reader) -> None:
        place: dict[str, int] = {}
        pairs: dict[tuple[int, int], None] = {}
        self.members: dict[tuple[str, str], dict[str, None]] = {}  # by task and class
        for row in rows:
            if kind_of(row).classmates:
                texts = (row.query,) if row.thing is None else (row.query, row.document)
                self.members.setdefault((row.task, class_of(row)), {}).update(dict.fromkeys(texts))
            else:
                pairs[place.setdefault(row.query, len(place)), place.setdefault(row.document, len(place))] = None
        left, right = np.array(list(pairs), dtype=np.int64).reshape(-1, 2).T
        self.texts = list(place)
        self.left, self.right = np.concatenate([left, right]), np.concatenate([right, left])
        self.reader = reader
        self._sorted: dict[str, tuple[Codes, Int[np.ndarray, " E"], Codes]] = {}  # by prompt
        self._classes: dict[str, tuple[list[Codes], dict[int, list[int]]]] = {}  # by prompt

    def partners(self, prompt: str, codes: Codes, other: str) -> tuple[Int[np.ndarray, " n"], Codes]:
        """``(k, code)`` of each text known to belong to the one that ``codes[k]`` is under ``prompt``; its own code is that under
        ``other``."""
        ordered, right, _ = self._by_code(prompt)
        first, last = np.searchsorted(ordered, codes), np.searchsorted(ordered, codes, side="right")
        count = last - first
        owner = np.repeat(np.arange(len(codes)), count)
        within = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
        return owner, self._by_code(other)[2][right[first[owner] + within]]

    def barred(self, texts: Sequence[str], prompt: str, other: str) -> list[set[int]]:
        """By text read under ``prompt``: the codes, under ``other``, of what belongs to it, itself among them."""
        found = [{int(code)} for code in self.reader.codes(other, texts)]
        asked = self.reader.codes(prompt, texts)
        for k, code in zip(*self.partners(prompt, asked, other), strict=True):
            found[k].add(int(code))
        if self.members:
            classes_of, codes = self._by_class(prompt)[1], self._by_class(other)[0]
            for k, code in enumerate(asked.tolist()):
                for one in classes_of.get(code, ()):
                    found[k].update(codes[one].tolist())
        return found

    def among(self, asked: Mapping[str, Sequence[str]]) -> Int[Tensor, "E 2"]:
        """The pairs of codes of a batch, whose texts by prompt are ``asked``; also of one text read under two prompts."""
        present = {prompt: np.unique(self.reader.codes(prompt, texts)) for prompt, texts in asked.items()}
        found = [np.empty((0, 2), dtype=np.int64)]
        for prompt, texts in asked.items():
            for other, codes in present.items():
                owner, partner = self.partners(prompt, present[prompt], other)
                found.append(np.stack([present[prompt][owner], partner], axis=1)[np.isin(partner, codes)])
                found.append(self._classmates(prompt, present[prompt], other, codes))
                if other != prompt:
                    both = np.stack([self.reader.codes(prompt, texts), self.reader.codes(other, texts)], axis=1)
                    found += [pairs := both[np.isin(both[:, 1], codes)], pairs[:, ::-1]]
        return torch.from_numpy(np.unique(np.concatenate(found), axis=0))

    def _classmates(self, prompt: str, codes: Codes, other: str, others: Codes) -> Int[np.ndarray, "E 2"]:
        """Pairs of ``codes`` under ``prompt`` and ``others`` under ``other`` that are of one class."""
        if not self.members:
            return np.empty((0, 2), dtype=np.int64)
        mates: dict[int, list[int]] = {}
        for code in others.tolist():
            for one in self._by_class(other)[1].get(code, ()):
                mates.setdefault(one, []).append(code)
        of_code = self._by_class(prompt)[1]
        found = [(code, mate) for code in codes.tolist() for one in of_code.get(code, ()) for mate in mates.get(one, ())]
        return np.array(found, dtype=np.int64).reshape(-1, 2)

    def _by_class(self, prompt: str) -> tuple[list[Codes], dict[int, list[int]]]:
        """The codes of each class' texts, and the classes of each code."""
        if prompt not in self._classes:
            codes = [np.unique(self.reader.codes(prompt, list(texts))) for texts in self.members.values()]
            classes_of: dict[int, list[int]] = {}
            for one, of_class in enumerate(codes):
                for code in of_class.tolist():
                    classes_of.setdefault(code, []).append(one)
            self._classes[prompt] = codes, classes_of
        return self._classes[prompt]

    def _by_code(self, prompt: str) -> tuple[Codes, Int[np.ndarray, " E"], Codes]:
        """Codes of the left texts, rising, with the right text of each; and the code of every text."""
        if prompt not in self._sorted:
            codes = self.reader.codes(prompt, self.texts)
            order = np.argsort(codes[self.left], kind="stable")
            self._sorted[prompt] = codes[self.left][order], self.right[order], codes
        return self._sorted[prompt]


def code_of(ids: Int[np.ndarray, " L"] | Int[Tensor, " L"]) -> int:
    """Equal numbers for equal token ids."""
    return _hash(np.asarray(ids, dtype=np.int32).tobytes())


def text_hash(texts: Sequence[str]) -> Int[Tensor, " B"]:
    """Equal numbers for equal texts, on every process."""
    return torch.tensor([_hash(text.encode()) for text in texts], dtype=torch.int64)


def _hash(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little", signed=True)
