"""Seconds, CPU seconds and peak memory of ingest and curate by the number of rows, and how they grow.

    python benchmarks/scale.py [--rows 10000 100000 1000000] [--rounds 1] [--form parquet] [--out docs/scale.json]

The table is made from a seed: pairs of distinct texts (10 to 15 words, and 20 to 35), in groups of twenty rows; of all rows a twentieth
repeats an earlier pair, a tenth is an earlier pair with one word changed at the end of each text, a fiftieth has the document of another
group, and one in a thousand has no text. Each stage is a process of its own in a workspace of its own, with the default curation: near
duplicates, whole groups to splits, contamination by text, audit. Peak memory is that of the whole process, imports included.
"""

import argparse
import json
import math
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
import yaml

ROOT = Path(__file__).parents[1]
WORDS, BLOCK = 50_000, 100_000  # words of the vocabulary; rows made at a time
REPEATED, NEAR, SHARED, EMPTY, GROUP = 0.05, 0.10, 0.02, 0.001, 20
STAGES = ("ingest", "curate")
PAGE = {
    "choose": {"experiment": "own", "encoder": "minilm"},
    "experts": {"retrieval": "checkpoints/experts/retrieval"},
    "methods": [],
    "derivations": {},
    "baselines": [],
    "models": {"retrieval": "checkpoints/experts/retrieval"},
    "set": {},
}


def vocabulary(draw: np.random.Generator) -> np.ndarray:
    """Pseudo-words of 3 to 9 letters, each once; one in 200 has an accent."""
    letters = np.array(list("etaoinshrdlucmfwypvbgk"))
    found: dict[str, None] = {}
    while len(found) < WORDS:
        word = "".join(draw.choice(letters, draw.integers(3, 10)))
        found[word + "é" if len(found) % 200 == 7 else word] = None
    return np.array(list(found), dtype=object)


def texts(draw: np.random.Generator, words: np.ndarray, count: int, least: int, most: int) -> list[str]:
    """Sentences whose words are drawn about as often as words of prose are."""
    share = 1 / (np.arange(WORDS) + 10.0)
    lengths = draw.integers(least, most + 1, count)
    picked = words[np.searchsorted(np.cumsum(share / share.sum()), draw.random(lengths.sum()))]
    ends = np.cumsum(lengths)
    return [" ".join(picked[end - length : end]) for end, length in zip(ends.tolist(), lengths.tolist(), strict=True)]


def make(path: Path, count: int, form: str, seed: int = 0) -> None:
    """A table of ``count`` pairs with the columns query, document and group; what is planted is of the rows of its block."""
    draw = np.random.default_rng(seed)
    words = vocabulary(draw)
    blocks = []
    for first in range(0, count, BLOCK):
        n = min(BLOCK, count - first)
        query, document = (np.array(texts(draw, words, n, *size), dtype=object) for size in ((10, 15), (20, 35)))
        group = (first + np.arange(n)) // GROUP
        kind = draw.random(n)
        kind[:GROUP] = 1  # rows that others may repeat
        for i in np.flatnonzero(kind < REPEATED + NEAR + SHARED + EMPTY):
            source = draw.integers(0, i)
            if kind[i] < REPEATED + NEAR:
                query[i], document[i], group[i] = query[source], document[source], group[source]
            if REPEATED <= kind[i] < REPEATED + NEAR:
                query[i], document[i] = (f"{text.rpartition(' ')[0]} {draw.choice(words)}" for text in (query[i], document[i]))
            elif REPEATED + NEAR <= kind[i] < REPEATED + NEAR + SHARED:
                document[i] = document[source]
            elif kind[i] >= REPEATED + NEAR + SHARED:
                document[i] = " "
        blocks.append(pa.table({"query": query.tolist(), "document": document.tolist(), "group": [f"g{one}" for one in group]}))
    table = pa.concat_tables(blocks)
    if form == "parquet":
        pq.write_table(table, path, compression="zstd")
    elif form == "csv":
        csv.write_csv(table, path)
    else:
        with path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in table.to_pylist())


def workspace(folder: Path, count: int, form: str) -> Path:
    shutil.copytree(ROOT / "conf", folder / "conf")
    for name in ("constraints.txt", "dvc.yaml"):
        shutil.copy(ROOT / name, folder)
    (folder / "checkpoints/derived").mkdir(parents=True)
    (folder / "data/source").mkdir(parents=True)
    columns = {"query": "query", "document": "document", "group": "group"}
    page = PAGE | {"corpora": {"pairs": {"source": "table", "path": f"data/source/pairs.{form}", "columns": columns}}}
    (folder / "params.yaml").write_text(yaml.safe_dump(page, sort_keys=False), encoding="utf-8")
    make(folder / f"data/source/pairs.{form}", count, form)
    return folder


def measured(folder: Path, stage: str) -> dict[str, float]:
    """One stage in a process of its own: wall and CPU seconds, peak memory in bytes. CalledProcessError where it fails."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "pipeline", stage]
    process = subprocess.Popen(command, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    kilo = 1 if platform.system() == "Darwin" else 1024
    wall = time.perf_counter() - started
    return {"wall_seconds": wall, "cpu_seconds": used.ru_utime + used.ru_stime, "peak_bytes": used.ru_maxrss * kilo}


def machine() -> dict[str, Any]:
    model = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "")
    return {"cores": len(os.sched_getaffinity(0)), "processor": model, "python": platform.python_version()}


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines() if Path(path).exists() else []


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """By stage and rows the medians, and from the second size on what a further row costs, and the exponent of its growth.

    What the smallest table takes, most of it imports, is taken off first: an exponent says how the cost of the rows themselves grows.
    """
    found: dict[str, Any] = {}
    for stage in STAGES:
        rows: list[dict[str, Any]] = []
        for count in sorted({run["rows"] for run in runs}):
            own = [run[stage] for run in runs if run["rows"] == count]
            one = {key: statistics.median(run[key] for run in own) for key in own[0]}
            rows.append({"rows": count, **one, "rows_per_second": count / one["wall_seconds"]})
        for one in rows[1:]:
            span = one["rows"] - rows[0]["rows"]
            one["bytes_per_further_row"] = (one["peak_bytes"] - rows[0]["peak_bytes"]) / span
            one["further_rows_per_cpu_second"] = span / max(1e-9, one["cpu_seconds"] - rows[0]["cpu_seconds"])
        for small, large in pairwise(rows[1:]):
            costs = [one["rows"] / one["further_rows_per_cpu_second"] for one in (small, large)]
            large["exponent"] = math.log(costs[1] / costs[0]) / math.log(large["rows"] / small["rows"])
        found[stage] = [{key: round(value, 3) for key, value in one.items()} for one in rows]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--form", choices=("parquet", "csv", "jsonl"), default="parquet")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    runs = []
    for _ in range(arguments.rounds):
        for count in arguments.rows:
            with tempfile.TemporaryDirectory() as temporary:
                folder = workspace(Path(temporary) / "workspace", count, arguments.form)
                measured(folder, "compose")
                runs.append({"rows": count} | {stage: measured(folder, stage) for stage in STAGES})
                print(json.dumps(runs[-1]), flush=True)
    found = {"machine": machine(), "form": arguments.form, "rounds": arguments.rounds} | summary(runs)
    told = json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    if arguments.out:
        arguments.out.write_text(told, encoding="utf-8")
    print(told)


if __name__ == "__main__":
    main()
