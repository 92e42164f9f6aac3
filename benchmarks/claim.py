"""Does a merge beat the uniform soup, and lose nothing to the best single expert? Data x backbone x seed, every method of the catalogue.

    TRIBUTARY_DATA=<folder of benchmark data> python benchmarks/claim.py run --folder /tmp/claim [--data apidocs] [--encoder minilm]
        [--seed 0] [--method soup ...] [--pairs 128] [--steps 32] [--train-steps 15] [--items 400 500 700]
    python benchmarks/claim.py table --folder /tmp/claim [--split validation]

`run` makes each cell and goes on where it was stopped: what is there is left out. Rows are made once per data, so the test items are
the same for all seeds. A cell trains base, two experts and joint as the DAG does, merges, and evaluates every model in one process on
a sample of each collection (`--items`: queries, documents, scored pairs), with every judged document of its queries. So scores are
higher than on whole collections; differences are between models that search the same documents.
`table` prints the main scores on the items of a split, their mean, and the mean's paired difference to the soup, to the best single
expert (chosen on validation) and to joint, with 95 % intervals and two-sided p.

What an interval speaks of: with several seeds, a further training on further items (`over_seeds.over_seeds_and_items`: seeds by
Student's t over the trainings, items by their draws); with one seed, further items of this very training, which is no claim about
a method. Design choices (rates, options, defaults) are made on `--split validation`, which is what `table` shows unasked; `--split test`
is looked at once, when nothing is left to choose, and a choice made after that look needs other test rows.

Methods with a probe are tried on rows that curation sets aside for all cells, `--pairs` in each half, so no expert is trained on them.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from sampled import Size, balanced, claimed, drawn, evaluate, what_varies

ROOT = Path(__file__).resolve().parents[1]
METHODS = sorted(file.stem for file in (ROOT / "conf/merging").glob("*.yaml") if file.stem != "average")
EXPERTS = {
    "retrieval": "checkpoints/experts/retrieval",
    "sts": "checkpoints/experts/sts",
    "joint": "checkpoints/controls/joint",
}
SINGLES = {"base": "checkpoints/base", **EXPERTS}
RESAMPLES = 2000


def cell(folder: Path, data: str, encoder: str, seed: int, methods: list[str], page: dict[str, Any], size: Size) -> None:
    """One cell, in this process. ``page``: values of params.yaml's `set`; ``size``: of each collection's sample."""
    import yaml

    from pipeline.__main__ import main

    place = folder / f"{data}-{encoder}-{seed}"
    if not (place / "conf").is_dir():
        place.mkdir(parents=True, exist_ok=True)
        shutil.copytree(ROOT / "conf", place / "conf")
        shutil.copy(ROOT / "constraints.txt", place)
    values = {"seed": seed, "runtime": {"accelerator": "cpu", "tracker": "disabled", "threads": 1}} | page
    params = {
        "choose": {"experiment": data, "encoder": encoder}, "corpora": {}, "experts": EXPERTS, "methods": methods, "derivations": {},
        "baselines": [],
        "models": SINGLES, "set": values,
    }  # fmt: skip
    (place / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    os.chdir(place)
    if main(["compose"]):
        sys.exit("the configuration does not compose")
    shared = folder / f"rows-{data}/curated"
    stages = [] if shared.is_dir() else [("data/raw", "ingest"), ("data/curated", "curate")]
    stages += [("checkpoints/base", "pretrain"), ("data/mined", "mine")]
    stages += [(path, f"train {name}") for name, path in EXPERTS.items()]
    stages += [(f"checkpoints/merged/{m}", f"merge {m}") for m in methods]
    if shared.is_dir() and not Path("data/curated").exists():
        Path("data/curated").symlink_to(shared)
    for out, words in stages:
        if Path(out).exists():
            continue
        with timed(words):
            if main(words.split()):
                print(f"{place.name}: {words} failed", flush=True)
                if not words.startswith("merge"):
                    sys.exit(1)
        if words == "curate":
            shutil.copytree("data/curated", shared)
    models = SINGLES | {m: f"checkpoints/merged/{m}" for m in methods if Path(f"checkpoints/merged/{m}").is_dir()}
    wanted = dict.fromkeys(models, ("test", "validation"))
    with timed("evaluate"):
        evaluate(models, wanted, {"test": size, "validation": size}, Path("data/evaluated"))


class timed:  # noqa: N801
    """Wall and CPU seconds of the block into seconds.csv."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __enter__(self) -> None:
        self.start = time.perf_counter(), time.process_time()

    def __exit__(self, *error: object) -> None:
        wall, cpu = time.perf_counter() - self.start[0], time.process_time() - self.start[1]
        with Path("seconds.csv").open("a", encoding="utf-8") as log:
            log.write(f"{self.what},{wall:.1f},{cpu:.1f}\n")


TASK: dict[str, str] = {}  # of each collection, by its label


