"""What is known to be wrong with real collections, found again: TRIBUTARY_DATA=<folder> python benchmarks/real_dirt.py

MedQuAD's repeated answers, and rows of the yearly STS sets that also stand in STS-B, with the counts their description states.
"""

import csv
import gzip
import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.twins import kept_twins
from pipeline.cluster.join import Join
from pipeline.cluster.minhash import MinHash


def medquad(root: Path) -> None:
    with gzip.open(root / "retrieval/medquad/corpus.jsonl.gz", "rt", encoding="utf-8") as file:
        answers = [json.loads(line)["text"] for line in file]
    groups = Counter(re.sub(r"[\W_]+", "", answer.lower()) for answer in answers)
    repeated = [n for n in groups.values() if n > 1]
    print(
        f"medquad, letters and digits only: {sum(repeated) - len(repeated)} repeats in {len(repeated)} groups (stated: 599 in 86)"
    )
    near = Join(unit="word", size=5, threshold=0.8, workers=2)(answers)
    sizes = [n for n in Counter(near.components().tolist()).values() if n > 1]
    print(
        f"medquad, 5-word shingles, Jaccard >= 0.8: {sum(sizes) - len(sizes)} redundant in {len(sizes)} clusters, the largest "
        f"{max(sizes)} (stated: 1,273 in 190, largest 482)"
    )
    bare = [re.sub(r"[^a-z0-9 ]", "", answer.lower()) for answer in answers]
    others: dict[str, Any] = {
        "punctuation deleted before words are parted": Join(unit="word", size=5, threshold=0.8, workers=2)
    }
    for permutations, bands in ((128, 16), (64, 8)):
        name = f"the same, candidates by MinHash of {permutations} permutations in {bands} bands, then verified"
        others[name] = MinHash(unit="word", size=5, threshold=0.8, permutations=permutations, bands=bands, seed=1)
    for name, find in others.items():
        sizes = [n for n in Counter(find(bare).components().tolist()).values() if n > 1]
        print(f"medquad, {name}: {sum(sizes) - len(sizes)} redundant in {len(sizes)} clusters, the largest {max(sizes)}")
    place = np.arange(len(answers))
    gone = int((kept_twins(near, place, chains=False) != place).sum())
    print(f"medquad, dropped where only direct twins go: {gone}")


def sts(root: Path) -> None:
    def pairs(name: str) -> list[dict[str, str]]:
        with (root / f"sts/{name}.tsv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))

    def key(row: dict[str, str]) -> frozenset[str]:
        return frozenset(
            " ".join(re.findall(r"\w+", re.sub(r"[^\w\s]", "", row[side].lower()))) for side in ("sentence1", "sentence2")
        )

    known = {key(row) for part in ("train", "dev", "test") for row in pairs(f"stsb.{part}")}
    for name in ("sts12.train", "sts12.test", "sts13.test", "sts14.test", "sts15.test"):
        rows = pairs(name)
        found = [key(row) in known for row in rows]
        stated = [bool(row["also_in_stsb"]) for row in rows]
        differ = sum(one != other for one, other in zip(found, stated, strict=True))
        print(f"{name}: {sum(found)} of {len(rows)} also in STS-B (stated: {sum(stated)}; differ in {differ})")


if __name__ == "__main__":
    folder = Path(os.environ["TRIBUTARY_DATA"])
    medquad(folder)
    sts(folder)
