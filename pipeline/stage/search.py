"""search: the documents nearest to a question, by the final model or another, in the run's corpora or in any table of texts.

python -m pipeline search "rolling window over a dataframe"
python -m pipeline search corpus=notes.jsonl text=body name=title model=DIR tokens=256 top=5 "where the keys lie"

Reads:  checkpoints/final/ (model=), data/raw/ (corpus=: a file or folder of JSONL, CSV, TSV or Parquet)
Writes: data/index/ (per model, the vector of each text, and an index for each set of texts; a changed corpus encodes only new texts)
"""

import hashlib
import json
import os
from pathlib import Path

import faiss
import numpy as np

from pipeline.build import load
from pipeline.checkpoint import sha256, write_json
from pipeline.corpus.files import corpora, read
from pipeline.corpus.place import shards
from pipeline.corpus.reading import read_cells
from pipeline.corpus.row import Document, Rejected, Row
from pipeline.distributed import encoding_devices
from pipeline.encoder.cache import EmbeddingCache
from pipeline.encoder.directory import weights_hash
from pipeline.encoder.encoder import Encoder
from pipeline.spelling import nearest
from pipeline.task import SEARCH, kind_of

FINAL, RAW, INDEX = Path("checkpoints/final"), Path("data/raw"), Path("data/index")
HASHED = 16  # digits of the hash in an index' name
KEYS = ("corpus", "text", "name", "model", "tokens", "top")


def run(words: list[str]) -> None:
    given = dict(word.split("=", 1) for word in words if word.split("=")[0] in KEYS and "=" in word)
    question = " ".join(word for word in words if word.split("=")[0] not in given).strip()
    if not question:
        raise ValueError('search needs a question: python -m pipeline search "rolling window over a dataframe"')
    top, tokens = _whole(given, "top", 10), _whole(given, "tokens", 0)
    model = Path(given.get("model", FINAL))
    if "model" not in given and not model.is_dir():
        raise ValueError(f"there is no model yet ({model}); run `make repro`, which makes it, or name one: model=DIRECTORY")
    config = load()
    limits = {
        "max_length_tokens": tokens or config["evaluate"]["max_length_tokens"],
        "batch_tokens": config["runtime"]["batch_tokens"],
    }
    if "corpus" in given:
        texts = _table(Path(given["corpus"]), given.get("text", "text"), given.get("name"))
    elif not RAW.is_dir():
        raise ValueError(f"{RAW} is missing; run `make repro` first, or name your own texts: corpus=FILE")
    else:
        texts = _documents()
    if not texts:
        raise ValueError(f"{given.get('corpus', RAW)} holds no text to search")
    encoder = Encoder.load(model)
    encoder.spread(encoding_devices(config["runtime"]))
    names, index = _index(encoder, f"{weights_hash(model)} {limits['max_length_tokens']}", texts, limits)
    vector = encoder.encode([question], **limits, title="question", task=SEARCH.name, side="query", unit=True)
    score_1K, row_1K = index.search(vector, min(top, len(names)))
    for score, row in zip(score_1K[0], row_1K[0], strict=True):
        first_line = texts[names[row]].split("\n")[0]
        print(f"{score:.3f}  {names[row]}\n       {first_line[:110]}")


def _index(encoder: Encoder, model: str, texts: dict[str, str], limits: dict[str, int]) -> tuple[list[str], faiss.Index]:
    """Names, and an exact index of their vectors, from disk where these very texts were indexed before."""
    names = sorted(texts)
    content = hashlib.sha256(json.dumps([(name, texts[name]) for name in names]).encode()).hexdigest()[:32]
    cache = EmbeddingCache(INDEX, model=model)
    if (kept := _kept(cache.folder, content)) is not None:
        return names, kept
    file = cache.folder / f"{content}.faiss"
    prompt = encoder.reading(SEARCH.name, "document")

    def encoded(missing: list[str]) -> np.ndarray:
        print(f"indexing {len(missing)} of {len(set(texts.values()))} texts, once for this model")
        return encoder.encode(missing, **limits, title="index", task=SEARCH.name, side="document", unit=True)

    vectors = cache.encode([texts[name] for name in names], prompt, encoded)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(np.ascontiguousarray(vectors))
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        faiss.write_index(index, str(partial))
        partial.replace(file.with_stem(f"{content}-{sha256(partial)[:HASHED]}"))
    finally:
        partial.unlink(missing_ok=True)
    write_json(cache.folder / "model.json", {"model and cut": model})
    return names, index


def _kept(folder: Path, content: str) -> faiss.Index | None:
    """The index of these texts; a damaged one, whose bytes have not the hash in its name, is named and removed."""
    for file in sorted(folder.glob(f"{content}-*.faiss")):
        if file.stem.rpartition("-")[2] == sha256(file)[:HASHED]:
            return faiss.read_index(str(file))
        print(f"{file} is damaged: its bytes have not the hash in its name; it is made anew")
        file.unlink()
    return None


def _whole(given: dict[str, str], key: str, default: int) -> int:
    value = given.get(key, str(default))
    if not value.isdigit() or (key in given and int(value) == 0):
        raise ValueError(f"{key} must be a whole number above 0, got {value!r}")
    return int(value)


def _table(path: Path, text: str, name: str | None) -> dict[str, str]:
    """Texts of column ``text`` by column ``name``, or by file and line; equal names of unlike texts are refused."""
    found: dict[str, str] = {}
    unread = 0
    needed = [text, *([name] if name else [])]
    for file in shards(path):
        for cells in read_cells(file, file=file.name, needed=needed, delimiter=None, quoting=True):
            if isinstance(cells, Rejected):
                unread += 1
                continue
            for column in needed:
                if column not in cells.values:
                    raise ValueError(
                        f"{cells.file}, line {cells.line}: no column {column!r}{nearest(column, cells.values)}; columns there: "
                        f"{', '.join(cells.values)}; say text=COLUMN (and name=COLUMN)"
                    )
            value = str(cells.values[text] or "")
            if not value.strip():
                unread += 1
                continue
            key = str(cells.values[name]) if name else f"{cells.file}:{cells.line}"
            if found.setdefault(key, value) != value:
                raise ValueError(
                    f"{path}: {name} {key!r} names two texts; choose a column whose values are unique, or leave out name="
                )
    if unread:
        print(f"{path}: {unread} records hold no text and are left out")
    return found


def _documents() -> dict[str, str]:
    """Text by name over all corpora; documents about one thing (summary and description of a docstring, say) are one text."""
    texts: dict[str, list[str]] = {}
    for corpus in corpora(RAW):
        rows = [(kind_of(row), row) for row in read(RAW / corpus / "rows.parquet", Row)]
        cheap = [row for kind, row in rows if kind.texts == "prose" and not kind.evaluated]  # summaries before descriptions
        for row in [*cheap, *(row for kind, row in rows if kind.pool)]:
            texts.setdefault(row.thing or row.document_id, []).append(row.document)
        for kind, row in rows:
            if kind.classmates:
                texts.setdefault(row.query_id, []).append(row.query)
        for document in read(RAW / corpus / "documents.parquet", Document):
            texts.setdefault(document.document_id, []).append(document.document)
    return {name: "\n".join(dict.fromkeys(parts)) for name, parts in texts.items()}
