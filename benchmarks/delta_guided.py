"""Delta-guided fusion by granularity and exponent, on validation items: what its options are worth.

    python benchmarks/delta_guided.py --folder <a cell of claim.py> [--folder ...]

Prints, for each cell and for the mean of them, the mean of nDCG@10 and Spearman less the soup's (beta 0) in units of 0.001, with half
the width of a paired 95 % interval: of one cell it draws items alone, of several (which are to differ in their seed alone) also the
training. Then the best on validation with its difference on test, which only that one and the default are asked, once.
"""

import argparse
import os
import re
from pathlib import Path

import numpy as np
from sampled import Size, claimed, evaluate, resampled, what_varies

from pipeline.build import load
from pipeline.stage.merge import merge_directories

SIZES = dict.fromkeys(("validation", "test"), Size(queries=400, documents=500, pairs=700))
BASE, EXPERTS = Path("checkpoints/base"), [Path("checkpoints/experts/retrieval"), Path("checkpoints/experts/sts")]
GRAINS = ("model", "layer", "tensor", "hierarchical", "row", "element")
FEWEST: dict[str, int] = {}  # groups of items in a collection, by split
BETAS = (-1.0, 0.5, 1.0, 2.0, 4.0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, action="append", required=True)
    folders = [folder.resolve() for folder in parser.parse_args().folder]
    names = ["model0", *(f"{grain}{beta:g}" for grain in GRAINS for beta in BETAS)]
    cells = {folder: less(folder, names, "validation") for folder in folders}
    for folder, found in cells.items():
        print(f"\n## {folder.name}; {what_varies(1)}\n")
        table(found)
    every = together(list(cells.values()))
    print(f"\n## mean of {len(cells)}; {what_varies(len(cells))}\n")
    table(every)
    best = max(every, key=lambda name: every[name][:, 0].mean())
    chosen = list(dict.fromkeys(("model0", best, "tensor1")))
    for name, d in together([less(folder, chosen, "test") for folder in folders]).items():
        print(f"{name} on test: {_told(d, 'test')}")


def less(folder: Path, names: list[str], split: str) -> dict[str, np.ndarray]:
    """Of each, merged where it is not yet: the mean score less the soup's, as measured, then of each draw; one row."""
    os.chdir(folder)
    config = load()
    for name in names:
        grain, beta = re.fullmatch(r"([a-z]+)(.*)", name).groups()
        method = {
            "_target_": "pipeline.merging.delta_guided.DeltaGuided", "granularity": grain.replace("hierarchical", "tensor"),
            "beta": float(beta), "hierarchical": grain == "hierarchical", "trajectories": [],
        }  # fmt: skip
        if not (target := Path("delta_guided") / name).is_dir():
            section = {"method": method, "probe": None, "snapshots": False, "max_distance": 1.0}
            called = ["base", *(path.name for path in EXPERTS)]
            merge_directories(BASE, EXPERTS, called, section, target, runtime=config["runtime"], seed=0)
    models = {name: f"delta_guided/{name}" for name in names}
    items = evaluate(models, dict.fromkeys(models, (split,)), SIZES, Path(f"delta_guided/{split}"))
    found, few = resampled(items, split)
    FEWEST[split] = min(FEWEST.get(split, few), few)
    return {name: (found[name] - found["model0"])[None] for name in names}


def together(cells: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([cell[name] for cell in cells]) for name in cells[0]}


def table(found: dict[str, np.ndarray]) -> None:
    print("| granularity | " + " | ".join(f"beta {beta:g}" for beta in BETAS) + " |")
    print("|---" * (1 + len(BETAS)) + "|")
    for grain in GRAINS:
        row = [found[f"{grain}{beta:g}"] for beta in BETAS]
        print(f"| {grain} | " + " | ".join(_told(d, "validation") for d in row) + " |")


def _told(by_seed: np.ndarray, split: str) -> str:
    found = claimed(by_seed, FEWEST[split])
    return f"{1000 * found.value:+.1f} +- {500 * (found.high - found.low):.1f}"


if __name__ == "__main__":
    main()
