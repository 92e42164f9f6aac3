"""search: the documents nearest to a question, by the final model.

Reads:  checkpoints/final/, data/raw/
Writes: data/index/ (the vectors, made at the first question and kept while model and corpora stay the same)
"""

from pathlib import Path

import faiss
import numpy as np

from pipeline.checkpoint import sha256, whole_directory, write_json
from pipeline.corpus.files import corpora, read
from pipeline.corpus.row import Document, Row
from pipeline.encoder.encoder import Encoder
from pipeline.params import load

FINAL, RAW, INDEX = Path("checkpoints/final"), Path("data/raw"), Path("data/index")


def run(words: list[str]) -> None:
    question = " ".join(words).strip()
    if not question:
        raise ValueError('search needs a question: python -m pipeline search "rolling window over a dataframe"')
    if not RAW.is_dir():
        raise ValueError(f"{RAW} is missing; run `make repro` first")
    limits = {"max_length_tokens": 48, "batch_tokens": load()["runtime"]["batch_tokens"]}
    encoder = Encoder.load(FINAL)
    texts = _documents()
    names = sorted(texts)
    folder = INDEX / sha256(FINAL / "model.safetensors")[:16] / sha256(RAW)[:16]
    if not folder.is_dir():
        print(f"indexing {len(names)} documents, once for this model")
        vectors = encoder.encode([texts[name] for name in names], **limits, title="index", task="retrieval", side="document")
        with whole_directory(folder) as partial:
            np.save(partial / "vectors.npy", vectors)
            write_json(partial / "names.json", names)
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(np.ascontiguousarray(vectors))
    score_1K, row_1K = index.search(
        encoder.encode([question], **limits, title="question", task="retrieval", side="query"), min(10, len(names))
    )
    for score, row in zip(score_1K[0], row_1K[0], strict=True):
        first_line = texts[names[row]].split("\n")[0]
        print(f"{score:.3f}  {names[row]}\n       {first_line[:110]}")


def _documents() -> dict[str, str]:
    """Text by name over all corpora; the part of an id behind ``#`` says which text of one thing it is (docstring summary, say)."""
    texts: dict[str, list[str]] = {}
    for corpus in corpora(RAW):
        rows = [row for row in read(RAW / corpus / "rows.parquet", Row) if row.task in ("weak", "retrieval")]
        for row in sorted(rows, key=lambda row: row.task, reverse=True):  # summaries (weak) before descriptions
            texts.setdefault(row.document_id.split("#")[0], []).append(row.document)
        for document in read(RAW / corpus / "documents.parquet", Document):
            texts.setdefault(document.document_id, []).append(document.document)
    return {name: "\n".join(dict.fromkeys(parts)) for name, parts in texts.items()}
