"""Our scores beside mteb's own road (its tasks, its SentenceTransformer wrapper) for all-MiniLM-L6-v2, on real data.

    TRIBUTARY_DATA=<folder> python benchmarks/mteb_equal.py [sts] [classification] [clustering] [scifact] [cut=256]

`sts`: STS-B test. `classification`, `clustering`: Banking77, its first ten intents. `scifact`: SciFact test (many minutes;
with `cut=64` both roads read 64 tokens of a text, which is quicker). Prints both scores and their difference.
"""

import csv
import os
import sys
import tempfile
from pathlib import Path

import mteb
import yaml
from mteb_local import local
from sentence_transformers import SentenceTransformer

from pipeline.build import build
from pipeline.corpus.collection import Collection, Judged, Labelled, Pairs
from pipeline.encoder.encoder import Encoder
from pipeline.source.beir import Beir


def table(name: str) -> list[dict[str, str]]:
    with (Path(os.environ["TRIBUTARY_DATA"]) / name).open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


def intents(part: str) -> list[tuple[str, str, str]]:
    rows = table(f"pairs/banking77.{part}.tsv")
    chosen = sorted({row["intent"] for row in rows})[:10]
    return [(row["id"], row["text"], row["intent"]) for row in rows if row["intent"] in chosen]


def collection(task: str) -> Collection:
    if task == "sts":
        rows = table("sts/stsb.test.tsv")
        return Pairs("stsb", "sts", pairs=[(r["id"], r["sentence1"], r["sentence2"], float(r["score"])) for r in rows])
    if task == "classification":
        return Labelled("banking77", task, labelled=intents("test"), examples=intents("train"))
    if task == "clustering":
        return Labelled("banking77", task, labelled=intents("test"))
    records = list(
        Beir(
            path="retrieval/scifact",
            root=os.environ["TRIBUTARY_DATA"],
            splits={"train": None, "test": "test"},
            task="retrieval",
            kind=None,
            relevant_above=0,
        ).read()
    )
    rows = [record for record in records if hasattr(record, "query_id")]
    documents = {record.document_id: record.document for record in records if hasattr(record, "document_id")}
    judgements: dict[str, dict[str, int]] = {}
    for row in rows:
        judgements.setdefault(row.query_id, {})[row.document_id] = 1 if row.score is None else round(row.score)
    return Judged("scifact", "retrieval", {row.query_id: row.query for row in rows}, documents, judgements)


def main() -> None:
    node = yaml.safe_load(Path("conf/encoder/minilm.yaml").read_text())["encoder"]["backbone"]
    cut = next((int(word.removeprefix("cut=")) for word in sys.argv if word.startswith("cut=")), 256)
    tasks = [word for word in sys.argv[1:] if "=" not in word] or ["sts", "classification", "clustering"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        Encoder(build(node)([]), max_length_tokens=cut).save(path)
        encoder, peer = Encoder.load(path), SentenceTransformer(str(path), device="cpu")
        limits = {"max_length_tokens": cut, "batch_tokens": 8192, "title": ""}
        for task in tasks:
            given = collection(task)
            evaluator = build(yaml.safe_load(Path(f"conf/evaluator/{given.task}.yaml").read_text()))
            ours, _ = evaluator.evaluate(lambda texts, side, task: encoder.encode(texts, **limits), given)
            settings = {"max_documents_per_cluster": evaluator.texts} if task == "clustering" else {}
            theirs = (
                mteb.evaluate(peer, local(given, **settings), cache=None, co2_tracker=False, show_progress_bar=False)
                .task_results[0]
                .get_score()
            )
            score = ours[evaluator.main]
            print(f"{task}: ours {score:.6f}, mteb {theirs:.6f}, difference {abs(score - theirs):.1e}", flush=True)


if __name__ == "__main__":
    main()
