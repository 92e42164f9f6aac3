"""What a derivation is: a finished model is changed in place, without a gradient step, and is then saved as a model of its own."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from sentence_transformers.base.modules import Normalize
from sentence_transformers.sentence_transformer.modules import Dense
from torch import Tensor, nn

from pipeline.corpus.train_texts import Text
from pipeline.encoder.encoder import Encoder


class Derivation(Protocol):
    """``needs_texts``: the derivation looks at train texts. Without them, `derive` is given none.

    `compose` reads literals of the class, where it has them: ``needs`` names facts of `pipeline.known.Known` that must hold of the model,
    ``bounded`` values that may not be above the fact of their name, and ``leaves`` what is so of the model that comes out.
    A derivation of ``several`` models has `join` in place of `derive` (`pipeline.derivation.concat`).
    """

    needs_texts: bool

    def derive(self, encoder: Encoder, texts: Sequence[Text], *, batch_tokens: int) -> Mapping[str, Any]:
        """Change ``encoder`` in place; what there is to say of it, as JSON holds it. ValueError where the model does not allow it."""
        ...


def without_normalize(encoder: Encoder) -> None:
    """Take the last module away if it brings vectors to unit length."""
    model = encoder.model
    if isinstance(model[-1], Normalize):
        del model._modules[next(reversed(model._modules))]


def end_with_dense(encoder: Encoder, weight: Tensor, bias: Tensor | None) -> None:
    """Behind all modules, a vector ``x`` becomes ``weight @ x + bias``, at unit length. Both are written as sentence-transformers' own
    modules, so that every loader reads them."""
    model = encoder.model
    like = next(model.parameters())
    dims, width = weight.shape
    with torch.no_grad():
        dense = Dense(width, dims, bias=bias is not None, activation_function=nn.Identity()).to(like.device, like.dtype)
        dense.linear.weight.copy_(weight)
        if bias is not None:
            dense.linear.bias.copy_(bias)
    for module in (dense, Normalize()):
        model.append(module.train(model.training))
