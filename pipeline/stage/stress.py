"""stress: how the final model behaves on long texts, misspelt queries, negation and hidden facts. Measured, not judged.

Reads:  checkpoints/final/, data/curated/
Writes: data/metrics/stress.json

`python -m pipeline stress <model>` measures any other model (`pipeline.stage.of_model`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float

from pipeline.behaviour.subject import Subject
from pipeline.build import build
from pipeline.checkpoint import write_json
from pipeline.corpus.collection import collections
from pipeline.corpus.files import corpora, read_rows
from pipeline.corpus.row import sequences
from pipeline.encoder.encoder import Encoder
from pipeline.encoder.encoding import CPU_TOKENS, by_length
from pipeline.training.prepare import prepare

CURATED, FINAL = Path("data/curated"), Path("checkpoints/final")


def run(cfg: Mapping[str, Any], runtime: Mapping[str, Any], item: str | None, out: Path) -> dict[str, float]:
    measured = stressed(cfg, runtime, FINAL)
    write_json(out / "data/metrics/stress.json", measured)
    return {f"{name}/{row}": values[-1] for name, one in measured.items() for row, values in one["rows"].items()}


def stressed(cfg: Mapping[str, Any], runtime: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    """What each behaviour of section `stress` measures on the model in ``directory``, by name; printed too."""
    prepare(runtime, cfg["seed"])
    subject = _subject(Encoder.load(directory), runtime["batch_tokens"], cfg["seed"])
    measured: dict[str, Any] = {}
    for name, node in sorted(cfg["stress"]["behaviours"].items()):
        found = build(node).measure(subject) if node is not None else None
        if found is not None:
            measured[name] = asdict(found)
            print(f"{name}: {found.axis} {found.at}: {found.rows}")
    return measured


def _subject(encoder: Encoder, batch_tokens: int, seed: int) -> Subject:
    def encode(texts: Sequence[str], side: str, task: str, *, max_length_tokens: int | None = None) -> Float[np.ndarray, "B D"]:
        cut = max_length_tokens or encoder.max_length_tokens
        return encoder.encode(
            texts, max_length_tokens=cut, batch_tokens=batch_tokens, title=f"{task} {side}", task=task, side=side, unit=True
        )

    return Subject(
        encode=encode,
        tokens=lambda texts, side, task: token_vectors(encoder, texts, side, task),
        count=encoder.num_tokens,
        max_length_tokens=encoder.max_length_tokens,
        collections=[c for corpus in corpora(CURATED) for c in collections(CURATED, corpus, "test")],
        seed=seed,
        train=lambda: sequences(row for _, row in read_rows(CURATED, "train")),
    )


@torch.inference_mode()
def token_vectors(encoder: Encoder, texts: Sequence[str], side: str, task: str) -> list[Float[np.ndarray, "L D"]]:
    """A unit vector of each token that the model reads, out of its last layer; special tokens and prompt too."""
    encoder.eval()
    device = next(encoder.parameters()).device
    ids = encoder.token_ids(texts, encoder.max_length_tokens, task=task, side=side)
    found: dict[int, np.ndarray] = {}
    for batch in by_length(ids, CPU_TOKENS):
        input_ids, mask = encoder.padded([ids[i] for i in batch])
        hidden, _ = encoder.tokens(input_ids.to(device), mask.to(device))
        vectors = F.normalize(hidden.float(), dim=-1).cpu().numpy()
        found |= {i: vectors[row, : len(ids[i])] for row, i in enumerate(batch)}
    return [found[i] for i in range(len(ids))]
