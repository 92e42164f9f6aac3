"""Large batches and encoding on one GPU, beside sentence-transformers.

    python benchmarks/gpu.py train [rounds]     a step of 2,048 pairs, bf16: seconds and peak memory
    python benchmarks/gpu.py memory             peak of a step of 512 to 32,768 pairs
    python benchmarks/gpu.py encode [rounds]    8,192 texts, fp32

A BERT of the base size (12 layers of width 768) with weights as drawn: speed does not hang on their values. Texts are of random words,
their lengths skewed as those of passages are. Ours takes chunks of `TOKENS` tokens; theirs (CachedMultipleNegativesRankingLoss) so
many texts at a time. Rounds are interleaved; of each the median step after two to warm up; medians over rounds.
"""

import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
import yaml

from pipeline.build import build
from pipeline.corpus.batches import Feed
from pipeline.corpus.row import Row
from pipeline.encoder.encoder import Encoder
from pipeline.encoder.scratch import ScratchBackbone
from pipeline.training.contrastive import ContrastiveModule
from pipeline.training.data import TrainingData
from pipeline.training.fit import _of_one_text
from pipeline.training.optimizer import adamw
from pipeline.training.reading import Reader
from pipeline.training.trainer import without_gradient

PAIRS, STEPS, WARM = 2048, 6, 2
TOKENS, LIMIT = 65_536, 256
TASK = "retrieval"
THEIR_TEXTS = (64, 256, 1024)
DRAW = random.Random(0)
WORDS = ["".join(DRAW.choices("abcdefghijklmnopqrstuvwxyz", k=DRAW.randint(3, 7))) for _ in range(3000)]


def text(median_words: float) -> str:
    return " ".join(DRAW.choices(WORDS, k=min(200, int(DRAW.lognormvariate(np.log(median_words), 0.8)) + 2)))


def made(folder: str) -> Path:
    torch.manual_seed(0)
    scratch = ScratchBackbone(vocabulary=8192, width=768, layers=12, heads=12, intermediate=3072, dropout=0.1)
    model = scratch([" ".join(WORDS)] * 2)
    path = Path(folder) / "model"
    Encoder(model, max_length_tokens=LIMIT).save(path)
    return path


class Steps(pl.Callback):
    """Seconds at the end of each step, the device's work included."""

    def __init__(self) -> None:
        self.at: list[float] = []

    def tick(self) -> None:
        torch.cuda.synchronize()
        self.at.append(time.perf_counter())

    def on_train_batch_end(self, *_: Any) -> None:
        self.tick()

    def found(self) -> dict[str, float]:
        seconds = statistics.median(b - a for a, b in zip(self.at[WARM - 1 :], self.at[WARM:], strict=False))
        return {"seconds": seconds, "peak_gb": torch.cuda.max_memory_allocated() / 1e9}


def ours(path: Path, pairs: list[tuple[str, str]], *, size: int, kept_tokens: int, steps: int) -> dict[str, float]:
    encoder = Encoder.load(path)
    objective = build(yaml.safe_load(Path("conf/objective/infonce.yaml").read_text(encoding="utf-8")))
    rows = [Row(TASK, f"q{i}", q, f"d{i}", d) for i, (q, d) in enumerate(pairs)]
    data = TrainingData(
        {TASK: rows}, {}, Reader(encoder, LIMIT), known=[], shuffled=[], feeds={TASK: Feed(size, 1, 1.0, True)}, num_negatives={TASK: 0},
        steps=steps, seed=0, mixed=False, by_length=False, teachers={}, views={},
    )  # fmt: skip
    without_gradient(encoder, lambda: _of_one_text(encoder))
    module = ContrastiveModule(
        encoder, {TASK: objective},
        lambda *w: adamw(*w, lr=2e-5, weight_decay=0.01, betas=[0.9, 0.999], layer_decay=1.0),
        negatives={TASK: "gathered"}, steps=steps, warmup_steps=0, seed=0, chunk_tokens=TOKENS, kept_tokens=kept_tokens,
        similarities_at_once=2**24, return_memory=False, on_nonfinite="stop",
    )  # fmt: skip
    clock = Steps()
    trainer = pl.Trainer(
        accelerator="gpu", devices=1, precision="bf16-mixed", max_steps=steps, max_epochs=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False, callbacks=[clock],
    )  # fmt: skip
    torch.cuda.reset_peak_memory_stats()
    trainer.fit(module, data)
    return clock.found()


