"""How fast evaluation is.

    python benchmarks/evaluation.py metrics     nDCG, recall, MRR and a paired bootstrap of 1,000 draws, 5,000 queries x 100 documents
    python benchmarks/evaluation.py encode      ours and SentenceTransformer.encode on texts of skewed lengths, interleaved

`encode` takes the installed all-MiniLM-L6-v2. Both may use the batch memory of 8,192 tokens: sentence-transformers takes 32 texts
of at most 256, ours is told `batch_tokens=8192` (and on a CPU takes less). Beside it theirs with 16, 8 and 4 texts a batch: what
smaller batches alone would gain there. Prints medians of wall and CPU seconds over the rounds.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROUNDS = 3


def measured(work):
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def metrics():
    from pipeline.corpus.collection import Judged
    from pipeline.evaluator.comparison import differences, p_values
    from pipeline.evaluator.items import grouped
    from pipeline.evaluator.retrieval import Retrieval
    from pipeline.evaluator.scores import identity

    random = np.random.default_rng(0)
    queries, documents, depth = 5000, 100_000, 100
    texts = {f"d{i:06d}": "x" for i in range(documents)}
    asked = {f"q{i:04d}": "x" for i in range(queries)}
    rows = random.integers(0, documents, size=(2, queries, depth))
    scores = -np.sort(-random.random((2, queries, depth)).astype(np.float32), axis=-1)
    names = sorted(texts)
    judgements = {q: {names[r]: 1 for r in rows[0, i, :10:3]} for i, q in enumerate(sorted(asked))}
    collection = Judged("x", "retrieval", asked, texts, judgements)
    evaluator = Retrieval(depth=depth)

    def work():
        a, b = (
            {
                "x": identity(collection)
                | grouped(evaluator.judge(lambda *_, k=k: (scores[k], rows[k]), collection)[1], collection)
            }
            for k in range(2)
        )
        found = differences({"retrieval": evaluator}, a, b, resamples=1000, confidence=0.95, seed=0)
        return found, p_values({"retrieval": evaluator}, a, b, exchanges=1000, seed=0)

    times = [measured(work)[1:] for _ in range(ROUNDS)]
    wall, cpu = (statistics.median(column) for column in zip(*times, strict=True))
    print(f"two models' metrics, paired bootstrap and permutation test: {wall:.2f} s, {cpu:.2f} CPU s (median of {ROUNDS})")


def encode():
    import torch
    import yaml
    from sentence_transformers import SentenceTransformer

    from pipeline.build import build
    from pipeline.encoder.encoder import Encoder

    torch.set_num_threads(1)
    node = yaml.safe_load(Path("conf/encoder/minilm.yaml").read_text())["encoder"]["backbone"]
    random = np.random.default_rng(0)
    words = [w for w in Path("README.md").read_text().split() if w.isalpha()]
    lengths = np.minimum(
        220, np.exp(random.normal(2.3, 1.1, size=600)).astype(int) + 2
    )  # half below 12 words, some at the limit
    texts = [" ".join(random.choice(words, size=n)) for n in lengths]
    with tempfile.TemporaryDirectory() as folder:
        encoder = Encoder(build(node)([]), max_length_tokens=256)
        encoder.save(Path(folder) / "m")
        encoder = Encoder.load(Path(folder) / "m")
        peer = SentenceTransformer(str(Path(folder) / "m"), device="cpu")
        runs = {"ours": lambda: encoder.encode(texts, max_length_tokens=256, batch_tokens=8192, title="")}
        for size in (32, 16, 8, 4):
            runs[f"SentenceTransformer.encode, {size} texts"] = lambda size=size: peer.encode(
                texts, batch_size=size, show_progress_bar=False
            )
        times = {name: [] for name in runs}
        found = {}
        for _ in range(ROUNDS):
            for name, work in runs.items():
                found[name], *taken = measured(work)
                times[name].append(taken)
    medians = {name: [statistics.median(column) for column in zip(*rounds, strict=True)] for name, rounds in times.items()}
    wall, cpu = medians["ours"]
    for name, (taken, taken_cpu) in medians.items():
        farthest = np.abs(found[name] - found["ours"]).max()
        print(f"{name}: {taken:.2f} s, {taken_cpu:.2f} CPU s, {len(texts) / taken:.0f} texts/s, farthest entry {farthest:.1e}")
        print(f"  of ours: {taken / wall:.2f} times the time, {taken_cpu / cpu:.2f} times the CPU time")


if __name__ == "__main__":
    {"metrics": metrics, "encode": encode}[sys.argv[1]]()
