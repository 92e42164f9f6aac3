"""A cross-encoder (a reranker) of sentence-transformers, loaded without running code that it brings, and its logits."""

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from sentence_transformers import CrossEncoder
from torch import Tensor, nn

from pipeline.checkpoint import sha256 as hashed
from pipeline.encoder.directory import fetched
from pipeline.manifest import check_code

PAIRS = 32  # at a time


def check_named(name: str, revision: str | None, sha256: str | None) -> None:
    """ValueError unless a folder is named with its hash, or a model of the Hub with a commit."""
    if (revision is None) == (sha256 is None):
        found = f", {hashed(Path(name))} at present" if revision is None and Path(name).is_dir() else ""
        raise ValueError(
            f"cross-encoder {name} needs its `sha256`{found}, where it is a folder, or a `revision`, where it is of the Hub; give "
            f"one of the two: else no stage would see it change"
        )
    if revision is not None and not re.fullmatch("[0-9a-f]{40}", revision):
        raise ValueError(f"cross-encoder {name}: revision must be a commit of 40 hex digits, got {revision!r}: branches move")


def opened(name: str, revision: str | None, sha256: str | None, max_length_tokens: int) -> CrossEncoder:
    """In evaluation mode, on a GPU where there is one. ValueError where it is not what was named, or gives more than two scores."""
    if revision is None and not Path(name).is_dir():
        raise ValueError(f"cross-encoder {name} is no folder here; a model of the Hub needs a `revision`")
    directory = Path(name) if revision is None else fetched(name, revision)
    if sha256 is not None and (found := hashed(directory)) != sha256:
        raise ValueError(f"cross-encoder {name} has sha256 {found}, expected {sha256}")
    check_code(directory, {})
    try:
        model = CrossEncoder(
            str(directory),
            device="cuda" if torch.cuda.is_available() else "cpu",
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True},
            max_length=max_length_tokens,
        )
    except Exception as error:  # tokenizers and safetensors raise their own
        raise ValueError(f"cannot load cross-encoder {name}: {str(error).splitlines()[0]}") from error
    if model.num_labels not in (1, 2):
        raise ValueError(
            f"cross-encoder {name} gives {model.num_labels} scores for a pair; expected 1, or 2 of which the second is for a match"
        )
    return model.eval()


@torch.no_grad()
def logits(model: CrossEncoder, pairs: Sequence[tuple[str, str]]) -> Float[Tensor, " N"]:
    """Of each pair, on the CPU; of two classes the difference."""
    found = model.predict(
        list(pairs), batch_size=PAIRS, show_progress_bar=False, activation_fn=nn.Identity(), convert_to_tensor=True
    )
    rows = found.float().reshape(len(pairs), -1).cpu()
    return rows[:, 0] if rows.shape[1] == 1 else rows[:, 1] - rows[:, 0]