def table(folder: Path, shown: str) -> None:
    from pipeline.build import build

    cells: dict[tuple[str, str], list[Path]] = {}
    for place in sorted(folder.glob("*-*-*")):
        if all((place / f"data/evaluated/{name}.json").is_file() for name in ("soup", "joint", "retrieval", "sts")):
            data, encoder, _ = place.name.rsplit("-", 2)
            cells.setdefault((data, encoder), []).append(place)
    evaluators = {
        task: build({"_target_": f"pipeline.evaluator.{task}.{kind}", **rest})
        for task, kind, rest in (("retrieval", "Retrieval", {"depth": 100}), ("sts", "Sts", {}))
    }

    few: dict[str, int] = {}  # groups of items that belong together, by collection

    def scores(place: Path, model: str, split: str) -> dict[str, np.ndarray]:
        """By collection: the main score as measured, then of each draw."""
        items = json.loads((place / f"data/evaluated/{model}.json").read_text(encoding="utf-8"))[split]
        found, groups = drawn(evaluators, items, RESAMPLES)
        TASK.update({name: one["task"] for name, one in items.items()})
        if split == shown:
            few.update(groups)
        return found

    for (data, encoder), places in cells.items():
        few.clear()
        print(f"\n## {data}, {encoder}: seeds {[int(place.name.rsplit('-', 1)[1]) for place in places]}\n")
        names = [
            m
            for m in ("base", "retrieval", "sts", "joint", *METHODS)
            if all((p / f"data/evaluated/{m}.json").is_file() for p in places)
        ]
        test = {m: [scores(p, m, shown) for p in places] for m in names}
        best = []
        for place in places:
            means = {m: balanced(scores(place, m, "validation"), TASK)[0] for m in ("retrieval", "sts")}
            best.append(max(means, key=lambda m: means[m]))
        tasks = sorted(test["soup"][0])

        def of(model: str, task: str | None = None, test=test) -> np.ndarray:
            """By training: as measured, then of each draw."""
            return np.stack([one[task] if task else balanced(one, TASK) for one in test[model]])

        def single(task: str | None = None, test=test, best=best) -> np.ndarray:
            return np.stack([test[b][i][task] if task else balanced(test[b][i], TASK) for i, b in enumerate(best)])

        print(f"split {shown}; best single by validation: {best}; {what_varies(len(places))}\n")
        print("| model | " + " | ".join(tasks) + " | mean | - soup | - best single | tasks lost to it | - joint |")
        print("|---" * (len(tasks) + 6) + "|")
        for m in names:
            lost = [t for t in tasks if claimed(of(m, t) - single(t), few[t]).high < 0]
            against = [_told(of(m) - other, min(few.values())) for other in (of("soup"), single(), of("joint"))]
            cols = [f"{of(m, t)[:, 0].mean():.4f}" for t in tasks] + [
                f"{of(m)[:, 0].mean():.4f}",
                *against[:2],
                ", ".join(lost) or "none",
                against[2],
            ]
            print(f"| {m} | " + " | ".join(cols) + " |")
        for place in places:
            for m in METHODS:
                file = place / f"checkpoints/merged/{m}/merge.json"
                if m in ("soup", "self_positioning", "delta_guided", "lm_cocktail") and file.is_file():
                    record = json.loads(file.read_text(encoding="utf-8"))
                    shown = {k: record.get("search", {}).get(k) for k in ("norm", "held_out_loss") if record.get("search")}
                    facts = [record["task_vector_norms"], record["task_vector_cosines"][0][1], record["base_norm"]]
                    print(
                        f"{place.name} {m}: norms, cosine, base norm {facts}; all: {record['coefficients'].get('all')} {shown}"
                    )


def _told(by_seed: np.ndarray, num_items: int) -> str:
    found = claimed(by_seed, num_items)
    return f"{found.value:+.4f} ({found.low:+.4f} to {found.high:+.4f}), p {found.p:.3f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("run", "table", "cell"))
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--data", action="append")
    parser.add_argument("--encoder", action="append")
    parser.add_argument("--seed", action="append", type=int)
    parser.add_argument("--method", action="append")
    parser.add_argument("--pairs", type=int, default=128)
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--train-steps", type=int)
    parser.add_argument("--split", choices=("validation", "test"), default="validation")
    parser.add_argument("--items", type=int, nargs=3, default=(400, 500, 700))
    asked = parser.parse_args()
    asked.folder = asked.folder.resolve()
    if asked.what == "table":
        table(asked.folder, asked.split)
    elif asked.what == "cell":
        chosen = asked.method or METHODS
        probed = [m for m in chosen if "/probing@probe" in (ROOT / f"conf/merging/{m}.yaml").read_text(encoding="utf-8")]
        given: dict[str, Any] = {
            f"merge.{m}.probe": {"pairs_per_task": asked.pairs, "steps": asked.steps, "landscape": 0} for m in probed
        }
        given |= {"curate.probe.rows": dict.fromkeys(("retrieval", "sts"), 2 * asked.pairs)} if probed else {}
        given |= {"train.steps_per_task": asked.train_steps} if asked.train_steps else {}
        cell(asked.folder, asked.data[0], asked.encoder[0], asked.seed[0], chosen, given, Size(*asked.items))
    else:
        words = [word for m in asked.method or [] for word in ("--method", m)]
        words += ["--pairs", str(asked.pairs), "--steps", str(asked.steps), "--items", *map(str, asked.items)]
        words += ["--train-steps", str(asked.train_steps)] if asked.train_steps else []
        for number in asked.seed or (0, 1, 2):
            for rows in asked.data or ("apidocs", "science"):
                for backbone in asked.encoder or ("scratch", "minilm"):
                    own = ["--data", rows, "--encoder", backbone, "--seed", str(number)]
                    command = [sys.executable, "-W", "ignore", __file__, "cell", "--folder", str(asked.folder), *own, *words]
                    start = time.perf_counter()
                    status = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False).returncode
                    told = "done" if status == 0 else "failed"
                    print(f"{rows}-{backbone}-{number}: {told} in {time.perf_counter() - start:.0f} s", flush=True)
