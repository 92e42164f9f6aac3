"""Latent attention: every token vector looks through a dictionary of trainable latents before the mean is taken.

Price: weights of its own (12 widths squared, and the latents), trained from nothing. sentence-transformers has no such pooling:
it loads a directory with one only with ``trust_remote_code=True``, where this package is installed, and refuses it otherwise.

Source: Lee et al. 2024 (NV-Embed), arXiv:2405.17428, section 3.1. Ours: heads share the width (there each has all of it), and both
residual branches start at zero, so that training starts at mean pooling.
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import yaml
from jaxtyping import Float, Int
from safetensors import safe_open
from torch import Tensor, nn

from pipeline.build import build
from pipeline.pooling.mean import weighted
from pipeline.pooling.pooling import Pooling


class LatentAttention(Pooling):
    """``hidden + attention(hidden -> latents)``, then ``+ feed-forward``, then the mean; all token by token."""

    module = "pipeline.pooling.latent_attention.LatentAttentionModule"

    def __init__(self, *, latents: int, heads: int) -> None:
        super().__init__()
        if latents < 1 or heads < 1:
            raise ValueError(
                f"latents and heads must be positive, got {latents} and {heads}; see conf/pooling/latent_attention.yaml"
            )
        self.num_latents = latents
        self.heads = heads

    def set_width(self, width: int) -> None:
        if hasattr(self, "latents"):
            return
        if width % self.heads:
            raise ValueError(f"the backbone's width {width} is no multiple of {self.heads} heads; change encoder.pooling.heads")
        self.latents = nn.Parameter(torch.randn(self.num_latents, width))
        self.hidden_norm, self.latent_norm, self.inner_norm = (nn.LayerNorm(width) for _ in range(3))
        self.to_query = nn.Linear(width, width, bias=False)
        self.to_key_value = nn.Linear(width, 2 * width, bias=False)
        self.to_out = nn.Linear(width, width, bias=False)
        self.widen = nn.Linear(width, 8 * width)
        self.narrow = nn.Linear(4 * width, width)
        for last in (self.to_out.weight, self.narrow.weight, self.narrow.bias):
            nn.init.zeros_(last)

    def forward(self, hidden: Float[Tensor, "B L D"], mask: Int[Tensor, "B L"]) -> Float[Tensor, "B D"]:
        def by_head(x: Tensor) -> Tensor:
            return x.unflatten(-1, (self.heads, -1)).transpose(-2, -3)

        query = by_head(self.to_query(self.hidden_norm(hidden)))
        key, value = (by_head(x) for x in self.to_key_value(self.latent_norm(self.latents)).chunk(2, dim=-1))
        rows = len(hidden)
        read = F.scaled_dot_product_attention(query, key.expand(rows, -1, -1, -1), value.expand(rows, -1, -1, -1))
        hidden = hidden + self.to_out(read.transpose(-2, -3).flatten(-2))
        inner, gate = self.widen(self.inner_norm(hidden)).chunk(2, dim=-1)
        return weighted(hidden + self.narrow(inner * F.gelu(gate)), mask)


class LatentAttentionModule(nn.Module):
    """`LatentAttention` of an encoder directory as a module of sentence-transformers."""

    def __init__(self, pooling: LatentAttention, include_prompt: bool) -> None:
        super().__init__()
        self.pooling = pooling
        self.include_prompt = include_prompt

    def forward(self, features: dict[str, Any], **_: Any) -> dict[str, Any]:
        mask = features["attention_mask"]
        if not self.include_prompt and "prompt_length" in features:
            mask = mask * (torch.arange(mask.shape[1], device=mask.device) >= int(features["prompt_length"]))
        return features | {"sentence_embedding": self.pooling(features["token_embeddings"], mask)}

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", **_: Any) -> "LatentAttentionModule":
        directory = Path(model_name_or_path)
        settings = yaml.safe_load((directory / "encoder.yaml").read_text(encoding="utf-8"))
        pooling: LatentAttention = build(settings["pooling"])
        with safe_open(directory / "model.safetensors", framework="pt") as file:
            state = {key.removeprefix("pooling."): file.get_tensor(key) for key in file.keys() if key.startswith("pooling.")}  # noqa: SIM118
        pooling.set_width(state["latents"].shape[1])
        pooling.load_state_dict(state)
        return cls(pooling, settings.get("prompts", {}).get("pooled", True))
