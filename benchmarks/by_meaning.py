"""What the choices that read by a model find on the default corpus, with the packaged weights.

    python benchmarks/by_meaning.py [--pairs 800]

Needs `dvc repro curate`. On samples of retrieval pairs of train and test: the consistency filter, semantic duplicates, paraphrases of
test texts in train as they are, and after planting copies of test documents with their numbers changed and their halves swapped.
"""

import argparse
import random
import re
import time
from dataclasses import replace
from pathlib import Path

import torch
import yaml

from pipeline.build import build
from pipeline.corpus.files import read
from pipeline.corpus.row import Row

torch.set_num_threads(1)


def catalogue(path: str) -> dict:
    return yaml.safe_load((Path(__file__).parents[1] / "conf" / path).read_text(encoding="utf-8"))


def paraphrased(text: str) -> str:
    """Numbers one higher, and the second half before the first."""
    words = re.sub(r"\d", lambda digit: str((int(digit[0]) + 1) % 10), text).split()
    return " ".join([*words[len(words) // 2 :], *words[: len(words) // 2]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1500)
    parser.add_argument("--planted", type=int, default=200)
    arguments = parser.parse_args()
    draw = random.Random(0)
    train, test = (
        [row for row in read(Path(f"data/curated/apidocs/{split}.parquet"), Row) if row.task == "retrieval"]
        for split in ("train", "test")
    )
    train, test = (draw.sample(rows, min(arguments.pairs, len(rows))) for rows in (train, test))
    model = build(catalogue("measure/memorised.yaml")["model"])
    start = time.process_time()
    texts = list(dict.fromkeys(text for row in [*train, *test] for text in (row.query, row.document)))
    model(texts)
    print(
        f"{len(train)} train and {len(test)} test pairs, {len(texts)} texts encoded in {time.process_time() - start:.0f} CPU s"
    )

    filter_ = build({**catalogue("filter/consistency.yaml"), "model": None})
    filter_.model = model
    for depth in (1, filter_.depth):
        filter_.depth = depth
        gone = [(row, fault) for row, fault in zip(train, filter_(train), strict=True) if fault]
        print(f"consistency, depth {depth}: {len(gone)} of {len(train)} pairs not found")
    for row, fault in gone[:3]:
        print(f"    {fault.detail}: {row.query[:70]!r} | {row.document[:70]!r}")

    semantic = build({**catalogue("cluster/semantic.yaml"), "model": None})
    semantic.model = model
    near = semantic(texts)
    print(f"semantic, cosine {semantic.threshold}: {len(near.left)} pairs of different texts")
    for k in range(min(3, len(near.left))):
        print(f"    {near.similarity[k]:.3f}: {texts[near.left[k]][:70]!r} | {texts[near.right[k]][:70]!r}")

    measure = build({**catalogue("measure/memorised.yaml"), "model": None})
    measure.model = model
    found = measure(train, test, str)
    print(f"test texts with a train text at cosine {measure.cosine}: {found['near_in_meaning']} of {found['texts']}")
    print(f"    of these alike in letters: {found['of_these_near_in_letters']}; least alike: {found['least_alike'][:2]}")
    long = [row for row in test if len(row.document.split()) >= 6]
    chosen = draw.sample(long, min(arguments.planted, len(long)))
    copies = [
        replace(row, query=f"query {i} of a planted row", document=paraphrased(row.document)) for i, row in enumerate(chosen)
    ]
    planted = measure([*train, *copies], test, str)
    more = planted["near_in_meaning"] - found["near_in_meaning"]
    letters = planted["of_these_near_in_letters"] - found["of_these_near_in_letters"]
    print(
        f"{len(copies)} planted paraphrases of test documents: {more} more test texts flagged, {letters} of these alike in letters"
    )


if __name__ == "__main__":
    main()
