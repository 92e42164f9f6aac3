"""mine: hard negatives for the queries of task `retrieval`, found by the base.

Reads:  checkpoints/base/, data/curated/
Writes: data/mined/<corpus>.parquet
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.checkpoint import whole_directory
from pipeline.corpus.files import Negative, read_rows, write
from pipeline.corpus.row import Row
from pipeline.encoder.encoder import Encoder
from pipeline.params import build
from pipeline.training.prepare import prepare


def run(cfg: Mapping[str, Any], runtime: Mapping[str, Any], item: str | None, out: Path) -> dict[str, float]:
    section = cfg["mine"]
    prepare(runtime, cfg["seed"])
    encoder = Encoder.load(Path("checkpoints/base"))
    miner = build(section["miner"])
    rows: dict[str, list[Row]] = {}
    for corpus, row in read_rows(Path("data/curated"), "train", ["retrieval"]):
        if row.score is None or row.score > 0:
            rows.setdefault(corpus, []).append(row)
    metrics: dict[str, float] = {}
    with whole_directory(out / "data/mined") as folder:
        for corpus, of_corpus in rows.items():
            limits = {"max_length_tokens": section["max_length_tokens"], "batch_tokens": runtime["batch_tokens"]}
            chosen = _first_queries(of_corpus, section["max_queries"])
            queries, documents = sorted({row.query for row in chosen}), sorted({row.document for row in chosen})
            query_BD = encoder.encode(queries, **limits, title=f"mine {corpus}: queries", task="retrieval", side="query")
            document_ND = encoder.encode(
                documents, **limits, title=f"mine {corpus}: documents", task="retrieval", side="document"
            )
            place = {text: i for i, text in enumerate(documents)}
            own: dict[str, set[int]] = {query: set() for query in queries}
            for row in chosen:
                own[row.query].add(place[row.document])
            copies = _copies(queries, documents, own)
            found = miner(query_BD, document_ND, [own[query] for query in queries], copies)
            negatives = [
                Negative(q, documents[j], rank) for q, js in zip(queries, found, strict=True) for rank, j in enumerate(js)
            ]
            write(folder / f"{corpus}.parquet", Negative, negatives)
            print(f"{corpus}: {len(negatives)} hard negatives for {len(queries)} queries among {len(documents)} documents")
            metrics |= {f"{corpus}/negatives": len(negatives), f"{corpus}/queries": len(queries)}
    return metrics


def _copies(queries: list[str], documents: list[str], own: Mapping[str, set[int]]) -> list[set[int]]:
    """For each query the documents that say what it or one of its answers says, but for letter case and white space."""
    places: dict[str, set[int]] = {}
    for i, text in enumerate(documents):
        places.setdefault(_words(text), set()).add(i)
    return [
        set().union(*(places.get(_words(text), set()) for text in (query, *(documents[j] for j in own[query]))))
        for query in queries
    ]


def _words(text: str) -> str:
    return " ".join(text.casefold().split())


def _first_queries(rows: list[Row], limit: int) -> list[Row]:
    """All rows of ``limit`` queries, spread evenly over the corpus."""
    names = list(dict.fromkeys(row.query for row in rows))
    step = max(1, len(names) / limit)
    chosen = {names[int(i * step)] for i in range(min(limit, len(names)))}
    return [row for row in rows if row.query in chosen]
