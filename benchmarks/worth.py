"""Is the model worth having? Users' files, the recipe `standard`, and beside it the model off the shelf, BM25, a random split, other tools.

    TRIBUTARY_DATA=<folder> python benchmarks/worth.py run banking77 0 --folder /tmp/worth [--stages random beside outside] [--threads 1]
    python benchmarks/worth.py table                 all results of docs/claims/worth/*.json

A set is a file as a person would bring it; its rows are curated and split once for all seeds, a seed draws weights and batches. Of each
run stands in docs/claims/worth/<set>-<seed>.json: main test scores by item of the model off the shelf, the trained one (by the settings
of `standard` and what `VALUES` says), the one half way back, and what became final. Asked for by `--stages`: `random`, the twin on a
random split; `beside`, sentence-transformers' trainer at its defaults, given the processor seconds that ours took; `outside`, scores on
sets that no row came from. What is done is not done again.

The table gives for each set the difference to the model off the shelf over seeds and items (`over_seeds_and_items`).
"""

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs/claims/worth"
MEDQUAD_PAIRS = 4000  # of 16,407, by a fixed draw: one epoch of all takes hours on two cores
MODELS = ("backbone", "expert", "half")
# Chosen on validation rows, seed 0 (docs/log/training.md): what differs from the recipe.
VALUES = {"banking77": {"epochs": 2, "optimizer.lr": 1.0e-4, "batch_size": 64}, "medquad": {}}
OUTSIDE = {  # source lines; `rows`: at most so many pairs of a table, by a fixed draw
    **{
        name: {"source": "beir", "path": f"retrieval/{name}", "splits": {"train": None, "test": "test"}}
        for name in ("cranfield", "cisi", "xquad_en")
    },
    **{name: {"rows": 500, "file": f"sts/{name}.test.tsv"} for name in ("sick_r", "sts12", "sts13", "sts14", "sts15")},
}  # fmt: skip


def banking77(data: Path, folder: Path) -> dict[str, Any]:
    """Customer questions with their intent, train and test as published."""
    for split in ("train", "test"):
        shutil.copy(data / f"pairs/banking77.{split}.tsv", folder / f"{split}.tsv")
    return {
        "source": "table", "path": str(folder), "task": "intent", "kind": "same_class", "quoting": False,
        "columns": {"query": "text", "document": "intent", "query_id": "id"},
    }  # fmt: skip


def medquad(data: Path, folder: Path) -> dict[str, Any]:
    """Question and answer, a line each, without a split: ours deals it."""
    import gzip

    with gzip.open(data / "retrieval/medquad/corpus.jsonl.gz", "rt", encoding="utf-8") as file:
        texts = {one["_id"]: one["text"] for one in map(json.loads, file)}
    with (data / "retrieval/medquad/queries.jsonl").open(encoding="utf-8") as file:
        queries = {one["_id"]: one["text"] for one in map(json.loads, file)}
    lines = [line.split("\t") for name in ("train", "test_knownitem")
             for line in (data / f"retrieval/medquad/qrels/{name}.tsv").read_text("utf-8").splitlines()[1:]]  # fmt: skip
    pairs = [{"question": queries[query], "answer": texts[answer]} for query, answer, _ in lines]
    chosen = random.Random(0).sample(pairs, MEDQUAD_PAIRS)
    (folder / "pairs.jsonl").write_text("".join(json.dumps(one) + "\n" for one in chosen), "utf-8")
    return {
        "source": "table", "path": str(folder / "pairs.jsonl"), "task": "medical", "kind": "retrieval",
        "columns": {"query": "question", "document": "answer"},
    }  # fmt: skip


SETS: dict[str, tuple[str, Callable[[Path, Path], dict[str, Any]]]] = {
    "banking77": ("intent", banking77),
    "medquad": ("medical", medquad),
}


def page(
    task: str, corpus: Mapping[str, Any], values: Mapping[str, Any], seed: int, threads: int, *, twin: bool
) -> dict[str, Any]:
    trained, control = "checkpoints/experts/expert", "checkpoints/controls/expert_random"
    own = {
        f"train.{task}.tasks.{task}.{key}" if key == "batch_size" else f"train.{task}.{key}": value
        for key, value in values.items()
    }
    runtime = {"threads": threads, "tracker": "disabled", "accelerator": "cpu"}
    return {
        "choose": {"experiment": "own", "encoder": "minilm", "recipe": "standard"},
        "corpora": {"own": dict(corpus)},
        "experts": {task: trained} | ({f"{task}_random": control} if twin else {}),
        "methods": [],
        "derivations": {"half": {"derivation": "back", "of": trained, "weight": 0.5}},
        "baselines": ["bm25"],
        "models": {"backbone": "checkpoints/backbone", "expert": trained, "half": "checkpoints/derived/half"}
        | ({"expert_random": control} if twin else {}),
        "set": {"seed": seed, "curate.split.seed": 0, "runtime": runtime} | own,
    }  # fmt: skip


