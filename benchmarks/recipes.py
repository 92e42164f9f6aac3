"""Do three recipes help? Tasks apart or mixed in a batch, progressive or flat under mismatched pairs, hard negatives or none.

    TRIBUTARY_DATA=<folder> python benchmarks/recipes.py run <folder for results> [steps]     a cell already there is not run again
    python benchmarks/recipes.py table <folder for results>

Encoder `scratch`, one thread. Retrieval: questions of MedQuAD, its known-item questions as test, among their answers and 2,000 others;
similarity: STS-B, its test. Seeds 0, 1, 2 move weights, batches and mismatches. Arms of a comparison have equal steps, rows and queries a
batch. Intervals are those of the mean over seeds of the difference between arms (Student's t, 95 %): they draw the training, and
hold the test items fixed, so they speak of these items alone.
``auc``: how often the weight of a clean pair lies above that of a mismatched one, on 2,048 training rows after the training.
"""

import copy
import json
import os
import random
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

SEEDS = (0, 1, 2)
ARMS = {
    "tasks": ("mixed", "single"),
    "mismatched": ("none", "query_focal", "curricular"),
    "negatives": ("in batch", "hard"),
}
BATCH, NOISE, HARD, LENGTH, DISTRACTORS = 64, 0.2, 3, 32, 2000
SEARCH = {"max_length_tokens": LENGTH, "batch_tokens": 8192}


def composed(*overrides: str) -> dict[str, Any]:
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import OmegaConf

    from pipeline.params import _register_resolvers

    _register_resolvers()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(Path("conf").absolute()), version_base="1.3"):
        whole = compose("config", overrides=["encoder=scratch", *overrides])
    return OmegaConf.to_container(whole, resolve=True)  # pyright: ignore[reportReturnType]


def data() -> tuple[dict[str, list[Any]], Any, list[Any]]:
    """Training rows by task, the retrieval collection, graded test rows."""
    from pipeline.build import build
    from pipeline.corpus.collection import Judged
    from pipeline.corpus.row import Row

    root = os.environ["TRIBUTARY_DATA"]
    mirrors = {name: composed(f"+corpus={name}")["corpus"]["mirror"] | {"root": root} for name in ("medquad", "stsb")}
    mirrors["medquad"]["splits"] = {"train": "train", "test": "test_knownitem"}
    medquad = [row for row in build(mirrors["medquad"]).read() if isinstance(row, Row)]
    stsb = [row for row in build(mirrors["stsb"]).read() if isinstance(row, Row)]
    test = [row for row in medquad if row.split == "test"]
    shown = {row.document for row in test} | {row.query for row in test}
    train = [row for row in medquad if row.split == "train" and row.document not in shown and row.query not in shown]
    by_answer = {row.document: row for row in train}  # of repeated answers one
    train = list({row.query: row for row in by_answer.values()}.values())
    others = random.Random(0).sample(sorted({row.document_id: row.document for row in train}.items()), DISTRACTORS)
    collection = Judged(
        "medquad", "retrieval", {row.query_id: row.query for row in test},
        {row.document_id: row.document for row in test} | dict(others), {row.query_id: {} for row in test},
    )  # fmt: skip
    for row in test:
        collection.judgements[row.query_id][row.document_id] = 1
    graded = {split: [row for row in stsb if row.split == split] for split in ("train", "test")}
    return {"retrieval": train, "sts": graded["train"]}, collection, graded["test"]


def mismatched(rows: list[Any], seed: int) -> tuple[list[Any], list[bool]]:
    """``NOISE`` of the rows with their documents dealt anew among them, and which."""
    draw = random.Random(f"{seed} noise")
    chosen = sorted(draw.sample(range(len(rows)), int(NOISE * len(rows))))
    found, noisy = list(rows), [False] * len(rows)
    for i, j in zip(chosen, chosen[1:] + chosen[:1], strict=True):
        found[i] = replace(rows[i], document=rows[j].document, document_id=rows[j].document_id)
        noisy[i] = True
    order = list(range(len(rows)))
    draw.shuffle(order)
    return [found[i] for i in order], [noisy[i] for i in order]


