"""Vectors kept on disk by the hash of text, prompt, model and cut, so that no text is encoded twice.

A folder per model; each call adds one file, which takes its name when it is whole, so that stages may write at once and a killed one
leaves nothing that is read. Vectors come out as they were first made, in another batch perhaps: equal to rounding, not to the bit.
So a cache is off unless `runtime.embeddings` names a folder.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

DIGEST_BYTES = 16  # of SHA-256: two of a billion texts share 128 bits with probability 1e-21


class EmbeddingCache:
    """``folder`` holds all models; ``model`` tells this one from any other: a hash of its directory, and where texts are cut."""

    def __init__(self, folder: Path, *, model: str) -> None:
        self.folder = folder / hashlib.sha256(model.encode()).hexdigest()[:32]
        self.known: dict[bytes, np.ndarray] = {}
        self.seen: set[str] = set()

    def encode(
        self, texts: Sequence[str], prompt: str, encode: Callable[[list[str]], Float[np.ndarray, "B D"]]
    ) -> Float[np.ndarray, "B D"]:
        """Vectors of ``texts`` in their order; ``encode`` is asked for those that are not there, each once."""
        if not texts:
            return encode([])
        self._read()
        keys = [key(text, prompt) for text in texts]
        new = {k: text for k, text in zip(keys, texts, strict=True) if k not in self.known}
        if new:
            vectors = encode(list(new.values()))
            self.known |= dict(zip(new, vectors, strict=True))
            self._write(list(new), vectors)
        return np.stack([self.known[k] for k in keys])

    def _read(self) -> None:
        """What has come since the last look, from this process or another; a file that is gone or broken is passed over."""
        for file in sorted(self.folder.glob("*.safetensors")):
            if file.name in self.seen:
                continue
            self.seen.add(file.name)
            try:
                content = load_file(file)
                pairs = zip(content["key"], content["vector"], strict=True)
            except (OSError, SafetensorError, KeyError):
                continue
            for k, vector in pairs:
                self.known.setdefault(k.tobytes(), vector)

    def _write(self, keys: list[bytes], vectors: Float[np.ndarray, "B D"]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(b"".join(sorted(keys))).hexdigest()[:32]
        partial = self.folder / f".{name}.{os.getpid()}.partial"
        try:
            save_file(
                {
                    "key": np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, DIGEST_BYTES).copy(),
                    "vector": np.ascontiguousarray(vectors),
                },
                partial,
            )
            partial.replace(self.folder / f"{name}.safetensors")
        finally:
            partial.unlink(missing_ok=True)


def key(text: str, prompt: str) -> bytes:
    """Of a text behind its prompt; the length of the prompt keeps the two apart."""
    return hashlib.sha256(f"{len(prompt)}:{prompt}{text}".encode("utf-8", "surrogatepass")).digest()[:DIGEST_BYTES]