def run(name: str, seed: int, folder: Path, stages: list[str], threads: int) -> None:
    data = Path(os.environ["TRIBUTARY_DATA"])
    task, write = SETS[name]
    twin = "random" in stages
    place, rows = (folder / f"{name}-{seed}").resolve(), (folder / f"{name}-rows").resolve()
    if not place.is_dir():
        (place / "data/source/own").mkdir(parents=True)
        for one in ("conf", "constraints.txt", "dvc.yaml"):
            (shutil.copytree if (ROOT / one).is_dir() else shutil.copy)(ROOT / one, place / one)
        if rows.is_dir():  # those of the first seed
            shutil.copytree(rows, place / "data/curated")
    os.chdir(place)
    content = page(task, write(data, Path("data/source/own")), VALUES[name], seed, threads, twin=twin)
    Path("params.yaml").write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")
    seconds: dict[str, float] = {}
    for words, made in _stages(task, twin=twin):
        if made is None or not Path(made).exists():
            seconds[words] = _timed(words.split())
    if not rows.is_dir():
        shutil.copytree("data/curated", rows)
    file = RESULTS / f"{name}-{seed}.json"
    found = (
        json.loads(file.read_text("utf-8"))
        if file.is_file()
        else {"set": name, "seed": seed, "threads": threads, "cpu_seconds": {}}
    )
    found["cpu_seconds"] |= {words: round(spent, 1) for words, spent in seconds.items()}
    found |= _scores([*MODELS, *(["expert_random"] if twin else [])])
    if "beside" in stages and "beside" not in found:
        found["beside"] = _beside(task, found["cpu_seconds"][f"train {task}"] / 60, threads)
    if "outside" in stages and "outside" not in found:
        found["outside"] = _outside(data, found["final"])
    RESULTS.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(found, separators=(",", ":")) + "\n", "utf-8")


def _stages(task: str, *, twin: bool) -> Iterator[tuple[str, str | None]]:
    yield "compose", None
    yield "ingest", "data/raw"
    yield "curate", "data/curated"
    yield "pretrain", "checkpoints/base"
    yield "mine", "data/mined"
    yield f"train {task}", "checkpoints/experts/expert"
    yield "derive half", "checkpoints/derived/half"
    if twin:
        yield f"train {task}_random", "checkpoints/controls/expert_random"
    yield "baseline bm25", "data/evaluated/bm25.json"
    for model in [*MODELS, *(["expert_random"] if twin else [])]:
        yield f"evaluate {model}", f"data/evaluated/{model}.json"
    yield "final", "checkpoints/final"


def _timed(words: Sequence[str]) -> float:
    """Processor seconds of a stage; the end of the program where it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    if subprocess.run(
        [sys.executable, "-m", "pipeline", *words], env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False
    ).returncode:
        sys.exit(f"{Path.cwd()}: {' '.join(words)} failed")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _scores(models: Sequence[str]) -> dict[str, Any]:
    """Of each model, the main score of each test item, its retention, and who became final; ``groups`` are those of the run's own deal."""
    found: dict[str, Any] = {"items": {}, "retention": {}}
    for model in ("bm25", *models):
        for label, items in json.loads(Path(f"data/evaluated/{model}.json").read_text("utf-8"))["test"].items():
            if model != "bm25" or items["deal"] is None:
                found["items"][model] = [round(value, 4) for value in items["ndcg@10"]]
                if model == "backbone":
                    names = {group: i for i, group in enumerate(dict.fromkeys(items["group"]))}
                    found["groups"] = [names[group] for group in items["group"]]
                    found["label"] = label
        scores = json.loads(Path(f"data/metrics/evaluate/{model}.json").read_text("utf-8"))
        if "general" in scores.get("retention", {}):
            found["retention"][model] = scores["retention"]["general"]["order"]
    chosen = json.loads(Path("checkpoints/final/chosen.json").read_text("utf-8"))
    return found | {"final": chosen["model"], "verdict": chosen["verdict"], "sentence": chosen["before"]["sentence"]}


def _beside(task: str, minutes: float, threads: int) -> dict[str, Any]:
    """sentence-transformers' trainer at its defaults, as long in processor time as ours trained."""
    subprocess.run(
        [sys.executable, str(ROOT / "benchmarks/beside.py"), task, "sentence-transformers", "defaults", f"cpu_minutes={minutes:.3f}"],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(threads)}, check=True,
    )  # fmt: skip
    return json.loads(Path("outputs/beside/sentence_transformers_defaults.json").read_text("utf-8"))


