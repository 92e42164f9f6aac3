"""How fast, how large and how flat is a large batch?

    python benchmarks/large_batches.py speed [repeats]      against sentence-transformers' trainer with its cached loss
    python benchmarks/large_batches.py memory               peak of one step, batch 256 to 8192; draws docs/large_batches.png
    python benchmarks/large_batches.py objectives           peak of one step of objectives that hold more than a batch, 512 to 4096
    python benchmarks/large_batches.py negatives            one step of 13,334 queries against 80,004 documents

Each measurement is a process of its own. ``speed``: all-MiniLM-L6-v2 on docstrings of the installed packages, whose lengths are
skewed; fp32, AdamW, equal batches and threads; runs interleaved, medians. Tokens are those of the texts, without padding; the clock runs
over the training alone. `sentence-transformers` and `accelerate` must be installed.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

TASK = "retrieval"
PAIRS, STEPS, MINI = 128, 1, 32
TOKENS, KEPT = 768, 768  # of a chunk of ours, with padding, and for which memory is kept; no more memory than theirs
THEIR_TOKENS = (256, 512)  # of theirs, without
STEP_TOKENS = 4096  # both, where the memory of one step is looked at
CONTESTANTS = ("tributary", "theirs", *(f"theirs, {tokens} tokens" for tokens in THEIR_TOKENS))


def speed(repeats: int) -> None:
    found: dict[str, list[dict[str, float]]] = {name: [] for name in CONTESTANTS}
    for _ in range(repeats):
        for name in CONTESTANTS:
            found[name].append(child(__file__, "speed", name))
    middle = {name: {key: statistics.median(r[key] for r in runs) for key in runs[0]} for name, runs in found.items()}
    print(f"{'':20} tokens/s  tokens/CPU-s  peak MB   (medians of {repeats})")
    for name, run in middle.items():
        print(f"{name:20} {run['tokens_per_s']:8.0f} {run['tokens_per_cpu_s']:13.0f} {run['peak_mb']:8.0f}")
    for name in CONTESTANTS[1:]:
        ratio = {key: middle["tributary"][key] / middle[name][key] for key in ("tokens_per_s", "tokens_per_cpu_s")}
        print(f"tributary / {name}: {ratio['tokens_per_s']:.2f} by the clock, {ratio['tokens_per_cpu_s']:.2f} by CPU time")


def memory() -> None:
    sizes = (256, 512, 1024, 2048, 4096, 8192)
    peaks = [child(__file__, "memory", str(size))["peak_mb"] for size in sizes]
    for size, peak in zip(sizes, peaks, strict=True):
        print(f"batch {size:5}: peak {peak:.0f} MB, {100 * (peak / peaks[0] - 1):+.1f} %")
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    plt.figure(figsize=(5, 3))
    plt.plot(sizes, peaks, marker="o")
    plt.xscale("log", base=2)
    plt.ylim(0, None)
    plt.xlabel("pairs in a batch")
    plt.ylabel("peak memory of one step, MB")
    plt.tight_layout()
    plt.savefig("docs/large_batches.png")


def objectives() -> None:
    for name in ("infonce", "queue", "whitened", "metrix"):
        peaks = [child(__file__, "memory", str(size), "0", name)["peak_mb"] for size in (512, 2048, 4096)]
        print(f"{name:12} peaks {', '.join(f'{peak:.0f}' for peak in peaks)} MB, {100 * (peaks[-1] / peaks[0] - 1):+.1f} %")


def negatives() -> None:
    run = child(__file__, "memory", "13334", "5")
    cost = f"{run['seconds']:.0f} s, {run['cpu_s']:.0f} CPU-s, peak {run['peak_mb']:.0f} MB"
    print(f"13334 queries, 80004 documents: {cost}, loss {run['loss']:.3f}")


def child(file: str, *words: str) -> dict[str, float]:
    env = os.environ | {"PYTHONPATH": str(Path.cwd()), "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", file, "child", *words], env=env, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{words} ended with {done.returncode}\n{done.stderr[-3000:]}")
    result = json.loads(done.stdout.splitlines()[-1])
    print(*words, json.dumps(result), flush=True)
    return result


class Clock:
    def __enter__(self) -> "Clock":
        self.wall, self.cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall, self.cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def docstring_pairs(count: int) -> list[tuple[str, str]]:
    """Object's summary and description, spread over the packages."""
    import yaml

    from pipeline.build import build

    settings = yaml.safe_load(Path("conf/source/apidocs.yaml").read_text(encoding="utf-8"))
    source = build(settings | {"packages": {name: version(name) for name in ("networkx", "numpy", "scipy")}, "processes": 1})
    rows = [row for row in source.read() if getattr(row, "task", "") == "retrieval"]
    by_document = {row.document: row for row in rows}.values()
    distinct = list({row.query: (row.query, row.document) for row in by_document}.values())
    return distinct[:: max(1, len(distinct) // count)][:count]


def ours(
    encoder: Any,
    rows: list[Any],
    negatives: dict[str, list[str]],
    *,
    size: int,
    mined: int,
    steps: int,
    limit: int,
    return_memory: bool,
    chunk_tokens: int,
    kept_tokens: int,
    objective: str = "infonce",
    precision: Any = "32-true",
    callbacks: Any = (),
) -> Any:
    import pytorch_lightning as pl
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from pipeline.build import build
    from pipeline.corpus.batches import Feed
    from pipeline.training.contrastive import ContrastiveModule
    from pipeline.training.data import TrainingData
    from pipeline.training.fit import _of_one_text
    from pipeline.training.optimizer import adamw
    from pipeline.training.reading import Reader
    from pipeline.training.trainer import without_gradient

    with initialize_config_dir(str(Path("conf").resolve()), version_base="1.3"):
        node: Any = OmegaConf.to_container(compose(overrides=[f"+objective={objective}"])["objective"], resolve=True)
    loss = build(node)
    loss.begin(width=encoder.width, blocks=encoder.blocks)
    data = TrainingData(
        {TASK: rows}, {TASK: negatives}, Reader(encoder, limit), known=[], shuffled=[], feeds={TASK: Feed(size, 1, 1.0, True)},
        num_negatives={TASK: mined}, steps=steps, seed=0, mixed=False, by_length=False, teachers={}, views={},
    )  # fmt: skip
    without_gradient(encoder, lambda: _of_one_text(encoder))
    module = ContrastiveModule(
        encoder,
        {TASK: loss},
        lambda *weights: adamw(*weights, lr=2e-5, weight_decay=0.01, betas=[0.9, 0.999], layer_decay=1.0),
        negatives={TASK: "gathered"},
        steps=steps,
        warmup_steps=0,
        seed=0,
        chunk_tokens=chunk_tokens,
        kept_tokens=kept_tokens,
        similarities_at_once=2**20,
        return_memory=return_memory,
        on_nonfinite="stop",
    )
    trainer = pl.Trainer(
        accelerator="cpu", devices=1, max_steps=steps, max_epochs=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False, gradient_clip_val=1.0,
        precision=precision, callbacks=list(callbacks),
    )  # fmt: skip
    with Clock() as clock:
        trainer.fit(module, data)
    return clock, float(trainer.callback_metrics["loss"])


def _speed(name: str) -> dict[str, float]:
    import torch
    import yaml

    from pipeline.build import build
    from pipeline.corpus.row import Row
    from pipeline.encoder.encoder import Encoder

    torch.set_num_threads(int(os.environ.get("THREADS", "2")))
    settings = yaml.safe_load(Path("conf/encoder/minilm.yaml").read_text(encoding="utf-8"))["encoder"]
    model = build(settings["backbone"])([])
    encoder = Encoder(model, max_length_tokens=256)
    pairs = docstring_pairs(PAIRS * STEPS)
    tokens = sum(len(ids) for side in zip(*pairs, strict=True) for ids in encoder.token_ids(side, 256))
    if name == "tributary":
        rows = [Row(TASK, f"q{i}", q, f"d{i}", d) for i, (q, d) in enumerate(pairs)]
        clock, _ = ours(
            encoder,
            rows,
            {},
            size=PAIRS,
            mined=0,
            steps=STEPS,
            limit=256,
            return_memory=False,
            chunk_tokens=TOKENS,
            kept_tokens=KEPT,
        )
    else:
        with tempfile.TemporaryDirectory() as folder:
            encoder.save(Path(folder) / "model")
            clock = _theirs(folder, pairs, tokens=int(name.split()[1]) if "tokens" in name else None)
    return {
        "tokens_per_s": tokens / clock.wall,
        "tokens_per_cpu_s": tokens / clock.cpu,
        "peak_mb": peak_mb(),
        "tokens": tokens,
    }


def _theirs(folder: str, pairs: list[tuple[str, str]], *, tokens: int | None) -> Clock:
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.losses import CachedMultipleNegativesRankingLoss

    model = SentenceTransformer(f"{folder}/model", device="cpu")
    rows = Dataset.from_dict({"anchor": [q for q, _ in pairs], "positive": [d for _, d in pairs]})
    budget = {"mini_batch_num_tokens": tokens} if tokens else {"mini_batch_size": MINI}
    loss = CachedMultipleNegativesRankingLoss(model, scale=20.0, **budget)
    arguments = SentenceTransformerTrainingArguments(
        output_dir=folder, per_device_train_batch_size=PAIRS, max_steps=STEPS, learning_rate=2e-5, weight_decay=0.01, save_strategy="no",
        report_to=[], use_cpu=True, disable_tqdm=True, logging_strategy="no", seed=0,
    )  # fmt: skip
    trainer = SentenceTransformerTrainer(model=model, args=arguments, train_dataset=rows, loss=loss)
    with Clock() as clock:
        trainer.train()
    return clock


def _memory(size: int, mined: int, objective: str) -> dict[str, float]:
    import random

    import torch

    from pipeline.corpus.row import Row
    from pipeline.encoder.encoder import Encoder
    from pipeline.encoder.scratch import ScratchBackbone

    torch.set_num_threads(int(os.environ.get("THREADS", "2")))
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(3, 7))) for _ in range(3000)]

    def text() -> str:
        return " ".join(draw.choices(words, k=min(60, int(draw.lognormvariate(2.0, 0.6)) + 3)))

    torch.manual_seed(0)
    scratch = ScratchBackbone(vocabulary=8192, width=128, layers=2, heads=2, intermediate=512, dropout=0.1)
    model = scratch([" ".join(words)] * 2)
    encoder = Encoder(model, max_length_tokens=128)
    rows = [Row(TASK, f"q{i}", f"{i} {text()}", f"d{i}", f"{i} {text()}") for i in range(size)]
    known = {row.query: [f"{i} {j} {text()}" for j in range(mined)] for i, row in enumerate(rows)} if mined else {}
    clock, loss = ours(
        encoder,
        rows,
        known,
        size=size,
        mined=mined,
        steps=1,
        limit=128,
        return_memory=True,
        chunk_tokens=STEP_TOKENS,
        kept_tokens=STEP_TOKENS,
        objective=objective,
    )
    return {"peak_mb": peak_mb(), "seconds": clock.wall, "cpu_s": clock.cpu, "loss": loss}


if __name__ == "__main__":
    if sys.argv[1] == "child":
        import logging

        logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
        kind, *words = sys.argv[2:]
        mined, objective = (int(words[1]) if words[1:] else 0), (words[2] if words[2:] else "infonce")
        print(json.dumps(_speed(words[0]) if kind == "speed" else _memory(int(words[0]), mined, objective)))
    elif sys.argv[1] == "speed":
        speed(int(sys.argv[2]) if sys.argv[2:] else 3)
    else:
        {"memory": memory, "objectives": objectives, "negatives": negatives}[sys.argv[1]]()
