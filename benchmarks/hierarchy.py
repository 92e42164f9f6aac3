"""Does pooling chain by chain (HP) help where sides have several chains? Against EC, and against HP that does not see the marks.

    TRIBUTARY_DATA=<folder of benchmark data> nice python benchmarks/hierarchy.py run --folder /tmp/hierarchy [--seeds 0 1 2] [--set ...]
    python benchmarks/hierarchy.py table --folder /tmp/hierarchy

Rows: SKEMPI, whose chains are marked, on the identity split of the protein page (`esm_scratch`). One deal for all seeds; seeds draw
weights and batches. Three models a seed:

- ``hp`` and ``ec``, as the page trains them,
- ``hp_joined``: HP on the same rows with the marks between chains taken out, so that a side is one chain and no hierarchy is left.
  The negative control: what HP scores more than that is owed to the hierarchy, what both score more than EC is not.

`table` prints, for all test rows and for those with a side of several chains, the mean over seeds of Spearman's correlation, and the
paired differences of hp with 95 % intervals over trainings and whole PDB entries (`over_seeds_and_items`), since either could have come
out otherwise. `--set` takes values of the page, for example a few steps to try it.
"""

import argparse
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

ROOT = Path(__file__).resolve().parents[1]
MODELS = {"hp": "checkpoints/experts/hp", "ec": "checkpoints/experts/ec"}
RESAMPLES = 2000
COLLECTION = "affinity/skempi"


def made(folder: Path, seed: int, stages: list[str], models: dict[str, str], values: dict[str, Any], rows: Path | None) -> None:
    """The page in ``folder``, through ``stages`` that are not done yet; ``rows``: a curated folder to take instead of making one."""
    from pipeline.__main__ import main

    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "conf").is_dir():
        shutil.copytree(ROOT / "conf", folder / "conf")
        for name in ("constraints.txt", "dvc.yaml"):
            shutil.copy(ROOT / name, folder)
    experiment = folder / "conf/experiment/ppb_affinity.yaml"
    experiment.write_text(experiment.read_text("utf-8").replace("corpora: [ppb_affinity]", "corpora: [skempi]"), "utf-8")
    page = yaml.safe_load((ROOT / "conf/page/ppb_affinity.yaml").read_text("utf-8"))
    given = {"seed": seed, "ingest.max_rejected": 0.06, "runtime": {"accelerator": "cpu", "threads": 1, "tracker": "disabled"}}
    page |= {"experts": models, "models": models, "baselines": [], "set": given | values}
    (folder / "params.yaml").write_text(yaml.safe_dump(page, sort_keys=False), "utf-8")
    os.chdir(folder)
    if rows is not None and not Path("data/curated").exists():
        shutil.copytree(rows, "data/curated")
    for words in stages:
        done = {
            "ingest": "data/raw", "curate": "data/curated", "pretrain": "checkpoints/base", "mine": "data/mined",
            **{f"train {name}": path for name, path in models.items()},
            **{f"evaluate {name}": f"data/evaluated/{name}.json" for name in models},
        }.get(words)  # fmt: skip
        if (done is None or not Path(done).exists()) and main(words.split()):
            sys.exit(f"{folder}: {words} failed")


def joined(curated: Path, target: Path) -> Path:
    """The same rows without marks between the chains of a side."""
    from pipeline.corpus.files import read, write
    from pipeline.corpus.row import CHAIN_BREAK, Row

    if not target.is_dir():
        shutil.copytree(curated, target)
        for file in sorted(target.glob("**/*.parquet")):
            if file.stem in ("train", "validation", "test"):
                rows = read(file, Row)
                plain = [
                    replace(r, query=r.query.replace(CHAIN_BREAK, ""), document=r.document.replace(CHAIN_BREAK, ""))
                    for r in rows
                ]
                write(file, Row, plain)
    return target


def run(folder: Path, seeds: list[int], values: dict[str, Any]) -> None:
    folder = folder.resolve()
    made(folder / "rows", 0, ["compose", "ingest", "curate"], MODELS, values, None)
    curated = folder / "rows/data/curated"
    for seed in seeds:
        after = ["compose", "pretrain", "mine"]
        made(
            folder / f"marked-{seed}",
            seed,
            [*after, *words("train", MODELS), *words("evaluate", MODELS)],
            MODELS,
            values,
            curated,
        )
        alone = {"hp": MODELS["hp"]}
        plain = joined(curated, folder / "joined")
        made(folder / f"joined-{seed}", seed, [*after, *words("train", alone), *words("evaluate", alone)], alone, values, plain)


def words(stage: str, models: dict[str, str]) -> list[str]:
    return [f"{stage} {name}" for name in models]


def table(folder: Path) -> None:
    from over_seeds import over_seeds_and_items

    from pipeline.checkpoint import read_json
    from pipeline.corpus.files import read
    from pipeline.corpus.row import CHAIN_BREAK, Row
    from pipeline.evaluator.items import item_counts
    from pipeline.metric import draw_counts, drawn_spearman, spearman

    seeds = sorted(int(place.name.partition("-")[2]) for place in folder.glob("joined-*"))
    several = np.array(
        [CHAIN_BREAK in row.query + row.document for row in read(folder / "rows/data/curated/skempi/test.parquet", Row)]
    )
    found: dict[str, np.ndarray] = {}
    for model, kind, name in (("hp", "marked", "hp"), ("ec", "marked", "ec"), ("hp", "joined", "hp_joined")):
        items = [read_json(folder / f"{kind}-{seed}/data/evaluated/{model}.json")["test"][COLLECTION] for seed in seeds]
        found[name] = np.array([one["prediction"] for one in items])
    score, group = np.array(items[0]["score"]), items[0]["group"]
    for which, chosen in (("all test rows", np.ones(len(score), bool)), ("rows with a side of several chains", several)):
        places = np.flatnonzero(chosen)
        groups = [group[i] for i in places]
        print(f"{which}: {len(places)} rows of {len(set(groups))} entries, seeds {seeds}")
        counts = item_counts(groups, draw_counts(len(set(groups)), RESAMPLES, seed=0))
        value, of_draws = {}, {}
        for name, predicted in found.items():
            value[name] = np.array([float(spearman(one[places], score[places])) for one in predicted])
            of_draws[name] = np.mean([drawn_spearman(one[places], score[places], counts) for one in predicted], axis=0)
            print(f"  {name:10} {value[name].mean():.3f}")
        for other in ("ec", "hp_joined"):
            gain = over_seeds_and_items(
                (value["hp"] - value[other]).tolist(), of_draws["hp"] - of_draws[other], 0.95, num_items=len(set(groups))
            )
            print(f"  hp - {other:9} {gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f}), p {gain.p:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", nargs="*", default=[], help="place=value of the page, as in params.yaml's set")
    arguments = parser.parse_args()
    if arguments.what == "run":
        values = {place: yaml.safe_load(value) for place, _, value in (one.partition("=") for one in arguments.set)}
        run(arguments.folder, arguments.seeds, values)
    else:
        table(arguments.folder)


if __name__ == "__main__":
    main()
