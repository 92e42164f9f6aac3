"""Delta-guided fusion by granularity and exponent, on validation items: what its options are worth.

    python benchmarks/delta_guided.py --folder <a cell of claim.py> [--folder ...]

Prints, for each cell, the mean of nDCG@10 and Spearman less the soup's (beta 0) in units of 0.001, with half the width of a paired 95 %
interval, and the best on validation with its difference on test.
"""

import argparse
import os
from pathlib import Path

import numpy as np
from sampled import Size, balanced, evaluate, evaluators

from pipeline.metric import draws
from pipeline.params import load
from pipeline.stage.merge import merge_directories

SIZES = {"validation": Size(queries=2000, documents=2500, pairs=2000), "test": Size(queries=2000, documents=2500, pairs=2000)}
BASE, EXPERTS = Path("checkpoints/base"), [Path("checkpoints/experts/retrieval"), Path("checkpoints/experts/sts")]
GRAINS = ("model", "layer", "tensor", "hierarchical", "row", "element")
BETAS = (-1.0, 0.5, 1.0, 2.0, 4.0)
RESAMPLES = 2000


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, action="append", required=True)
    for folder in [folder.resolve() for folder in parser.parse_args().folder]:
        os.chdir(folder)
        ablate(folder.name)


def ablate(title: str) -> None:
    config, models = load(), {}
    for grain in GRAINS:
        for beta in BETAS if grain != "model" else (0.0, *BETAS):
            method = {
                "_target_": "pipeline.merging.delta_guided.DeltaGuided", "granularity": grain.replace("hierarchical", "tensor"),
                "beta": beta, "hierarchical": grain == "hierarchical", "trajectories": [],
            }  # fmt: skip
            target = Path("delta_guided") / f"{grain}{beta:g}"
            models[target.name] = str(target)
            if not target.is_dir():
                section = {"method": method, "probe": None, "snapshots": False, "max_distance": 1.0}
                names = ["base", *(path.name for path in EXPERTS)]
                merge_directories(BASE, EXPERTS, names, section, target, runtime=config["runtime"], seed=0)
    items = evaluate(models, dict.fromkeys(models, tuple(SIZES)), SIZES, Path("delta_guided/items"))
    asked = evaluators()

    def drawn(model: str, split: str) -> np.ndarray:
        """The mean score: as measured, then of each draw."""
        found = {}
        for name, one in items[model][split].items():
            index = draws(len(one["id"]), RESAMPLES, seed=0)
            parts = [asked[name.split("/")[0]].resampled(one, i) for i in (np.arange(len(one["id"]))[None, :], index)]
            found[name] = np.concatenate(parts)
        return balanced(found)

    less = {split: {m: drawn(m, split) - drawn("model0", split) for m in models} for split in SIZES}
    print(
        f"\n## {title}: soup {drawn('model0', 'validation')[0]:.4f} on validation, items {_sizes(items['model0']['validation'])}\n"
    )
    print("| granularity | " + " | ".join(f"beta {beta:g}" for beta in BETAS) + " |")
    print("|---" * (1 + len(BETAS)) + "|")
    for grain in GRAINS:
        cells = [less["validation"][f"{grain}{beta:g}"] for beta in BETAS]
        print(f"| {grain} | " + " | ".join(f"{1000 * d[0]:+.1f} +- {_half(d):.1f}" for d in cells) + " |")
    best = max(models, key=lambda m: less["validation"][m][0])
    for name in dict.fromkeys((best, "tensor1")):
        d = less["test"][name]
        print(f"{name} on test: {1000 * d[0]:+.1f} +- {_half(d):.1f}")


def _half(difference: np.ndarray) -> float:
    low, high = np.quantile(difference[1:], [0.025, 0.975])
    return 500 * float(high - low)


def _sizes(items: dict) -> dict[str, int]:
    return {name: len(one["id"]) for name, one in items.items()}


if __name__ == "__main__":
    main()
