"""Where the best merge of two experts lies, on validation items, and which probe loss points there.

    python benchmarks/plane.py --folder <a cell of claim.py> [--folder ...]

On a grid of two coefficients: nDCG@10, Spearman and their mean on validation items, and losses of held-out probe pairs, each by its own
at the base. Printed: the best point by validation, and for each sum of losses its own best point, what validation says of that, and
the rank correlation of the sum (negated) with the mean over the grid. The grid itself goes to plane.csv in the cell.
"""

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sampled import CURATED, Size, _once, balanced, cut, evaluators
from scipy.stats import spearmanr

from pipeline.corpus.collection import collections
from pipeline.corpus.files import corpora
from pipeline.delta import Models
from pipeline.params import load
from pipeline.probing.trial import trial

BASE, EXPERTS = Path("checkpoints/base"), [Path("checkpoints/experts/retrieval"), Path("checkpoints/experts/sts")]
SIZE = Size(queries=400, documents=500, pairs=700)
GRID = (0.25, 0.5, 0.75, 1.0, 1.5, 2.5)
INFONCE = {"_target_": "pipeline.objective.infonce.InfoNCE", "temperature": 0.05, "symmetric": False, "same_side": []}
STS: dict[str, dict[str, Any]] = {
    "cosent": {"_target_": "pipeline.objective.cosent.CoSENT", "scale": 20.0},
    "correlation": {
        "_target_": "pipeline.objective.codiemb_sts.CoDiEmbSTS", "lowest_score": 0.0, "highest_score": 5.0, "pearson": 1.0, "rank_kl": 0.0,
        "pro": 0.0, "middle": 0.0, "temperature": 0.05, "middle_temperature": 0.02, "best_from": 1.0,
    },
}  # fmt: skip
PROBES = {f"infonce + {sts}, {pairs} pairs, batches of {size}": (sts, pairs, size)
          for sts in STS for pairs, size in ((128, 16), (512, 64))}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, action="append", required=True)
    torch.set_num_threads(1)
    for folder in [folder.resolve() for folder in parser.parse_args().folder]:
        os.chdir(folder)
        print(f"\n## {folder.name}\n", flush=True)
        survey()


@torch.no_grad()
def survey() -> None:
    config, models = load(), Models(BASE, EXPERTS)
    held_out = [cut(one, SIZE) for corpus in corpora(CURATED) for one in collections(CURATED, corpus, "validation")]
    asked, seed = evaluators(), config["seed"]
    settings = config["merge"]["self_positioning"]["probe"]
    trials = {}
    for name, (sts, pairs, size) in PROBES.items():
        own = {"objectives": {"retrieval": INFONCE, "sts": STS[sts]}, "pairs_per_task": pairs, "batch_size": size}
        trials[name] = trial(BASE, models, {**settings, **own}, config["runtime"], steps=None, seed=seed)[0]
        trials[name].relate()
    points = [(1.0, 0.0), (0.0, 1.0), *((x, y) for x in GRID for y in GRID)]
    scores, losses = [], {name: [] for name in trials}
    for point in points:
        c = {"all": torch.tensor(point, dtype=torch.float64)}
        for name, one in trials.items():
            losses[name].append(one.losses(c, half="held_out"))
        encode = _once(one.judge.encoder)
        found = {f"{h.task}/{h.corpus}": asked[h.task].evaluate(encode, h)[0] for h in held_out}
        scores.append({name: next(iter(values.values())) for name, values in found.items()})
    mean = np.array([balanced(one) for one in scores])
    by_task = {task: np.array([np.mean([v for n, v in one.items() if n.startswith(task)]) for one in scores])
               for task in ("retrieval", "sts")}  # fmt: skip
    lines = ["retrieval,sts,mean," + "ndcg,spearman," + ",".join(f"{n.replace(',', ';')} {t}" for n in trials for t in by_task)]
    for i, (x, y) in enumerate(points):
        values = [mean[i], *(by_task[t][i] for t in by_task), *(losses[n][i][t] for n in trials for t in by_task)]
        lines.append(f"{x},{y}," + ",".join(f"{v:.5f}" for v in values))
    Path("plane.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def told(i: int) -> str:
        return f"{points[i]}: {mean[i]:.4f} ({by_task['retrieval'][i]:.4f}, {by_task['sts'][i]:.4f})"

    soup = points.index((0.5, 0.5))
    print(f"soup {told(soup)}; best {told(int(mean.argmax()))}; retrieval {told(points.index((1.0, 0.0)))}; "
          f"sts {told(points.index((0.0, 1.0)))}")  # fmt: skip
    for name, found in losses.items():
        own = {task: np.array([one[task] for one in found]) for task in by_task}
        total = own["retrieval"] + own["sts"]
        parts = ", ".join(f"{task} {spearmanr(-own[task], by_task[task])[0]:.2f}" for task in by_task)
        print(f"{name}: least at {told(int(total.argmin()))}; rank correlation {spearmanr(-total, mean)[0]:.2f} ({parts})")


if __name__ == "__main__":
    main()
