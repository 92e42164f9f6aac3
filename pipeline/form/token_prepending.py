"""Token prepending: in a decoder, whose tokens see what stands before them alone, the state of the last token is shown to all.

A placeholder stands in front of a text. Before each of some early layers its state is replaced by that of the text's last token, so that
the words that follow see what comes after them. Nothing is trained. Price: one token more for each text; and states that no training
has made, whose worth is measured here.

Source: Fu et al. 2024, arXiv:2412.11556 (Token Prepending), sec. 3, and its released code: layers 1 to 7 of 32. The placeholder stands in
front of the prompt, and is the padding token before it is replaced: our own choices.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from pipeline.corpus.collection import Encode
from pipeline.encoder.encoder import Encoder
from pipeline.encoder.encoding import CPU_TOKENS, by_length
from pipeline.encoder.inputs import plain as gives_tokens


class TokenPrepending:
    """From layer ``start`` on (0 is the first), up to but not in layer ``exit``; equal, they leave the model as it is."""

    file = None
    tolerance = None

    def __init__(self, *, start: Annotated[int, Field(ge=0)], exit: Annotated[int, Field(ge=0)]) -> None:
        if not 0 <= start <= exit:
            raise ValueError(f"expected 0 <= start <= exit, got {start} and {exit}; see conf/form/token_prepending.yaml")
        self.start = start
        self.exit = exit
        self.about = f"the last token's state in front of the text, in layers {start} to {exit - 1}"
        self.use = """\
from pathlib import Path
from pipeline.encoder.encoder import Encoder
from pipeline.form.token_prepending import vectors

encoder = Encoder.load(Path("{path}")).eval()
found = vectors(encoder, encoder.token_ids(texts, None), START, EXIT)
""".replace("START", str(start)).replace("EXIT", str(exit))

    def vector_bytes(self, width: int) -> int:
        return 4 * width

    def make(self, encoder: Encoder, folder: Path, plain: Encode, *, max_length_tokens: int) -> Encode:
        if self.start == self.exit:
            return plain
        layers = blocks_of(encoder)
        if self.exit > len(layers):
            raise ValueError(f"exit is {self.exit}, but {type(encoder.backbone).__name__} has {len(layers)} layers; lower it")

        def encode(texts: Sequence[str], side: str, task: str) -> Float[np.ndarray, "B D"]:
            ids = encoder.token_ids(texts, max_length_tokens - 1, task=task, side=side)
            out = np.empty((len(texts), encoder.width), dtype=np.float32)
            for batch in by_length(ids, CPU_TOKENS):
                out[batch] = vectors(encoder, [ids[i] for i in batch], self.start, self.exit).numpy()
            return out

        return encode


def blocks_of(encoder: Encoder) -> nn.ModuleList:
    """The layers of the only transformer, a decoder. ValueError where there is none."""
    if len(encoder.routes) > 1 or len(encoder.trunks) != 1 or not gives_tokens(encoder.trunks[0]):
        raise ValueError("token_prepending needs one decoder that gives token vectors; leave it out")
    found = [one for one in encoder.backbone.modules() if isinstance(one, nn.ModuleList) and len(one) == encoder.blocks]
    if len(found) != 1:
        raise ValueError(
            f"{type(encoder.backbone).__name__}: expected one list of layers, found {len(found)}; leave token_prepending out"
        )
    return found[0]


@torch.no_grad()
def vectors(encoder: Encoder, ids: Sequence[Sequence[int]], start: int, exit: int) -> Float[Tensor, "B D"]:
    """Of texts by their ids. The placeholder is no part of what is pooled."""
    given, mask = encoder.padded([[~encoder.pad_id, *row] for row in ids])
    device = encoder.table.device
    with prepended(blocks_of(encoder)[start:exit], mask.sum(1).to(device) - 1):
        return encoder.unit(encoder(given.to(device), mask.to(device))).float().cpu()


@contextmanager
def prepended(layers: Any, last: Int[Tensor, " B"]) -> Iterator[None]:
    """Within it, each of ``layers`` reads the state of token ``last`` in the place of the first token."""

    def shown(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        state: Tensor = args[0] if args else kwargs["hidden_states"]
        rows = torch.arange(len(state), device=state.device)
        changed = torch.cat([state[rows, last][:, None], state[:, 1:]], dim=1)
        return ((changed, *args[1:]), kwargs) if args else (args, kwargs | {"hidden_states": changed})

    handles = [layer.register_forward_pre_hook(shown, with_kwargs=True) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