def fresh(seed: int, texts: list[str]) -> Any:
    from pipeline.build import build
    from pipeline.encoder.encoder import Encoder
    from pipeline.training.prepare import prepare

    config = composed()
    prepare({"threads": 1}, seed)
    settings = config["encoder"]
    model = build(settings["backbone"])(texts)
    return Encoder(model, pooling=settings["pooling"], max_length_tokens=settings["max_length_tokens"])


def trained(encoder: Any, rows: dict[str, list[Any]], training: dict[str, Any], seed: int, negatives: Any = None) -> Any:
    from pipeline.training.fit import fit

    runtime = composed()["runtime"] | {"accelerator": "cpu", "threads": 1, "tracker": "disabled"}
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            known = {"train": [row for of_task in rows.values() for row in of_task], "validation": []}
            fit(
                encoder, rows, negatives or {}, training, runtime, seed=seed, name="arm", inputs={}, held_out={}, known=known,
                snapshots=None,
            )  # fmt: skip
        finally:
            os.chdir(here)
    return encoder


def settings(expert: str, steps: int, **changes: Any) -> dict[str, Any]:
    training = composed(f"expert={expert}")["train"] | {"steps_per_task": steps, "max_length_tokens": LENGTH} | changes
    training["optimizer"]["lr"] = 1e-3  # as the pretraining of this encoder
    for task in training["tasks"].values():
        task |= {"batch_size": BATCH, "num_negatives": 0}
    return training


def objective(name: str, **changes: Any) -> dict[str, Any]:
    return composed(f"+objective={name}")["objective"] | changes


def scores(encoder: Any, collection: Any, graded: list[Any]) -> dict[str, float]:
    from pipeline.corpus.collection import Pairs
    from pipeline.evaluator.retrieval import Retrieval
    from pipeline.evaluator.sts import Sts

    def encode(texts: Any, side: str, task: str) -> np.ndarray:
        return encoder.encode(texts, **SEARCH, title=side, task=task, side=side)

    pairs = [(str(i), row.query, row.document, row.score) for i, row in enumerate(graded)]
    found = {"ndcg@10": Retrieval(depth=100).evaluate(encode, collection)[0]["ndcg@10"]}
    return found | {"spearman": Sts().evaluate(encode, Pairs("stsb", "sts", pairs=pairs))[0]["spearman"]}


def auc(encoder: Any, objective: Any, rows: list[Any], noisy: list[bool], kind: str) -> float:
    """Of the weights that the objective gives the queries, in batches; NaN where a query has no weight of its own."""
    import torch
    from sklearn.metrics import roc_auc_score

    from pipeline.objective.infonce import query_costs
    from pipeline.objective.progressive import focal_importance
    from pipeline.tensors import EmbeddedPairs
    from pipeline.training.reading import text_hash

    if kind != "query_focal":
        return float("nan")
    weight: list[float] = []
    for first in range(0, 2048, BATCH):
        part = rows[first : first + BATCH]
        texts = [row.query for row in part], [row.document for row in part]
        query, document = (torch.from_numpy(encoder.encode(side, **SEARCH, title="")) for side in texts)
        own = torch.arange(len(part))
        pairs = EmbeddedPairs(
            query, document, own[:, None], own.new_empty(len(part), 0), text_hash(texts[0]), text_hash(texts[1]), own.new_empty(0, 2),
            slice(0, len(part)),
        )  # fmt: skip
        cost = query_costs(pairs, pairs.anchors, temperature=objective["temperature"], symmetric=False, same_side=())
        limits = {
            "gamma": objective["max_gamma"],
            "epsilon": objective["epsilon"],
            "max_importance": objective["max_importance"],
        }
        weight += focal_importance(cost, **limits).tolist()
    return float(roc_auc_score([not bad for bad in noisy[:2048]], weight))


