"""How fast is an ordinary training on a CPU beside sentence-transformers' plain trainer: whole batches, no cached loss?

    python benchmarks/ordinary.py [repeats] [steps] [pairs:tokens ...]     32:64 64:64 32:256 64:256 unless given

all-MiniLM-L6-v2 on docstrings of the installed packages; equal pairs, AdamW, dropout as the model has it. Ours in float32 and in
`bf16-mixed`, theirs with its defaults (float32) and with `bf16=True`. Each measurement is a process of its own, contestants
interleaved. Of a run the median step counts, less two to warm up; of the runs the median. THREADS: of torch, 2 unless set.
"""

import json
import logging
import os
import statistics
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import large_batches

CASES = ("32:64", "64:64", "32:256", "64:256")
CHUNK, KEPT = 2048, 16384  # the defaults of conf/train.yaml and conf/runtime.yaml
CONTESTANTS = ("ours 32-true", "ours bf16-mixed", "theirs 32-true", "theirs bf16-mixed")
WARM = 2


def main(repeats: int, steps: int, cases: list[str]) -> None:
    for case in cases:
        size, limit = case.split(":")
        found: dict[str, list[dict[str, float]]] = {name: [] for name in CONTESTANTS}
        for _ in range(repeats):
            for name, runs in found.items():
                runs.append(large_batches.child(__file__, *name.split(), size, limit, str(steps)))
        middle = {n: {key: statistics.median(r[key] for r in runs) for key in runs[0]} for n, runs in found.items()}
        for name, run in middle.items():
            ratio = {key: middle["theirs 32-true"][key] / run[key] for key in ("seconds", "cpu_s")}
            print(
                f"{case} {name:18} {run['seconds']:.2f} s and {run['cpu_s']:.2f} CPU-s a step, {run['peak_mb']:.0f} MB, loss "
                f"{run['loss']:.4f}; {ratio['seconds']:.2f} and {ratio['cpu_s']:.2f} times their float32"
            )


class Steps:
    """Seconds and CPU seconds between the ends of steps."""

    def __init__(self) -> None:
        self.ends: list[tuple[float, float]] = []

    def tick(self, *_: Any, **__: Any) -> None:
        self.ends.append((time.perf_counter(), time.process_time()))

    def median(self, which: int) -> float:
        ends = self.ends[WARM - 1 :]
        return statistics.median(b[which] - a[which] for a, b in pairwise(ends))


def _child(who: str, precision: str, size: int, limit: int, steps: int) -> dict[str, float]:
    import torch
    import yaml

    from pipeline.build import build
    from pipeline.encoder.encoder import Encoder

    torch.set_num_threads(int(os.environ.get("THREADS", "2")))
    settings = yaml.safe_load(Path("conf/encoder/minilm.yaml").read_text(encoding="utf-8"))["encoder"]
    encoder = Encoder(build(settings["backbone"])([]), max_length_tokens=limit)
    pairs = large_batches.docstring_pairs(size * steps)
    clock = Steps()
    loss = (_ours if who == "ours" else _theirs)(encoder, pairs, size, limit, steps, precision, clock)
    return {"seconds": clock.median(0), "cpu_s": clock.median(1), "peak_mb": large_batches.peak_mb(), "loss": loss}


def _ours(encoder: Any, pairs: list[tuple[str, str]], size: int, limit: int, steps: int, precision: str, clock: Steps) -> float:
    from pytorch_lightning.callbacks import Callback

    from pipeline.corpus.row import Row

    losses: list[float] = []

    class Tick(Callback):
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            losses.append(float(trainer.callback_metrics["loss"]))
            clock.tick()

    rows = [Row(large_batches.TASK, f"q{i}", q, f"d{i}", d) for i, (q, d) in enumerate(pairs)]
    large_batches.ours(
        encoder, rows, {}, size=size, mined=0, steps=steps, limit=limit, return_memory=False, chunk_tokens=CHUNK, kept_tokens=KEPT,
        precision=precision, callbacks=[Tick()],
    )  # fmt: skip
    return statistics.fmean(losses)


def _theirs(
    encoder: Any, pairs: list[tuple[str, str]], size: int, limit: int, steps: int, precision: str, clock: Steps
) -> float:
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.losses import MultipleNegativesRankingLoss
    from transformers import TrainerCallback

    class Tick(TrainerCallback):
        on_step_end = clock.tick

    with tempfile.TemporaryDirectory() as folder:
        encoder.save(Path(folder) / "model")
        model = SentenceTransformer(f"{folder}/model", device="cpu")
        rows = Dataset.from_dict({"anchor": [q for q, _ in pairs], "positive": [d for _, d in pairs]})
        arguments = SentenceTransformerTrainingArguments(
            output_dir=folder, per_device_train_batch_size=size, max_steps=steps, learning_rate=2e-5, weight_decay=0.01,
            save_strategy="no", report_to=[], use_cpu=True, disable_tqdm=True, logging_strategy="no", seed=0, bf16=precision != "32-true",
        )  # fmt: skip
        loss = MultipleNegativesRankingLoss(model)
        trainer = SentenceTransformerTrainer(model=model, args=arguments, train_dataset=rows, loss=loss, callbacks=[Tick()])
        return trainer.train().training_loss


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
        print(json.dumps(_child(sys.argv[2], sys.argv[3], *(int(word) for word in sys.argv[4:7]))))
    else:
        words = sys.argv[1:]
        main(int(words[0]) if words else 3, int(words[1]) if words[1:] else 30, words[2:] or list(CASES))
