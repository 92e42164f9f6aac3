"""What a run left out, cut or did not learn: lines that stage final prints, and that stand in the card and on the page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.checkpoint import SEEN
from pipeline.corpus.collection import Collection
from pipeline.curation.card import vanished
from pipeline.delta import UNMOVED
from pipeline.encoder.encoder import Encoder
from pipeline.manifest import read_json
from pipeline.task import KINDS


def notices(
    cfg: Mapping[str, Any],
    cards: Mapping[str, Mapping[str, Any]],
    scored: Sequence[str],
    encoder: Encoder,
    test: Sequence[Collection],
) -> list[str]:
    """``cards``: by corpus, its `card.json`. ``scored``: labels of the collections that have a test score. ``encoder`` is the final
    model, ``test`` what it was scored on."""
    return [
        *_left_out(cfg["left_out"]),
        *(line for name, card in sorted(cards.items()) for line in _rows_lost(name, card)),
        *(line for name, card in sorted(cards.items()) for line in _not_scored(name, card, cfg["tasks"], scored)),
        *(line for name, place in sorted(cfg["experts"].items()) for line in _training(name, read_json(Path(place) / SEEN))),
        *_cut(encoder, test, cfg["evaluate"]["max_length_tokens"]),
    ]


def _left_out(left_out: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Of an expert whose task has no rows, and of what needs it."""
    told = "; ".join(f"{stage} {', '.join(sorted(names))}" for stage, names in sorted(left_out.items()) if names)
    return [f"Left out, since no corpus has rows of a task that it needs: {told}."] if told else []


def _rows_lost(corpus: str, card: Mapping[str, Any]) -> list[str]:
    raw, dropped = card["raw"], card["dropped"]
    if not dropped:
        return []
    reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(dropped.items(), key=lambda pair: (-pair[1], pair[0])))
    unread = "".join(f"; {n} of these: {reason}" for reason, n in raw.get("reasons", {}).items())
    read = sum(raw["rows"].values()) + raw["rejected"]
    number = sum(dropped.values())
    return [f"{corpus}: {number} of {read} records {'was' if number == 1 else 'were'} dropped ({reasons}{unread})."]


def _not_scored(
    corpus: str, card: Mapping[str, Any], tasks: Mapping[str, Mapping[str, Any]], scored: Sequence[str]
) -> list[str]:
    """Tasks of the corpus that vanished, or of which no test row gave a score."""
    raw = card["raw"]["rows"]
    lines = [f"{corpus}: none of the {raw[task]} rows of task {task} is left." for task in vanished(card)]
    for task in raw:
        kept, kind = card["kept"].get(f"test/{task}", 0), KINDS[tasks[task]["kind"]] if task in tasks else None
        if kept and kind and kind.evaluated and f"{task}/{corpus}" not in scored:
            reasons = {"ranked": "none is judged relevant", "labelled": "none is of a class that has train texts"}
            searched = kind.shape == "ranked" or kind.classmates
            why = reasons[kind.shape] if searched else "the final model does not answer them"
            lines.append(f"{corpus}: the {kept} test rows of task {task} give no score, as {why}.")
    return lines


def _training(expert: str, seen: Mapping[str, Any]) -> list[str]:
    """``seen`` is empty for an expert that was not trained on rows of tasks."""
    lines = []
    for task, one in sorted(seen.get("tasks", {}).items()):
        if (never := one["rows"] - one["seen"]) > 0:
            lines.append(f"Training {expert}: {never} of {one['rows']} rows of task {task} were never seen.")
        if one["full"]:
            lines.append(f"Training {expert}, task {task}: {_full(one['full'], one['texts'], one['tokens'])}.")
    if seen and seen["moved"] <= UNMOVED:
        lines.append(f"Training {expert}: the weights are equal to the base's, or nearly: nothing was learned.")
    return lines


def _cut(encoder: Encoder, test: Sequence[Collection], limit: int | None) -> list[str]:
    """How many texts of the test rows the model read to its limit."""
    tokens = min(filter(None, (limit, encoder.max_length_tokens)))
    lengths = []
    for c in test:
        texts, side = c.texts()
        others = sorted(set(c.every_text()) - set(texts)) if texts else []
        for these, of in ((texts, side), (others, "query")):
            lengths += [len(ids) for ids in encoder.token_ids(these, limit, task=c.task, side=of)] if these else []
    full = sum(length >= tokens for length in lengths)
    return [f"Test rows: {_full(full, len(lengths), tokens)}."] if full else []


def _full(full: int, texts: int, tokens: int) -> str:
    return f"{full} of {texts} texts fill all {tokens} tokens, and what is longer was cut"
