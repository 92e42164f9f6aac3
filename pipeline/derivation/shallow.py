"""The first layers of a model, and the first numbers of its vectors: faster, smaller, and as good as its training made them.

Little is lost where the training asked for it (`objective: matryoshka_2d` for layers, `matryoshka` for numbers). Blocks that are cut off
are gone from the files. What a backbone has behind its blocks (a last norm) stands behind the last one that is left.

Source: Li et al. 2024, arXiv:2402.14776, sec. 3 (both cuts at once).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from sentence_transformers.base.modules import Transformer
from torch import nn

from pipeline.corpus.train_texts import Text
from pipeline.derivation.derivation import end_with_dense, without_normalize
from pipeline.encoder.encoder import Encoder
from pipeline.encoder.modules import mixes


class Shallow:
    """``layers`` blocks of every transformer of the model, and ``dims`` numbers of its vector are kept; None keeps all."""

    needs_texts = False
    bounded = ("layers", "dims")

    def __init__(self, *, layers: int | None, dims: int | None) -> None:
        if layers is None and dims is None:
            raise ValueError(
                "layers and dims are both null, which keeps the model as it is; say how many layers or numbers to keep"
            )
        if (layers is not None and layers < 1) or (dims is not None and dims < 1):
            raise ValueError(f"layers and dims must be 1 or more, or null, got layers {layers} and dims {dims}")
        self.layers = layers
        self.dims = dims

    def derive(self, encoder: Encoder, texts: Sequence[Text], *, batch_tokens: int) -> Mapping[str, Any]:
        before, width = sum(weight.numel() for weight in encoder.parameters()), encoder.width
        if self.dims is not None and self.dims > width:
            raise ValueError(f"dims is {self.dims}, but vectors have {width} numbers; lower it")
        if self.layers is not None:
            if not encoder.trunks:
                raise ValueError("the model has no transformer, so it has no layers; set layers to null")
            if mixes(encoder.model.modules()):
                raise ValueError("the model's vector is a mix of all its layers, so none can be cut off; set layers to null")
            for trunk in encoder.trunks:
                keep_layers(trunk, self.layers)
        if self.dims is not None:
            without_normalize(encoder)
            end_with_dense(encoder, torch.eye(self.dims, width), None)
        after = sum(weight.numel() for weight in encoder.parameters())
        return {"layers": encoder.blocks, "dims": encoder.width, "weights_kept": after / before}


def keep_layers(trunk: Transformer, layers: int) -> None:
    """Cut every block behind the first ``layers`` off. ValueError, naming the model, where its blocks are not found or are fewer."""
    backbone: Any = trunk.model
    config = backbone.config.get_text_config()
    number, name = config.num_hidden_layers, type(backbone).__name__
    lists = [place for place, module in backbone.named_modules() if isinstance(module, nn.ModuleList) and len(module) == number]
    outer = [place for place in lists if not any(place.startswith(f"{other}.") for other in lists)]
    if len(outer) != 1:
        raise ValueError(
            f"{name}: expected one list of {number} blocks, found {len(outer)}; its layers cannot be cut: set layers to null"
        )
    if layers > number:
        raise ValueError(f"layers is {layers}, but {name} has {number}; lower it")
    parent, _, key = outer[0].rpartition(".")
    setattr(backbone.get_submodule(parent), key, backbone.get_submodule(outer[0])[:layers])
    config.num_hidden_layers = layers
    if getattr(config, "layer_types", None):  # which of them attend to neighbours only
        config.layer_types = config.layer_types[:layers]
