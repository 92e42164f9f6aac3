"""The most documents of which free vectors realise every pair, by their width; a cubic through these; and dense against random judgements.

    python benchmarks/free_embedding.py [--widths 2 3 4 5 6 7 8] [--seconds 420] [--out docs/claims/measured/free_embedding.json]

For each width beside the dense judgements (every pair of one document more than it can hold) as many pairs drawn at random among three
times the documents: the control, which is easier. Widths that do not end within the seconds are left out.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.behaviour.free_embedding import critical, every_set, realised

LIMITS = {"patience": 1000, "steps": 20_000}
TRIES, SPREAD, DRAWS = 5, 3, 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--widths", type=int, nargs="+", default=[2, 3, 4, 5, 6, 7, 8])
    parser.add_argument("--seconds", type=float, default=420)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    found: dict[str, Any] = {"k": 2, **LIMITS, "tries": TRIES, "documents": {}, "CPU seconds": {}, "one more": {}}
    began = time.process_time()
    for width in arguments.widths:
        start = time.process_time()
        num = critical(width, k=2, tries=TRIES, seed=0, **LIMITS)
        found["documents"][width] = num
        found["CPU seconds"][width] = round(time.process_time() - start, 1)
        dense = every_set(num + 1, 2)
        several = every_set(SPREAD * (num + 1), 2)
        random = [several[np.random.default_rng(seed).choice(len(several), len(dense), replace=False)] for seed in range(DRAWS)]
        found["one more"][width] = {
            "queries": len(dense),
            "dense": sum(realised(dense, num + 1, width, seed=100 + s, **LIMITS) for s in range(DRAWS)),
            "random": sum(realised(one, SPREAD * (num + 1), width, seed=100 + s, **LIMITS) for s, one in enumerate(random)),
            "of": DRAWS,
        }
        widths, documents = (np.array(list(values)) for values in (found["documents"], found["documents"].values()))
        if len(widths) > 3:
            cubic = np.polyfit(widths, documents, 3)
            off = documents - np.polyval(cubic, widths)
            found["cubic"] = [round(float(one), 5) for one in cubic]
            found["r squared"] = round(float(1 - (off**2).sum() / ((documents - documents.mean()) ** 2).sum()), 5)
        print(width, num, found["CPU seconds"][width], found["one more"][width], flush=True)
        if arguments.out:
            arguments.out.parent.mkdir(parents=True, exist_ok=True)
            arguments.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        if time.process_time() - began + 3 * found["CPU seconds"][width] > arguments.seconds:
            break
    print({key: found.get(key) for key in ("cubic", "r squared")})


if __name__ == "__main__":
    main()
