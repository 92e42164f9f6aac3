"""NTK: a model with rotary positions reads longer texts, without training: the base of its angles is made larger.

Slow angles, which tell far apart tokens apart, are stretched most; fast ones, which order neighbours, hardly change. Layers that look at
neighbours alone keep their base. Price: short texts are read otherwise too; and no text of the new length was seen in training.

Source: Zhu et al. 2024, arXiv:2404.12096 (LongEmbed), sec. 4 (the base times 3, 5 or 10 for texts 2, 4 or 8 times as long).
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import nn

from pipeline.corpus.train_texts import Text
from pipeline.encoder.encoder import Encoder

GLOBAL = "full_attention"  # of a model whose layers differ, those that see the whole text


class Ntk:
    """The base of the angles times ``base``; texts are cut ``factor`` times as late."""

    needs_texts = False
    needs = ("transformer", "rotary")

    def __init__(self, *, factor: Annotated[int, Field(ge=1)], base: Annotated[float, Field(ge=1)]) -> None:
        if factor < 1 or base < 1:
            raise ValueError(f"factor and base must be 1 (the model itself) or more, got {factor} and {base}; write 4 and 5")
        self.factor = factor
        self.base = base

    def derive(self, encoder: Encoder, texts: Sequence[Text], *, batch_tokens: int) -> Mapping[str, Any]:
        if not encoder.trunks:
            raise ValueError("the model has no transformer, so it has no positions; a table of words reads texts of any length")
        bases = [rope_of(trunk.model) for trunk in encoder.trunks]  # all, before one is changed
        for trunk, own in zip(encoder.trunks, bases, strict=True):
            own["rope_theta"] *= self.base
            backbone: Any = trunk.model
            config = backbone.config.get_text_config()
            config.max_position_embeddings *= self.factor
            trunk.max_seq_length = self.factor * int(trunk.max_seq_length or 0)
            trunk.model = rebuilt(backbone)  # pyright: ignore[reportAttributeAccessIssue]
        encoder.max_length_tokens = max(int(trunk.max_seq_length or 0) for trunk in encoder.trunks)
        theta = max(own["rope_theta"] for own in bases)
        return {"factor": self.factor, "base": theta, "max_length_tokens": encoder.max_length_tokens}


def rope_of(backbone: Any) -> dict[str, Any]:
    """Where the config holds the base, ``rope_theta``. ValueError, naming the model, where there is none, or where it is scaled already."""
    given = getattr(backbone.config.get_text_config(), "rope_parameters", None) or {}
    own = given.get(GLOBAL, given)
    if "rope_theta" not in own or own.get("rope_type", "default") != "default":
        found = f"of the type {own['rope_type']}" if "rope_type" in own else "none"
        raise ValueError(
            f"{type(backbone).__name__}: expected rotary positions with a base that can be made larger, found {found}; take another model, "
            f"or the derivation `positions` where it has a table"
        )
    return own


def rebuilt(backbone: Any) -> nn.Module:
    """The same weights in a new model of its config, which makes its angles anew."""
    own = next(backbone.parameters())
    new = type(backbone)(backbone.config).to(own.device, own.dtype)
    with torch.no_grad():
        new.load_state_dict(backbone.state_dict())
    return new.train(backbone.training)
