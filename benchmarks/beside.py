"""sentence-transformers' own trainer on the rows that a run was trained on, at equal minutes, scored by the same evaluators.

    cd <a finished run> && python <here>/beside.py retrieval sentence-transformers minutes=10          its defaults
    cd <a finished run> && python <here>/beside.py retrieval sentence-transformers tuned minutes=10    what its documentation advises

The first word is the task, of pairs; its train rows of data/curated are learned from the backbone as it came (checkpoints/backbone), by
`MultipleNegativesRankingLoss` (graded pairs: `CoSENTLoss`). The steps that fit the minutes follow from five that are timed. With
`cpu_minutes=` minutes are the processor's, which a busy machine changes little. Written:
outputs/beside/<name>, the model, and outputs/beside/<name>.json, its test scores beside those of the run's own models.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import CoSENTLoss, MultipleNegativesRankingLoss
from transformers import TrainerCallback

from pipeline.corpus.classmates import paired
from pipeline.corpus.files import read_rows
from pipeline.corpus.row import teaches
from pipeline.stage import evaluate

CURATED, PLACE, TIMED = Path("data/curated"), Path("outputs/beside"), 5
ARMS: dict[str, dict[str, Any]] = {
    "defaults": {"per_device_train_batch_size": 8, "learning_rate": 5e-5, "warmup_ratio": 0.0},
    "tuned": {
        "per_device_train_batch_size": 32, "learning_rate": 5e-5, "warmup_ratio": 0.1, "batch_sampler": "no_duplicates",
    },
}  # fmt: skip


class Clock(TrainerCallback):
    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.ends: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.ends.append(self.now())


def trained(task: str, settings: dict[str, Any], steps: int, clock: Clock) -> SentenceTransformer:
    model = SentenceTransformer("checkpoints/backbone")
    rows = paired([row for _, row in read_rows(CURATED, "train", [task]) if teaches(row)], task)
    graded = rows[0].score is not None and any(row.score != rows[0].score for row in rows)
    columns: dict[str, Any] = {"anchor": [row.query for row in rows], "positive": [row.document for row in rows]}
    if graded:
        top = max(row.score or 0.0 for row in rows)
        columns["score"] = [(row.score or 0.0) / top for row in rows]
    loss = CoSENTLoss(model) if graded else MultipleNegativesRankingLoss(model)
    asked = SentenceTransformerTrainingArguments(
        output_dir=str(PLACE / "trainer"), max_steps=steps, seed=0, report_to=[], save_strategy="no", logging_steps=50, use_cpu=True,
        **settings,
    )  # fmt: skip
    trainer = SentenceTransformerTrainer(
        model=model, args=asked, train_dataset=Dataset.from_dict(columns), loss=loss, callbacks=[clock]
    )
    trainer.train()
    return model


def scored(directory: Path, name: str) -> dict[str, Any]:
    """Its records on the test rows, by the run's own evaluators."""
    config = yaml.safe_load(Path("data/config.yaml").read_text(encoding="utf-8"))
    config["models"] = {name: str(directory)}
    evaluate.run(config, config["runtime"], name, PLACE / "evaluated")
    return json.loads((PLACE / f"evaluated/data/metrics/evaluate/{name}.json").read_text(encoding="utf-8"))["test"]


def main() -> None:
    words = [word for word in sys.argv[1:] if "=" not in word]
    given = dict(word.split("=") for word in sys.argv[1:] if "=" in word)
    if not words or not {"minutes", "cpu_minutes"} & set(given):
        sys.exit(__doc__)
    minutes = float(given.get("minutes") or given["cpu_minutes"])
    now = time.monotonic if "minutes" in given else time.process_time
    task, arm = words[0], words[2] if len(words) > 2 else "defaults"
    clock = Clock(now)
    trained(task, ARMS[arm], TIMED + 1, clock)
    each = (clock.ends[-1] - clock.ends[0]) / TIMED
    steps = max(1, int(60 * minutes / each))
    start = now()
    model = trained(task, ARMS[arm], steps, Clock(now))
    took = (now() - start) / 60
    name = f"sentence_transformers_{arm}"
    model.save(str(PLACE / name))
    found = {"minutes": took, "steps": steps, **ARMS[arm], "test": scored(PLACE / name, name)}
    own = {
        file.stem: json.loads(file.read_text(encoding="utf-8"))["test"] for file in Path("data/metrics/evaluate").glob("*.json")
    }
    (PLACE / f"{name}.json").write_text(json.dumps(found | {"beside": own}, indent=1, default=str) + "\n", encoding="utf-8")
    for label, record in found["test"].items():
        beside = ", ".join(f"{other} {scores[label]['value']:.4f}" for other, scores in own.items() if label in scores)
        print(f"{name} {label}: {record['value']:.4f} ({took:.1f} minutes, {steps} steps); {beside}")


if __name__ == "__main__":
    main()
