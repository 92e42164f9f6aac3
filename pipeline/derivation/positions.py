"""Positions: a model with a table of absolute positions reads texts several times as long, without training.

The table is made longer out of its own rows. `recurrent` repeats it, so that texts that fitted before are read as before; `grouped` gives
neighbours one position; `interpolated` puts the old rows apart and lines between them. Behind the last old row an interpolated table holds
that row, which is our own choice. Price: no text of the new length was ever seen in training; grouped and interpolated positions
change short texts too; and attention over longer texts costs with the square of their length.

Source: Zhu et al. 2024, arXiv:2404.12096 (LongEmbed), sec. 4: grouped, recurrent and linearly interpolated positions.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from sentence_transformers.base.modules import Transformer
from torch import Tensor, nn

from pipeline.corpus.train_texts import Text
from pipeline.encoder.encoder import Encoder

WAYS = ("recurrent", "grouped", "interpolated")


def stretched(table: Float[Tensor, "P D"], factor: int, way: str) -> Float[Tensor, "Q D"]:
    """``factor`` times as many rows, made of those of ``table`` in one of `WAYS`."""
    number = len(table)
    place = torch.arange(number * factor, device=table.device)
    if way == "recurrent":
        return table[place % number]
    below = place // factor
    if way == "grouped":
        return table[below]
    part = ((place % factor).double() / factor)[:, None]
    above = (below + 1).clamp(max=number - 1)
    return torch.lerp(table[below].double(), table[above].double(), part).to(table.dtype)


class Positions:
    """``factor`` times as many positions for every transformer of the model, made in one of `WAYS`; its texts are cut ``factor`` times as
    late."""

    needs_texts = False
    needs = ("transformer", "positions")

    def __init__(self, *, factor: Annotated[int, Field(ge=1)], way: Literal["recurrent", "grouped", "interpolated"]) -> None:
        if factor < 1:
            raise ValueError(f"factor must be 1 (the model itself) or more, got {factor}; write 4 for texts four times as long")
        if way not in WAYS:
            raise ValueError(f"way must be one of {', '.join(WAYS)}, got {way!r}")
        self.factor = factor
        self.way = way

    def derive(self, encoder: Encoder, texts: Sequence[Text], *, batch_tokens: int) -> Mapping[str, Any]:
        if not encoder.trunks:
            raise ValueError("the model has no transformer, so it has no positions; a table of words reads texts of any length")
        places = [place_of(trunk) for trunk in encoder.trunks]  # all, before one is changed
        longest = 0
        for trunk, (place, first) in zip(encoder.trunks, places, strict=True):
            longest = max(longest, lengthen(trunk, place, first, self.factor, self.way))
            trunk.max_seq_length = self.factor * int(trunk.max_seq_length or 0)
        encoder.max_length_tokens = max(int(trunk.max_seq_length or 0) for trunk in encoder.trunks)
        return {"factor": self.factor, "positions": longest, "max_length_tokens": encoder.max_length_tokens}


def place_of(trunk: Transformer) -> tuple[nn.Module, int]:
    """The module that holds the table, and the row of the first token: RoBERTa and its kin count from behind the padding id. ValueError,
    naming the model, where there is no table."""
    backbone: Any = trunk.model
    found = [module for module in backbone.modules() if isinstance(getattr(module, "position_embeddings", None), nn.Embedding)]
    if len(found) != 1:
        raise ValueError(
            f"{type(backbone).__name__} has {len(found)} tables of absolute positions; expected one; a model of rotary or relative "
            f"positions has none to lengthen: take another model"
        )
    padding = getattr(found[0], "padding_idx", None)
    return found[0], padding + 1 if isinstance(padding, int) else 0


@torch.no_grad()
def lengthen(trunk: Transformer, place: nn.Module, first: int, factor: int, way: str) -> int:
    """Change the table, the config, and the buffers that count positions; how many tokens there are positions for."""
    old: Any = place.position_embeddings
    rows = torch.cat([old.weight[:first], stretched(old.weight[first:], factor, way)])
    new = nn.Embedding(len(rows), rows.shape[1], padding_idx=old.padding_idx, device=rows.device, dtype=rows.dtype)
    new.weight.copy_(rows)
    place.position_embeddings = new.train(old.training)
    for name, buffer in list(place.named_buffers(recurse=False)):
        if name == "position_ids":
            place.position_ids = torch.arange(len(rows), device=buffer.device).expand((1, -1))
        elif name == "token_type_ids":
            place.token_type_ids = torch.zeros((1, len(rows)), dtype=buffer.dtype, device=buffer.device)
    trunk.model.config.get_text_config().max_position_embeddings = len(rows)
    return len(rows) - first
