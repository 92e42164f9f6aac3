"""Many models of one architecture on a sample of each collection, in one process: what several benchmarks of merges share."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from over_seeds import Claim, over_seeds_and_items
from safetensors.torch import load_file

from pipeline.build import build, load
from pipeline.checkpoint import write_json
from pipeline.corpus.collection import Collection, Judged, Pairs, collections
from pipeline.corpus.files import corpora
from pipeline.encoder.encoder import Encoder
from pipeline.evaluator.gate import _counts
from pipeline.evaluator.items import grouped
from pipeline.evaluator.scores import by_kind, identity
from pipeline.metric import interval
from pipeline.task import kind_of

CURATED = Path("data/curated")
LIMITS = {"max_length_tokens": 32, "batch_tokens": 1024}  # as long as what was trained on


@dataclass(frozen=True, slots=True)
class Size:
    """At most so many of a collection. Documents: every judged one of its queries, and others drawn at random up to so many in all."""

    queries: int
    documents: int
    pairs: int


def cut(collection: Collection, size: Size) -> Collection:
    """The same part for every model and seed."""
    draw = random.Random(f"{collection.corpus} {collection.task}")
    if isinstance(collection, Pairs):
        return replace(collection, pairs=draw.sample(collection.pairs, min(size.pairs, len(collection.pairs))))
    if not isinstance(collection, Judged):
        return collection
    queries = sorted(draw.sample(sorted(collection.queries), min(size.queries, len(collection.queries))))
    judged = {d for query in queries for d in collection.judgements[query]}
    others = sorted(set(collection.documents) - judged)
    kept = judged | set(draw.sample(others, max(0, min(len(others), size.documents - len(judged)))))
    return replace(
        collection, queries={q: collection.queries[q] for q in queries},
        documents={d: collection.documents[d] for d in sorted(kept)}, judgements={q: collection.judgements[q] for q in queries},
    )  # fmt: skip


def evaluators() -> dict[str, Any]:
    """By kind, as the workspace's configuration has them."""
    return by_kind({name: build(node) for name, node in load()["evaluate"]["evaluators"].items()})


def evaluate(
    models: Mapping[str, str], splits: Mapping[str, Sequence[str]], sizes: Mapping[str, Size], out: Path
) -> dict[str, dict[str, dict[str, Any]]]:
    """Of each model, by split and ``task/corpus``, what an evaluator compares; kept as ``<model>.json``, and read where it is there.

    In a workspace of the pipeline; ``splits`` by model, ``sizes`` by split.
    """
    torch.set_num_threads(1)
    asked = evaluators()
    held_out = {
        split: [cut(one, size) for corpus in corpora(CURATED) for one in collections(CURATED, corpus, split)]
        for split, size in sizes.items()
    }
    encoder = Encoder.load(Path(next(iter(models.values()))))
    for name, path in models.items():
        if (out / f"{name}.json").is_file():
            continue
        encoder.backbone.load_state_dict(load_file(Path(path) / "model.safetensors"), strict=False)
        encode = _once(encoder)
        found = {
            split: {c.name: identity(c) | grouped(asked[kind_of(c).name].evaluate(encode, c)[1], c) for c in held_out[split]}
            for split in splits[name]
        }
        write_json(out / f"{name}.json", found)
    return {name: json.loads((out / f"{name}.json").read_text(encoding="utf-8")) for name in models}


def _once(encoder: Encoder) -> Any:
    """Encodes each text once."""
    vectors: dict[str, np.ndarray] = {}

    def encode(texts: Sequence[str], side: str, task: str) -> np.ndarray:
        new = [text for text in dict.fromkeys(texts) if text not in vectors]
        if new:
            vectors.update(zip(new, encoder.encode(new, **LIMITS, title=side, task=task, side=side), strict=True))
        return np.stack([vectors[text] for text in texts])

    return encode


def balanced(scores: Mapping[str, Any], task: Mapping[str, str]) -> Any:
    """The mean over tasks of the mean over their collections; ``scores`` and ``task`` by label."""
    tasks = sorted({task[name] for name in scores})
    return np.mean([np.mean([v for n, v in scores.items() if task[n] == one], axis=0) for one in tasks], axis=0)


def drawn(
    asked: Mapping[str, Any], items: Mapping[str, Mapping[str, Any]], resamples: int
) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """By collection: the main score as measured, then of each draw of whole groups; and how many groups there are. The same draws for
    every model that saw these items; the tasks of one corpus are drawn together, as the gate does."""
    corpus = {name: one["corpus"] for name, one in items.items()}
    counts = _counts({name: one["group"] for name, one in items.items()}, corpus, resamples, seed=0)
    found = {}
    for name, one in items.items():
        whole = np.ones((1, len(one["id"])), dtype=np.uint16)
        found[name] = asked[one["kind"]].resampled(one, np.concatenate([whole, counts[name]]))
    return found, {name: len(set(one["group"])) for name, one in items.items()}


def resampled(
    items: Mapping[str, Mapping[str, Any]], split: str, resamples: int = 2000
) -> tuple[dict[str, np.ndarray], int]:  # fmt: skip
    """By model, of what `evaluate` gave: the balanced mean of the main scores as measured, then that of each draw; the fewest groups
    of a collection."""
    asked, found, few = evaluators(), {}, 0
    for model, splits in items.items():
        scores, groups = drawn(asked, splits[split], resamples)
        task = {name: one["task"] for name, one in splits[split].items()}
        found[model], few = balanced(scores, task), min(groups.values())
    return found, few


def claimed(by_seed: np.ndarray, num_items: int, confidence: float = 0.95) -> Claim:
    """Of a difference by training (rows), as measured and then on each draw of items, which are ``num_items`` (or as many groups).

    Of several trainings the interval speaks of further trainings on further items; of one, of further items for this training.
    """
    if len(by_seed) > 1:
        return over_seeds_and_items(by_seed[:, 0].tolist(), by_seed[:, 1:].mean(0), confidence, num_items=num_items)
    value, drawn = float(by_seed[0, 0]), by_seed[0, 1:]
    p = min(1.0, 2 * float(min((drawn <= 0).mean(), (drawn >= 0).mean())))
    return Claim(value, *interval(drawn, confidence, num_items=num_items, ends=(-1.0, 1.0)), p)


def what_varies(num_seeds: int) -> str:
    """What such an interval holds fixed, in words."""
    return "intervals: further trainings on further items" if num_seeds > 1 else "intervals: further items of this one training"