def cells(comparison: str, seed: int, steps: int) -> dict[str, dict[str, float]]:
    """Scores by arm."""
    from pipeline.training.mined import by_query, mined

    rows, collection, graded = data()
    start = fresh(seed, sorted({text for of in rows.values() for row in of for text in (row.query, row.document)}))
    found: dict[str, dict[str, float]] = {}
    if comparison == "tasks":
        for arm in ARMS[comparison]:
            training = settings("joint", steps, batches=arm)
            training["tasks"]["retrieval"]["objective"] = objective("codiemb_ir", temperature=0.05)
            training["tasks"]["sts"]["objective"] = objective("codiemb_sts", highest_score=5.0)
            found[arm] = scores(trained(copy.deepcopy(start), rows, training, seed), collection, graded)
    if comparison == "mismatched":
        noised, noisy = mismatched(rows["retrieval"], seed)
        for kind in ARMS[comparison]:
            training = settings("retrieval", steps)
            asked = training["tasks"]["retrieval"]["objective"] = objective("progressive", kind=kind)
            encoder = trained(copy.deepcopy(start), {"retrieval": noised}, training, seed)
            found[kind] = scores(encoder, collection, graded) | {"auc": auc(encoder, asked, noised, noisy, kind)}
    if comparison == "negatives":
        base = trained(start, {"retrieval": rows["retrieval"]}, settings("retrieval", steps), seed)
        section = composed()["mine"] | {"max_queries": 4000, "max_length_tokens": LENGTH}
        section["miner"] |= {
            "max_ratio": None,
            "first_rank": 10,
            "depth": 40,
        }  # after so few steps all scores are near each other
        mined_for = mined(base, rows["retrieval"], section, {"batch_tokens": 8192}, title="medquad")
        known = by_query(mined_for).get("retrieval", {})
        given = {"retrieval": [row for row in rows["retrieval"] if len(known.get(row.query, ())) >= HARD]}
        for arm in ARMS[comparison]:
            training = settings("retrieval", steps)
            training["tasks"]["retrieval"]["num_negatives"] = HARD if arm == "hard" else 0
            negatives = {"retrieval": known} if arm == "hard" else None
            found[arm] = scores(trained(copy.deepcopy(base), given, training, seed, negatives), collection, graded)
        found["rows with negatives"] = {"count": float(len(given["retrieval"]))}
    return found


def run(folder: Path, steps: int) -> None:
    from pipeline.checkpoint import write_json

    for seed in SEEDS:
        for comparison in ARMS:
            file = folder / f"{comparison}-{steps}-{seed}.json"
            if not file.is_file():
                found = cells(comparison, seed, steps)
                clean = {arm: {k: v for k, v in values.items() if v == v} for arm, values in found.items()}  # no NaN in JSON
                write_json(file, clean)
                print(comparison, seed, json.dumps(clean), flush=True)


def table(folder: Path) -> None:
    from over_seeds import over_seeds

    for comparison, arms in ARMS.items():
        files = sorted(folder.glob(f"{comparison}-*.json"))
        runs = [json.loads(file.read_text(encoding="utf-8")) for file in files]
        print(f"\n{comparison}: {len(runs)} seeds ({', '.join(file.stem for file in files)})")
        for metric in ("ndcg@10", "spearman") if comparison == "tasks" else ("ndcg@10",):
            values = {arm: np.array([one[arm][metric] for one in runs]) for arm in arms}
            for arm in arms:
                line = f"  {metric:9} {arm:12} {values[arm].mean():.4f}"
                if arm != arms[0] and len(runs) > 1:
                    gain = values[arm] - values[arms[0]]
                    half = gain.mean() - over_seeds(gain, 0.95).low
                    each = " ".join(f"{value:+.4f}" for value in gain)
                    line += f"   minus {arms[0]}: {gain.mean():+.4f} +- {half:.4f} ({each})"
                print(line)
        for arm in arms:
            found = [one[arm]["auc"] for one in runs if "auc" in one[arm]]
            if found:
                print(f"  auc of the weight, {arm}: {' '.join(f'{value:.3f}' for value in found)}")


if __name__ == "__main__":
    target = Path(sys.argv[2]).absolute()
    if sys.argv[1] == "run":
        import logging

        logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
        run(target, int(sys.argv[3]) if sys.argv[3:] else 40)
    else:
        table(target)
