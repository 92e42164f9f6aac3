"""Near duplicates among short texts: the exact join against rensa, datasketch, text-dedup and datatrove.

    python benchmarks/near_duplicates.py --peers <python of an environment with the peers> [--texts 1000000] [--rounds 3]

Every engine is a process of its own, 2 threads or processes where it can use them: reads one Parquet file, writes what it drops
and why. They take turns, round after round; the table shows medians. Truth is what the join itself finds with similarity over
0.7 on word 3-grams; that it equals brute force is shown on 20,000 of the texts by `tests/cluster/test_join.py` and, here, by a
sparse matrix product over the first 30,000 texts. Peers run at the same threshold, shingles and 128 permutations.

Texts: sentences of the default corpus' docstrings, the first half of one and the second half of another, so that they last for
a million; one in five is an edited copy (words replaced, taken out, added or swapped) of an earlier one.
"""

import argparse
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

THRESHOLD, SIZE, PERMUTATIONS = 0.7, 3, 128
ENGINES = ("join", "rensa", "datasketch", "text_dedup", "datatrove")


def make_texts(raw: Path, count: int, out: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = pq.read_table(raw, columns=["query", "document"]).to_pydict()
    sentences = sorted(
        {s.strip() for t in rows["query"] + rows["document"] for s in re.split(r"(?<=[.!?])\s+", t) if len(s.split()) > 4}
    )
    draw = random.Random(0)
    words = sorted({word for s in sentences for word in s.split()})
    texts: list[str] = []
    while len(texts) < count:
        if texts and draw.random() < 0.2:
            tokens = draw.choice(texts).split()
            for _ in range(draw.randint(0, 3)):
                at, kind = draw.randrange(len(tokens)), draw.randrange(4)
                if kind == 0:
                    tokens[at] = draw.choice(words)
                elif kind == 1 and len(tokens) > 4:
                    del tokens[at]
                elif kind == 2:
                    tokens.insert(at, draw.choice(words))
                else:
                    tokens[at - 1], tokens[at] = tokens[at], tokens[at - 1]
            texts.append(" ".join(tokens))
        else:
            head, tail = (one.split() for one in draw.sample(sentences, 2))
            texts.append(" ".join([*head[: (len(head) + 1) // 2], *tail[len(tail) // 2 :]]))
    table = pa.table({"id": list(range(count)), "text": texts})
    pq.write_table(table, out)
    halves = out.parent / "halves"
    halves.mkdir()
    pq.write_table(table[: count // 2], halves / "0.parquet")
    pq.write_table(table[count // 2 :], halves / "1.parquet")


# One engine, in a process of its own. Each returns near pairs where it has any, and always what it would drop.


def join(path: Path, out: Path) -> None:
    from shards import deduplicate_shards

    from pipeline.cluster.join import Join

    find = Join(unit="word", size=SIZE, threshold=THRESHOLD, workers=2)
    counts = deduplicate_shards([path], out / "result", text="text", identity="id", find=find, longest=False)
    (out / "counts.json").write_text(json.dumps(counts))


def _read(path: Path) -> tuple[list[int], list[str]]:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    return table.column("id").to_pylist(), table.column("text").to_pylist()


def _shingles(text: str) -> list[str]:
    words = re.findall(r"\w+", text.lower())
    return [" ".join(words[i : i + SIZE]) for i in range(max(1, len(words) - SIZE + 1))]


def _write(out: Path, pairs: list[tuple[int, int]], count: int) -> None:
    """Components by union-find, the first text kept; the same outputs as the join's."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    parent = list(range(count))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i, j in pairs:
        a, b = sorted((root(i), root(j)))
        parent[b] = a
    twins = [(i, root(i)) for i in range(count)]
    dropped = [(i, t) for i, t in twins if i != t]
    pq.write_table(pa.table({"id": [i for i, _ in dropped], "twin_id": [t for _, t in dropped]}), out / "dropped.parquet")
    pq.write_table(pa.table({"left": [p[0] for p in pairs], "right": [p[1] for p in pairs]}), out / "pairs.parquet")


def rensa(path: Path, out: Path) -> None:
    from rensa import RMinHash, RMinHashLSH

    ids, texts = _read(path)
    index = RMinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS, num_bands=16)
    pairs = []
    for i, text in zip(ids, texts, strict=True):
        one = RMinHash(num_perm=PERMUTATIONS, seed=1)
        one.update(_shingles(text))
        pairs += [(j, i) for j in index.query(one)]
        index.insert(i, one)
    _write(out, pairs, len(ids))


def datasketch(path: Path, out: Path) -> None:
    from datasketch import MinHash, MinHashLSH

    ids, texts = _read(path)
    index = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS)
    pairs = []
    for i, text in zip(ids, texts, strict=True):
        one = MinHash(num_perm=PERMUTATIONS, seed=1)
        one.update_batch([s.encode() for s in _shingles(text)])
        pairs += [(j, i) for j in index.query(one)]
        index.insert(i, one)
    _write(out, pairs, len(ids))


def text_dedup(path: Path, out: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import load_from_disk
    from text_dedup.minhash import main as minhash

    options = [
        "--path",
        "parquet",
        "--data_files",
        path,
        "--split",
        "train",
        "--cache_dir",
        out / "cache",
        "--output",
        out / "kept",
    ]
    options += ["--column", "text", "--ngram", SIZE, "--min_length", 1, "--num_perm", PERMUTATIONS, "--threshold", THRESHOLD]
    minhash([str(one) for one in [*options, "--batch_size", 10_000, "--num_proc", 2]], standalone_mode=False)
    kept = set(load_from_disk(str(out / "kept"))["id"])
    pq.write_table(pa.table({"id": [i for i in _read(path)[0] if i not in kept]}), out / "dropped.parquet")


def datatrove(path: Path, out: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.writers import JsonlWriter

    config = MinhashConfig(n_grams=SIZE, num_buckets=16, hashes_per_bucket=8)
    work = str(out / "work")
    halves = {"data_folder": str(path.parent / "halves"), "text_key": "text", "id_key": "id"}  # one for each of its tasks

    def run(*steps, tasks=1):
        LocalPipelineExecutor(
            list(steps),
            tasks=tasks,
            workers=min(2, tasks),
            skip_completed=False,
            logging_dir=f"{work}/logs/{type(steps[-1]).__name__}",
        ).run()

    run(ParquetReader(**halves), MinhashDedupSignature(output_folder=f"{work}/signatures", config=config), tasks=2)
    for_buckets = MinhashDedupBuckets(f"{work}/signatures", f"{work}/buckets", config=config)
    run(for_buckets, tasks=config.num_buckets)
    run(MinhashDedupCluster(f"{work}/buckets", f"{work}/remove", config=config))
    run(
        ParquetReader(**halves),
        MinhashDedupFilter(f"{work}/remove", exclusion_writer=JsonlWriter(f"{work}/removed", compression=None)),
        JsonlWriter(f"{work}/kept", compression=None),
        tasks=2,
    )
    files = sorted(Path(work, "removed").glob("*.jsonl"))
    removed = [int(json.loads(line).get("id", 0)) for file in files for line in file.read_text().splitlines()]  # no id: 0
    pq.write_table(pa.table({"id": removed}), out / "dropped.parquet")


# Turns, truth and the table


def one_turn(python: str, engine: str, texts: Path, out: Path) -> dict[str, float]:
    """Wall and CPU seconds and peak memory of one engine in a process of its own, start included."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [python, __file__, "--run", engine, "--file", str(texts), "--out", str(out)]
    start = time.perf_counter()
    with (out / "log.txt").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise ValueError(f"{engine} failed:\n{(out / 'log.txt').read_text()[-2000:]}")
    return {"seconds": time.perf_counter() - start, "cpu": usage.ru_utime + usage.ru_stime, "gigabytes": usage.ru_maxrss / 1e6}


def true_pairs(texts: Path) -> set[tuple[int, int]]:
    import pyarrow.parquet as pq
    from text_pairs import text_pairs

    from pipeline.cluster.join import Join

    found = Join(unit="word", size=SIZE, threshold=THRESHOLD, workers=2)(pq.read_table(texts).column("text"))
    return {(i, j) for i, j, _ in text_pairs(found)}


def sparse_pairs(texts: list[str]) -> set[tuple[int, int]]:
    """The same by a sparse matrix product, with shingles as text."""
    import numpy as np
    from scipy.sparse import csr_array

    number: dict[str, int] = {}
    sets = [{number.setdefault(s, len(number)) for s in _shingles(text.replace("_", " "))} for text in texts]
    starts = np.cumsum([0, *map(len, sets)])
    matrix = csr_array((np.ones(starts[-1]), [i for one in sets for i in sorted(one)], starts), shape=(len(sets), len(number)))
    sizes = np.diff(starts)
    found: set[tuple[int, int]] = set()
    for first in range(0, len(sets), 2000):
        shared = (matrix[first : first + 2000] @ matrix.T).tocoo()
        rows = shared.row + first
        near = (shared.data / (sizes[rows] + sizes[shared.col] - shared.data) >= THRESHOLD) & (rows < shared.col)
        found |= set(zip(rows[near].tolist(), shared.col[near].tolist(), strict=True))
    return found


def main() -> None:
    import pyarrow.parquet as pq

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--peers", default=sys.executable, help="python of an environment with the peers")
    parser.add_argument("--raw", default="data/raw/apidocs/rows.parquet", help="what `dvc repro ingest` wrote")
    parser.add_argument("--texts", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engines", nargs="+", default=["join", "rensa"], choices=ENGINES)
    parser.add_argument("--run", choices=ENGINES, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        globals()[arguments.run](arguments.file, arguments.out)
        return
    with tempfile.TemporaryDirectory() as folder:
        texts = Path(folder) / "texts.parquet"
        make_texts(Path(arguments.raw), arguments.texts, texts)
        turns: dict[str, list[dict[str, float]]] = {engine: [] for engine in arguments.engines}
        for turn in range(arguments.rounds):
            for engine in arguments.engines:
                out = Path(folder) / engine / str(turn)
                out.mkdir(parents=True)
                turns[engine].append(one_turn(sys.executable if engine == "join" else arguments.peers, engine, texts, out))
                print(engine, json.dumps(turns[engine][-1]), flush=True)
        truth = true_pairs(texts)
        first = pq.read_table(texts).column("text")[:30_000].to_pylist()
        checked = sparse_pairs(first) == {pair for pair in truth if pair[1] < 30_000}
        print(f"{arguments.texts} texts, {len(truth)} true pairs; equal to a sparse product on the first 30,000: {checked}")
        for engine, found in turns.items():
            middle = {key: statistics.median(turn[key] for turn in found) for key in found[0]}
            pairs = Path(folder) / engine / "0/pairs.parquet"
            line = f"{engine:11}" + "".join(f" {middle[key]:8.2f} {key}" for key in middle)
            line += f" {arguments.texts / middle['seconds']:9.0f} texts/s"
            if pairs.exists():
                table = pq.read_table(pairs).to_pydict()
                named = {(min(p), max(p)) for p in zip(table["left"], table["right"], strict=True)}
                line += f"  pair recall {len(named & truth) / len(truth):.4f} precision {len(named & truth) / max(1, len(named)):.4f}"
            print(line, flush=True)


if __name__ == "__main__":
    main()
