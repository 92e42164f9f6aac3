"""What options of a search are worth, on validation items: Self Positioning and AdaMerging on other probes.

    python benchmarks/search_options.py --folder <a cell of claim.py> [--folder ...]

Prints, for each option, the mean of nDCG@10 and Spearman on validation items less the soup's in units of 0.001, by cell and over all, the
latter with half the width of a paired 95 % interval, and the coefficients. Test items are not looked at.
"""

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np
from sampled import Size, evaluate, resampled

from pipeline.params import load
from pipeline.stage.merge import merge_directories

SIZE = Size(queries=400, documents=500, pairs=700)
BASE, EXPERTS = Path("checkpoints/base"), [Path("checkpoints/experts/retrieval"), Path("checkpoints/experts/sts")]
CORRELATION = {
    "_target_": "pipeline.objective.codiemb_sts.CoDiEmbSTS", "lowest_score": 0.0, "highest_score": 5.0, "pearson": 1.0, "rank_kl": 0.0,
    "pro": 0.0, "middle": 0.0, "temperature": 0.05, "middle_temperature": 0.02, "best_from": 1.0,
}  # fmt: skip
LARGE = {"batch_size": 64, "pairs_per_task": 512}
OPTIONS: dict[str, dict[str, Any]] = {  # of the probe; beside the merge that the cell holds, with what stands in conf/
    "batches of 64": LARGE,
    "correlation": {"objectives": {"sts": CORRELATION}},
    "correlation, 96 steps": {"objectives": {"sts": CORRELATION}, "steps": 96},
    "correlation, batches of 64": LARGE | {"objectives": {"sts": CORRELATION}},
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, action="append", required=True)
    parser.add_argument("--method", action="append", required=True)
    parser.add_argument("--option", action="append", choices=tuple(OPTIONS))
    asked = parser.parse_args()
    cells = {
        folder.name: tried(folder, asked.method, asked.option or list(OPTIONS))
        for folder in [folder.resolve() for folder in asked.folder]
    }
    names = list(next(iter(cells.values())))
    print("| | " + " | ".join([*cells, "mean"]) + " |")
    print("|---" * (len(cells) + 2) + "|")
    for name in names:
        found = [cell[name] - cell["soup"] for cell in cells.values()]
        mean = np.mean(found, axis=0)
        low, high = np.quantile(mean[1:], [0.025, 0.975])
        print(
            f"| {name} | "
            + " | ".join(f"{1000 * d[0]:+.1f}" for d in found)
            + f" | {1000 * mean[0]:+.1f} +- {500 * (high - low):.1f} |"
        )


def tried(folder: Path, methods: list[str], options: list[str]) -> dict[str, np.ndarray]:
    os.chdir(folder)
    config = load()
    models = {"soup": "checkpoints/merged/soup"}
    for method in methods:
        section = config["merge"][method]
        models[method] = f"checkpoints/merged/{method}"
        for name in options:
            own = OPTIONS[name]
            target = Path("search_options") / f"{method} {name}".replace(" ", "_")
            models[f"{method}, {name}"] = str(target)
            if target.is_dir():
                continue
            probe = section["probe"] | own
            probe["objectives"] = section["probe"]["objectives"] | own.get("objectives", {})
            names = ["base", *(path.name for path in EXPERTS)]
            merge_directories(
                BASE, EXPERTS, names, {**section, "probe": probe}, target, runtime=config["runtime"], seed=config["seed"]
            )
    files = {name.replace(", ", "_").replace(" ", "_"): path for name, path in models.items()}
    found = resampled(
        evaluate(files, dict.fromkeys(files, ("validation",)), {"validation": SIZE}, Path("search_options/items")), "validation"
    )
    return dict(zip(models, found.values(), strict=True))


if __name__ == "__main__":
    main()
