"""One job on four engines: the exact join in parts (`pipeline.cluster.spread`), 2 worker processes each, local mode.

    python benchmarks/engines.py --peers <python of an environment with dask, ray, datatrove and this project's libraries>
        [--texts 100000] [--rounds 3]

The steps are the same functions of files; an engine gets `map`. They take turns; the table shows medians: wall seconds with and
without start and stop of the engine, CPU seconds of all its processes, and the sum of their peak memory, sampled.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ENGINES = ("dask", "ray", "ray_data", "datatrove", "here")
WORKERS, SHARDS, PARTS = 2, 8, 8


@contextmanager
def here() -> Iterator[Any]:
    yield lambda function, items: [function(item) for item in items]


@contextmanager
def dask() -> Iterator[Any]:
    from pipeline.cluster.spread import Spread

    spread = Spread(unit="word", size=3, threshold=0.7, parts=PARTS, workers=WORKERS, scheduler=None, scratch=None)
    with spread.engine() as engine:
        yield engine


@contextmanager
def _ray(mapped: Callable[[Any, Any, Any], list[Any]]) -> Iterator[Any]:
    import ray

    ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        yield lambda function, items: mapped(ray, function, list(items))
    finally:
        ray.shutdown()


def ray() -> Any:
    return _ray(lambda ray, function, items: ray.get([ray.remote(lambda one: function(one)).remote(item) for item in items]))


def ray_data() -> Any:
    """Items as a data set of one row each, one block a row; an answer goes back by pickle, since blocks are tables."""

    def mapped(ray: Any, function: Any, items: list[Any]) -> list[Any]:
        import pickle

        data = ray.data.from_items([{"n": n} for n in range(len(items))], override_num_blocks=len(items))
        rows = data.map(lambda row: {"n": row["n"], "answer": pickle.dumps(function(items[row["n"]]))}).take_all()
        return [pickle.loads(row["answer"]) for row in sorted(rows, key=lambda row: row["n"])]  # noqa: S301

    return _ray(mapped)


@contextmanager
def datatrove() -> Iterator[Any]:
    """An item is the task of one rank; answers go through files, since steps hand on documents only."""
    import pickle

    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.base import PipelineStep

    class Call(PipelineStep):
        def __init__(self, function: Any, items: list[Any], folder: str) -> None:
            super().__init__()
            self.function, self.items, self.folder = function, items, folder

        def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
            Path(self.folder, str(rank)).write_bytes(pickle.dumps(self.function(self.items[rank])))
            yield from ()

    def mapped(function: Any, items: Any) -> list[Any]:
        given = list(items)
        with tempfile.TemporaryDirectory() as folder:
            steps = [Call(function, given, folder)]
            LocalPipelineExecutor(
                steps,
                tasks=len(given),
                workers=WORKERS,
                skip_completed=False,
                logging_dir=f"{folder}/logs",
                start_method="fork",
            ).run()
            return [pickle.loads(Path(folder, str(rank)).read_bytes()) for rank in range(len(given))]  # noqa: S301

    yield mapped


def run(engine: str, shards: list[Path], out: Path) -> None:
    import numpy as np

    from pipeline.cluster.spread import near_in_parts

    with tempfile.TemporaryDirectory() as folder, globals()[engine]() as mapped:
        start = time.perf_counter()
        near = near_in_parts(mapped, shards, Path(folder), "text", "word", 3, 0.7, PARTS)
        seconds = time.perf_counter() - start
    np.save(out / "sets.npy", near.set_of)
    np.save(out / "pairs.npy", np.stack([near.left, near.right]))
    (out / "times.json").write_text(json.dumps({"job": seconds}))


def _tree(root: int) -> tuple[float, float]:
    """Resident gigabytes and CPU seconds of a process and all below it."""
    parents: dict[int, list[tuple[int, float, float]]] = {}
    tick, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        cpu = sum(map(int, fields[11:15])) / tick  # own and of children that have ended
        parents.setdefault(int(fields[1]), []).append((int(stat.parent.name), int(fields[21]) * page / 1e9, cpu))
    memory = cpu = 0.0
    waiting = [root]
    while waiting:
        for child, resident, seconds in parents.get(waiting.pop(), []):
            waiting.append(child)
            memory, cpu = memory + resident, cpu + seconds
    return memory, cpu


def one_turn(python: str, engine: str, folder: Path, out: Path) -> dict[str, float]:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "RAY_USAGE_STATS_ENABLED": "0"}
    command = [python, __file__, "--run", engine, "--folder", str(folder), "--out", str(out)]
    start = time.perf_counter()
    with (out / "log.txt").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        peak = [0.0, 0.0]

        def watch() -> None:
            while process.poll() is None:
                peak[:] = map(max, peak, _tree(os.getpid()))
                time.sleep(0.1)

        watcher = threading.Thread(target=watch)
        watcher.start()
        status = process.wait()
        watcher.join()
    if status:
        raise ValueError(f"{engine} failed:\n{(out / 'log.txt').read_text()[-3000:]}")
    job = json.loads((out / "times.json").read_text())["job"]
    return {"seconds": time.perf_counter() - start, "job": job, "cpu": peak[1], "gigabytes": peak[0]}


def main() -> None:
    import numpy as np
    import pyarrow.parquet as pq
    from near_duplicates import make_texts

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--peers", default=sys.executable)
    parser.add_argument("--raw", default="data/raw/apidocs/rows.parquet", help="what `dvc repro ingest` wrote")
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engines", nargs="+", default=ENGINES, choices=ENGINES)
    parser.add_argument("--run", choices=ENGINES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        run(arguments.run, sorted(arguments.folder.glob("*.parquet")), arguments.out)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_texts(Path(arguments.raw), arguments.texts, folder / "all")
        (folder / "shards").mkdir()
        table = pq.read_table(folder / "all")
        for k in range(SHARDS):
            rows = range(k * len(table) // SHARDS, (k + 1) * len(table) // SHARDS)
            pq.write_table(table.slice(rows.start, len(rows)), folder / f"shards/{k}.parquet")
        turns: dict[str, list[dict[str, float]]] = {engine: [] for engine in arguments.engines}
        for turn in range(arguments.rounds):
            for engine in arguments.engines:
                out = folder / engine / str(turn)
                out.mkdir(parents=True)
                turns[engine].append(one_turn(arguments.peers, engine, folder / "shards", out))
        first = next(iter(turns))
        for engine, found in turns.items():
            same = all(
                np.array_equal(np.load(folder / engine / f"0/{name}.npy"), np.load(folder / first / f"0/{name}.npy"))
                for name in ("sets", "pairs")
            )
            middle = {key: statistics.median(turn[key] for turn in found) for key in found[0]}
            print(
                f"{engine:11}" + "".join(f" {middle[key]:7.2f} {key}" for key in middle) + f"  same as {first}: {same}",
                flush=True,
            )


if __name__ == "__main__":
    main()
