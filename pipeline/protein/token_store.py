"""Token vectors of a frozen backbone: computed once, kept in a file that all trainings on the same base and texts share.

Always all texts at a time, in batches that depend on them alone: a file that is found holds what would be computed. Price: 16 bits a
number, an error below 0.05 %, and ``2 width`` bytes a token on disk; read a text at a time.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from pipeline.encoder.encoder import Encoder
from pipeline.gradcache import cut


class TokenStore:
    """``text -> [L, D]``, in float16. A folder below ``folder`` for each base (``mark``); those of other bases are removed."""

    def __init__(
        self, folder: Path, encoder: Encoder, texts: Sequence[str], *, mark: str, max_length_tokens: int, batch_tokens: int
    ) -> None:
        known = hashlib.sha256("\n".join([str(max_length_tokens), str(batch_tokens), *texts]).encode()).hexdigest()[:16]
        file = folder / mark[:16] / f"{known}.safetensors"
        if not file.is_file():
            for other in folder.glob("*/"):
                if other.name != mark[:16]:
                    shutil.rmtree(other, ignore_errors=True)
            _write(file, encoder, texts, max_length_tokens, batch_tokens)
        self.opened = safe_open(file, framework="pt")
        ends = self.opened.get_tensor("end").tolist()
        self.hidden = self.opened.get_slice("hidden")
        self.place = dict(zip(texts, zip([0, *ends[:-1]], ends, strict=True), strict=True))

    def __call__(self, text: str) -> Float[Tensor, "L D"]:
        first, end = self.place[text]
        return self.hidden[first:end]


@torch.inference_mode()
def token_vectors(
    encoder: Encoder, ids: Sequence[Sequence[int]], batch_tokens: int
) -> Iterator[tuple[int, Float[Tensor, "L D"]]]:
    """Each text's number and token vectors, on the CPU; texts of like length together."""
    training, device = encoder.training, next(encoder.parameters()).device
    encoder.eval()
    lengths = [len(row) for row in ids]
    with tqdm(total=len(ids), desc="token vectors", unit="text", leave=False, disable=None) as bar:
        for batch in cut(lengths, max(batch_tokens, *lengths)).texts:
            input_ids, mask = encoder.padded([list(ids[i]) for i in batch])
            found = encoder.tokens(input_ids.to(device), mask.to(device))[0].cpu()
            yield from ((i, row[: lengths[i]].clone()) for i, row in zip(batch, found, strict=True))
            bar.update(len(batch))
    encoder.train(training)


def _write(file: Path, encoder: Encoder, texts: Sequence[str], max_length_tokens: int, batch_tokens: int) -> None:
    ids = encoder.token_ids(texts, max_length_tokens)
    end = torch.tensor([len(row) for row in ids]).cumsum(0)
    hidden = torch.empty(int(end[-1]), encoder.trunk_width, dtype=torch.float16)
    for i, vectors in token_vectors(encoder, ids, batch_tokens):
        hidden[end[i] - len(vectors) : end[i]] = vectors.half()
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")  # several processes may come here at once
    save_file({"hidden": hidden, "end": end}, partial)
    partial.replace(file)