def _outside(data: Path, final: str) -> dict[str, dict[str, float]]:
    """Main test scores of the model off the shelf and of the final one on sets that no row came from: a page of its own, only evaluated."""
    place, own = Path("outside"), Path.cwd()
    if not place.is_dir():
        (place / "data/source").mkdir(parents=True)
        for one in ("conf", "constraints.txt", "dvc.yaml"):
            (shutil.copytree if (ROOT / one).is_dir() else shutil.copy)(ROOT / one, place / one)
    corpora = {name: _outside_line(name, dict(line), data, place) for name, line in OUTSIDE.items()}
    models = {"shelf": str(own / "checkpoints/backbone"), "final": str(own / "checkpoints/final")}
    content = page("x", {}, {}, 0, 0, twin=False) | {
        "corpora": corpora, "experts": {}, "derivations": {}, "baselines": [], "models": models,
        "set": {"curate.contamination": "off", "runtime": {"tracker": "disabled", "accelerator": "cpu"}, "evaluate.general": False},
    }  # fmt: skip
    (place / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")
    os.chdir(place)
    try:
        for words in ("compose", "ingest", "curate", "evaluate shelf", "evaluate final"):
            _timed(words.split())
        scores = {model: json.loads(Path(f"data/metrics/evaluate/{model}.json").read_text("utf-8"))["test"] for model in models}
    finally:
        os.chdir(own)
    return {model: {one["corpus"]: one["value"] for one in at.values()} for model, at in scores.items()}


def _outside_line(name: str, line: dict[str, Any], data: Path, place: Path) -> dict[str, Any]:
    if "file" not in line:
        return line | {"root": str(data)}
    head, *lines = (data / line["file"]).read_text("utf-8").splitlines()
    columns = head.split("\t")
    if "also_in_stsb" in columns:
        lines = [one for one in lines if not one.split("\t")[columns.index("also_in_stsb")]]
    chosen = random.Random(0).sample(lines, min(line["rows"], len(lines)))
    (place / f"data/source/{name}.tsv").write_text("\n".join([head, *chosen]) + "\n", "utf-8")
    return {
        "source": "table", "path": f"data/source/{name}.tsv", "task": "sts", "split": "test", "quoting": False,
        "columns": {"query": "sentence1", "document": "sentence2", "score": "score"},
    }  # fmt: skip


def table() -> None:
    from over_seeds import over_seeds_and_items

    from pipeline.evaluator.items import item_counts
    from pipeline.metric import draw_counts

    runs: dict[str, list[dict[str, Any]]] = {}
    for file in sorted(RESULTS.glob("*.json")):
        one = json.loads(file.read_text("utf-8"))
        runs.setdefault(one["set"], []).append(one)
    for name, of_set in runs.items():
        groups = of_set[0]["groups"]
        counts = item_counts(groups, draw_counts(len(set(groups)), 1000, seed=0))
        print(f"\n{name}: {len(groups)} test items in {len(set(groups))} groups, seeds {[one['seed'] for one in of_set]}")
        for model in ("bm25", *MODELS, *(["expert_random"] if all("expert_random" in one["items"] for one in of_set) else [])):
            told = ", ".join(f"{np.mean(one['items'][model]):.4f}" for one in of_set)
            kept = ", ".join(f"{one['retention'][model]:.3f}" for one in of_set if model in one["retention"])
            print(f"  {model:14} {told}" + (f"   retention {kept}" if kept else ""))
        print(f"  final          {', '.join(one['final'] for one in of_set)}")
        for one in of_set:
            if "beside" in one:
                value = next(iter(one["beside"]["test"].values()))["value"]
                print(f"  beside, seed {one['seed']}: sentence-transformers at its defaults {value:.4f}")
            if "outside" in one:
                change = {at: one["outside"]["final"][at] - value for at, value in one["outside"]["shelf"].items()}
                told = ", ".join(f"{at} {value:+.4f}" for at, value in change.items())
                print(f"  outside, seed {one['seed']}: mean {np.mean(list(change.values())):+.4f}; {told}")
        if len(of_set) > 1:
            gains = np.array([np.array(one["items"]["expert"]) - np.array(one["items"]["backbone"]) for one in of_set])
            drawn = (gains.mean(0) @ counts.T) / counts.sum(1)
            found = over_seeds_and_items(gains.mean(1).tolist(), drawn, 0.95, num_items=len(set(groups)))
            print(f"  expert - backbone {found.value:+.4f} ({found.low:+.4f} to {found.high:+.4f}), p {found.p:.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("name", nargs="?", choices=sorted(SETS))
    parser.add_argument("seed", nargs="?", type=int)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--stages", nargs="*", default=[], choices=("random", "beside", "outside"))
    parser.add_argument("--threads", type=int, default=0)
    asked = parser.parse_args()
    if asked.what == "table":
        table()
    elif None in (asked.name, asked.seed, asked.folder):
        parser.error("run needs a set, a seed and --folder")
    else:
        run(asked.name, asked.seed, asked.folder, asked.stages, asked.threads)


if __name__ == "__main__":
    main()