def theirs(path: Path, pairs: list[tuple[str, str]], *, size: int, texts: int) -> dict[str, float]:
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.losses import CachedMultipleNegativesRankingLoss
    from transformers import TrainerCallback

    clock = Steps()

    class Tick(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.tick()

    model = SentenceTransformer(str(path), device="cuda")
    rows = Dataset.from_dict({"anchor": [q for q, _ in pairs], "positive": [d for _, d in pairs]})
    loss = CachedMultipleNegativesRankingLoss(model, scale=20.0, mini_batch_size=texts)
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(path.parent / "out"), per_device_train_batch_size=size, max_steps=STEPS, learning_rate=2e-5, weight_decay=0.01,
        save_strategy="no", report_to=[], bf16=True, disable_tqdm=True, logging_strategy="no", seed=0,
    )  # fmt: skip
    trainer = SentenceTransformerTrainer(model=model, args=arguments, train_dataset=rows, loss=loss, callbacks=[Tick()])
    torch.cuda.reset_peak_memory_stats()
    trainer.train()
    return clock.found()


def train(path: Path, rounds: int) -> None:
    pairs = [(f"{i} {text(8)}", f"{i} {text(60)}") for i in range(PAIRS * STEPS)]
    count = Encoder.load(path).token_ids
    tokens = sum(len(ids) for side in zip(*pairs, strict=True) for ids in count(side, LIMIT)) / STEPS
    runs: dict[str, Any] = {
        f"ours, memory for {kept:,} tokens": lambda kept=kept: ours(path, pairs, size=PAIRS, kept_tokens=kept, steps=STEPS)
        for kept in (0, TOKENS, 10**9)
    }
    runs |= {f"theirs, {n} texts": lambda n=n: theirs(path, pairs, size=PAIRS, texts=n) for n in THEIR_TEXTS}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            found[name].append(run())
            torch.cuda.empty_cache()
            print(name, found[name][-1], flush=True)
    print(f"{PAIRS} pairs, {tokens:,.0f} tokens a step; medians of {rounds} rounds")
    for name, each in found.items():
        seconds, peak = (statistics.median(one[key] for one in each) for key in ("seconds", "peak_gb"))
        print(f"{name:34} {seconds:7.3f} s a step, {tokens / seconds:9,.0f} tokens/s, peak {peak:5.1f} GB", flush=True)


def memory(path: Path) -> None:
    for size in (512, 2048, 8192, 32768):
        pairs = [(f"{i} {text(8)}", f"{i} {text(60)}") for i in range(size * 3)]
        found = ours(path, pairs, size=size, kept_tokens=0, steps=3)
        print(f"{size:6} pairs: {found['seconds']:.2f} s a step, peak {found['peak_gb']:.2f} GB", flush=True)


def encode(path: Path, rounds: int) -> None:
    from sentence_transformers import SentenceTransformer

    texts = [text(25) for _ in range(8192)]
    encoder, peer = Encoder.load(path).to("cuda"), SentenceTransformer(str(path), device="cuda")
    runs: dict[str, Any] = {
        f"ours, {n:,} tokens": lambda n=n: encoder.encode(texts, max_length_tokens=LIMIT, batch_tokens=n, title="")
        for n in (8192, TOKENS)
    }
    runs |= {f"theirs, {n} texts": lambda n=n: peer.encode(texts, batch_size=n, show_progress_bar=False) for n in (32, 256)}
    taken: dict[str, list[float]] = {name: [] for name in runs}
    vectors = {}
    for k in range(rounds + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            vectors[name] = run()
            taken[name] += [time.perf_counter() - start] if k else []  # the first is to warm up
    for name, each in taken.items():
        seconds = statistics.median(each)
        farthest = np.abs(vectors[name] - next(iter(vectors.values()))).max()
        print(f"{name:20} {seconds:.2f} s, {len(texts) / seconds:,.0f} texts/s, farthest entry {farthest:.1e}", flush=True)


if __name__ == "__main__":
    torch.set_float32_matmul_precision("high")
    num = int(sys.argv[2]) if sys.argv[2:] else 3
    with tempfile.TemporaryDirectory() as place:
        model = made(place)
        {"train": lambda: train(model, num), "memory": lambda: memory(model), "encode": lambda: encode(model, num)}[
            sys.argv[1]
        ]()
