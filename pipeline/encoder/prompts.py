"""Prompts: what stands before a text, or around it where the prompt holds ``{text}`` ("before {text} after").

A text that is too long is cut, never what stands behind it.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from pipeline.encoder.inputs import NO_LIMIT, modality, tokenized
from pipeline.task import SEARCH

TEXT = "{text}"


def around(prompt: str) -> tuple[str, str]:
    """What stands before a text and what stands behind it."""
    before, _, after = prompt.partition(TEXT)
    return before, after


def exported(texts: Mapping[str, Mapping[str, str]]) -> tuple[dict[str, str | None], list[str]]:
    """The prompts that sentence-transformers can hold, by the names it uses, and the names of those that it cannot: it puts nothing
    behind a text, and half a prompt would be another one."""
    named = {f"{task}_{side}": prompt for task, sides in texts.items() for side, prompt in sides.items()}
    named |= texts.get(SEARCH.name, {})  # as `query` and `document`, which its encode_query and encode_document take
    left_out = sorted(name for name, prompt in named.items() if around(prompt)[1])
    held: dict[str, str | None] = {name: around(prompt)[0] for name, prompt in named.items() if name not in left_out}
    return {"query": "", "document": ""} | held, left_out


def beginnings(texts: Sequence[str], count: Callable[[Sequence[str]], list[int]], limit: int) -> list[str]:
    """The longest beginning of each text of which ``count`` gives at most ``limit`` tokens, prompt and special tokens among them.

    Price: a text that is too long is tokenised once for each halving of its letters.
    """
    cut = list(texts)
    long = [i for i, tokens in enumerate(count(texts)) if tokens > limit]
    low, high = dict.fromkeys(long, 0), {i: len(texts[i]) for i in long}  # so many letters fit; so many do not
    while open_ := [i for i in long if high[i] - low[i] > 1]:
        middle = {i: (low[i] + high[i]) // 2 for i in open_}
        for i, tokens in zip(open_, count([texts[i][: middle[i]] for i in open_]), strict=True):
            (low if tokens <= limit else high)[i] = middle[i]
    for i in long:
        cut[i] = texts[i][: low[i]]
    return cut


def marked(ids: list[int], *, before: int, behind: int, special: set[int]) -> list[int]:
    """``ids`` with those that are not pooled written ``~id``: the first ``before``, and ``behind`` of them in front of the special tokens
    that end the text."""
    end = len(ids)
    while end > before and ids[end - 1] in special:
        end -= 1
    return [~one if place < before or end - behind <= place < end else one for place, one in enumerate(ids)]


def surrounded(
    first: Any, texts: Sequence[str], limit: int, before: str, after: str, side: str | None, *, pooled: bool
) -> list[list[int]]:
    """Ids as `Encoder.token_ids` gives them, of texts between ``before`` and ``after``."""

    def read(some: Sequence[str], behind: str = after) -> tuple[list[list[int]], int | None]:
        return tokenized(first, [f"{text}{behind}" for text in some], NO_LIMIT, before, side)

    def count(some: Sequence[str]) -> list[int]:
        return [len(row) for row in read(some)[0]]

    if isinstance(first, StaticEmbedding):  # which cuts nothing, and has no prompt that is not pooled
        return read(texts)[0]
    whole = f"{before}{TEXT}{after}"
    if (least := count([""])[0]) >= limit:
        raise ValueError(
            f"the prompt {whole!r} takes {least} of {limit} tokens and leaves none for the text; raise max_length_tokens or shorten it"
        )
    cut = beginnings(texts, count, limit)
    ids, length = read(cut)
    if pooled:
        return ids
    if modality(first) != "text" or not hasattr(first, "tokenizer"):
        raise ValueError(
            f"the prompt {whole!r} is not pooled, and what stands behind a text cannot be told from what the model reads around it; set "
            f"encoder.prompts.pooled to true"
        )
    special = set(first.tokenizer.all_special_ids)
    behind = [len(row) - len(plain) for row, plain in zip(ids, read(cut, "")[0], strict=True)]
    return [marked(row, before=length or 0, behind=n, special=special) for row, n in zip(ids, behind, strict=True)]


def tell_unsaid(file: Path, names: Sequence[str]) -> None:
    """A line about prompts that stand in ``file`` alone, as sentence-transformers has no place for them; none without such."""
    if names:
        print(
            f"{file.parent}: the prompts {', '.join(names)} have words behind {TEXT}, which sentence-transformers' files cannot hold: they "
            f"stand in {file.name}, and other libraries read these texts without a prompt"
        )
