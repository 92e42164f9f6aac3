"""A mix of layers before the mean: token vectors of every layer, the input embeddings (layer 0) among them, by learned weights.

``h = sum_l w_l h_l / sum_l w_l``, then a pooling. It is sentence-transformers' own `WeightedLayerPooling` and `Pooling`, so others load
the model without this package. Weight on the last layer alone is that pooling, to the bit.
Price: the weights are free, and no softmax keeps them positive. At the rates of a backbone they hardly move, so where they start counts.

Source: Peters et al. 2018 (ELMo), arXiv:1802.05365, eq. 1, there with a softmax; layer 0 beside the others: Liu et al. 2021
(SurfaceFusion), arXiv:2012.14768.
"""

from typing import Literal

import torch
from sentence_transformers.base.modules import Module
from sentence_transformers.sentence_transformer.modules import Pooling, WeightedLayerPooling
from torch import nn

STARTS = {"even": (1, 1, 1), "last": (0, 0, 1), "first_last": (1, 0, 1)}  # layer 0, those between, the last


def layer_mix(
    width: int, blocks: int, *, start: Literal["even", "last", "first_last"], pooled: Literal["mean", "cls", "max"]
) -> list[Module]:
    """The mix of ``blocks`` + 1 layers and the pooling ``pooled`` behind it. ValueError where there are no blocks."""
    if blocks < 1:
        raise ValueError("layer_mix mixes the layers of a transformer, and the model has none; take choose.pooling: own")
    first, between, last = STARTS[start]
    weights = nn.Parameter(torch.tensor([first, *[between] * (blocks - 1), last], dtype=torch.float))
    return [WeightedLayerPooling(width, blocks, layer_start=0, layer_weights=weights), Pooling(width, pooled)]
