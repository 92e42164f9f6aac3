"""What claims about trainings share: real rows, a small encoder drawn anew for each seed, arms that differ in one thing, scores by draw.

Retrieval: questions of MedQuAD, its known-item questions as test, among their answers and 2,000 others; similarity: STS-B, its test.
Encoder `scratch`, one thread. A seed moves weights, batches and mismatches; arms have equal steps, rows and queries a batch.
"""

import copy
import os
import random
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from jaxtyping import Float
from omegaconf import OmegaConf

from pipeline.build import build
from pipeline.corpus.collection import Collection, Judged, Pairs
from pipeline.corpus.row import Row, Split
from pipeline.encoder.encoder import Encoder
from pipeline.evaluator.gate import _counts
from pipeline.evaluator.items import grouped
from pipeline.evaluator.retrieval import Retrieval
from pipeline.evaluator.sts import Sts
from pipeline.params import _register_resolvers
from pipeline.training.fit import fit
from pipeline.training.prepare import prepare

CONF = Path(__file__).parents[2] / "conf"
SEEDS, STEPS, BATCH, LENGTH, DISTRACTORS, RESAMPLES = (0, 1, 2), 40, 64, 32, 2000, 1000
SEARCH = {"max_length_tokens": LENGTH, "batch_tokens": 8192}


@dataclass(frozen=True)
class Rows:
    """``train`` by task; ``test``: a collection of each task, by its label."""

    train: dict[str, list[Row]]
    test: dict[str, Collection]


def composed(*overrides: str) -> dict[str, Any]:
    """The catalogue's sections, as Hydra composes them."""
    _register_resolvers()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        whole = compose("config", overrides=["encoder=scratch", *overrides])
    return OmegaConf.to_container(whole, resolve=True)  # pyright: ignore[reportReturnType]


def real_rows(root: str) -> Rows:
    """From the benchmark data below ``root``."""
    mirrors = {name: composed(f"+corpus={name}")["corpus"]["mirror"] | {"root": root} for name in ("medquad", "stsb")}
    mirrors["medquad"]["splits"] = {"train": "train", "test": "test_knownitem"}
    medquad = [row for row in build(mirrors["medquad"]).read() if isinstance(row, Row)]
    stsb = [row for row in build(mirrors["stsb"]).read() if isinstance(row, Row)]
    test = [row for row in medquad if row.split == "test"]
    shown = {text for row in test for text in (row.document, row.query)}
    train = [row for row in medquad if row.split == "train" and not {row.document, row.query} & shown]
    by_answer = {row.document: row for row in train}  # of repeated answers one
    train = list({row.query: row for row in by_answer.values()}.values())
    others = random.Random(0).sample(sorted({row.document_id: row.document for row in train}.items()), DISTRACTORS)
    judged: dict[str, dict[str, int]] = {}
    for row in test:
        judged.setdefault(row.query_id, {})[row.document_id] = 1
    documents = {row.document_id: row.document for row in test} | dict(others)
    medical = Judged("medquad", "retrieval", {row.query_id: row.query for row in test}, documents, judged)
    graded: Any = [(str(i), row.query, row.document, row.score) for i, row in enumerate(r for r in stsb if r.split == "test")]
    return Rows(
        {"retrieval": train, "sts": [row for row in stsb if row.split == "train"]},
        {one.name: one for one in (medical, Pairs("stsb", "sts", pairs=graded))},
    )


def fresh(seed: int, rows: Mapping[str, Sequence[Row]]) -> Encoder:
    """Weights as ``seed`` draws them, a vocabulary of the train rows."""
    prepare({"threads": 1}, seed)
    section = composed()["encoder"]
    texts = sorted({text for of_task in rows.values() for row in of_task for text in (row.query, row.document)})
    return Encoder(
        build(section["backbone"])(texts), pooling=section["pooling"], max_length_tokens=section["max_length_tokens"]
    )


def section(expert: str, steps: int, **changes: Any) -> dict[str, Any]:
    """A training's section with the sizes of these claims."""
    training = composed(f"expert={expert}")["train"] | {"steps_per_task": steps, "max_length_tokens": LENGTH} | changes
    training["optimizer"]["lr"] = 1e-3  # as the pretraining of this encoder
    for task in training["tasks"].values():
        task |= {"batch_size": BATCH, "num_negatives": 0}
    return training


def objective(name: str, **changes: Any) -> dict[str, Any]:
    return composed(f"+objective={name}")["objective"] | changes


def controlled(training: dict[str, Any]) -> dict[str, Any]:
    """The same training on documents that are dealt at random among the rows."""
    return training | {"tasks": {name: task | {"shuffle_documents": True} for name, task in training["tasks"].items()}}


def trained(
    start: Encoder, rows: Mapping[str, list[Row]], training: dict[str, Any], seed: int, negatives: Mapping[str, Any] | None = None
) -> Encoder:  # fmt: skip
    """A copy of ``start``, trained."""
    encoder = copy.deepcopy(start)
    runtime = composed()["runtime"] | {"accelerator": "cpu", "threads": 1, "tracker": "disabled"}
    known: dict[Split, list[Row]] = {"train": [row for of_task in rows.values() for row in of_task], "validation": []}
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            fit(
                encoder, dict(rows), negatives or {}, training, runtime, seed=seed, name="arm", inputs={}, held_out={}, known=known,
                snapshots=None,
            )  # fmt: skip
        finally:
            os.chdir(here)
    return encoder


def scores(encoder: Encoder, test: Mapping[str, Collection]) -> tuple[dict[str, Float[np.ndarray, " R"]], dict[str, int]]:
    """By collection the main score as measured, then on draws of the items, the same for every encoder; and how many groups of items
    there are."""

    def encode(texts: Sequence[str], side: str, task: str) -> np.ndarray:
        return encoder.encode(texts, **SEARCH, title=side, task=task, side=side, unit=True)

    judges = {"medquad": Retrieval(depth=100), "stsb": Sts()}
    found, groups = {}, {}
    for name, collection in test.items():
        judge = judges[collection.corpus]
        items = grouped(judge.evaluate(encode, collection)[1], collection)
        whole = np.ones((1, len(items["id"])), dtype=np.uint16)
        counts = _counts({name: items["group"]}, {name: collection.corpus}, RESAMPLES, seed=0)[name]
        found[name] = judge.resampled(items, np.concatenate([whole, counts]))
        groups[name] = len(set(items["group"]))
    return found, groups


def mismatched(rows: Sequence[Row], seed: int, share: float) -> list[Row]:
    """``share`` of the rows with their documents dealt anew among them."""
    draw = random.Random(f"{seed} noise")
    chosen = sorted(draw.sample(range(len(rows)), int(share * len(rows))))
    found = list(rows)
    for i, j in zip(chosen, chosen[1:] + chosen[:1], strict=True):
        found[i] = replace(rows[i], document=rows[j].document, document_id=rows[j].document_id)
    draw.shuffle(found)
    return found
