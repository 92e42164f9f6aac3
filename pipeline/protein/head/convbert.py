"""ConvBERT as the head on frozen token embeddings: one layer of attention and span-based convolution.

Its weights and their names are those of transformers' layer, and so are its values where there is no padding. That layer's own pass
convolves over padding, so that a complex would read what it is padded with, and holds all attention; this one does neither.

Source: Jiang et al. 2020, arXiv:2008.02496; sizes as arXiv:2505.20036 has them (heads 8, kernel 7, head ratio 2, width / 2 inside).
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import ConvBertConfig
from transformers.models.convbert.modeling_convbert import ConvBertLayer, ConvBertSelfAttention


class ConvBert:
    """Makes the head for a width."""

    def __init__(
        self, *, layers: int, heads: int, kernel: int, head_ratio: int, dropout: float, attention_dropout: float
    ) -> None:
        if kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, got {kernel}; see conf/head/convbert.yaml")
        self.layers = layers
        self.settings = {
            "num_attention_heads": heads,
            "conv_kernel_size": kernel,
            "head_ratio": head_ratio,
            "num_groups": 1,
            "hidden_act": "gelu",
            "hidden_dropout_prob": dropout,
            "attention_probs_dropout_prob": attention_dropout,
        }

    def __call__(self, width: int) -> "ConvBertHead":
        heads = self.settings["num_attention_heads"]
        if width % heads:
            raise ValueError(f"the backbone's width {width} is no multiple of {heads} heads; see conf/head/convbert.yaml")
        config = ConvBertConfig(hidden_size=width, embedding_size=width, intermediate_size=width // 2, **self.settings)
        return ConvBertHead(config, self.layers)


class ConvBertHead(nn.Module):
    def __init__(self, config: ConvBertConfig, layers: int) -> None:
        super().__init__()
        made = [ConvBertLayer(config) for _ in range(layers)]
        for layer in made:
            layer.attention.self = SpanAttention(config)
            _initialised(layer, config.initializer_range)
        self.layers = nn.ModuleList(made)

    def forward(self, hidden: Float[Tensor, "T L D"], mask: Int[Tensor, "T L"]) -> Float[Tensor, "T L D"]:
        present = mask[..., None].to(hidden.dtype)
        for layer in self.layers:
            hidden = layer(hidden * present, attention_mask=present)
        return hidden * present


class SpanAttention(ConvBertSelfAttention):
    """``attention_mask`` is 1 on tokens that are there, with a last dimension of 1; ``hidden_states`` is 0 on all others."""

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, hidden_states: Float[Tensor, "T L D"], attention_mask: Float[Tensor, "T L 1"], **_: object
    ) -> tuple[Float[Tensor, "T L D"], None]:
        query = self.query(hidden_states)
        heads = (self.num_attention_heads, self.attention_head_size)
        q, k, v = (x.unflatten(-1, heads).transpose(1, 2) for x in (query, self.key(hidden_states), self.value(hidden_states)))
        dropout = self.dropout.p if self.training else 0.0
        there = attention_mask[:, None, None, :, 0] > 0
        context = F.scaled_dot_product_attention(q, k, v, attn_mask=there, dropout_p=dropout).transpose(1, 2)

        span = self.key_conv_attn_layer(hidden_states.transpose(1, 2)).transpose(1, 2) * query
        kernel = self.conv_kernel_layer(span).unflatten(-1, (self.num_attention_heads, self.conv_kernel_size)).softmax(-1)
        half = self.conv_kernel_size // 2
        value = F.pad(self.conv_out_layer(hidden_states) * attention_mask, (0, 0, half, half)).unflatten(-1, heads)
        length = hidden_states.shape[1]
        convolved = torch.zeros_like(context)
        for place in range(self.conv_kernel_size):
            convolved = convolved + kernel[..., place, None] * value[:, place : place + length]
        return torch.cat([context, convolved], dim=2).flatten(2), None


def _initialised(layer: nn.Module, spread: float) -> None:
    """As transformers does it for a whole model."""
    for part in layer.modules():
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=spread)
            nn.init.zeros_(part.bias)
