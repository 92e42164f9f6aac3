"""Latent attention: every token vector looks through a dictionary of trainable latents before the mean is taken.

Price: weights of its own (12 widths squared, and the latents), trained from nothing. sentence-transformers has no such pooling:
it loads a directory with one only with ``trust_remote_code=True``, where this package is installed, and refuses it otherwise.

Source: Lee et al. 2024 (NV-Embed), arXiv:2405.17428, section 3.1. Ours: heads share the width (there each has all of it), and both
residual branches start at zero, so that training starts at mean pooling.
"""

from typing import Any, Self

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from sentence_transformers.base.modules import Module
from torch import Tensor, nn


class LatentAttention(Module):
    """``hidden + attention(hidden -> latents)``, then ``+ feed-forward``, then the mean; all token by token."""

    def __init__(self, embedding_dimension: int, include_prompt: bool = True, *, latents: int, heads: int) -> None:
        super().__init__()
        width = embedding_dimension
        if latents < 1 or heads < 1:
            raise ValueError(
                f"latents and heads must be positive, got {latents} and {heads}; see conf/pooling/latent_attention.yaml"
            )
        if width % heads:
            raise ValueError(f"the backbone's width {width} is no multiple of {heads} heads; change encoder.pooling.heads")
        self.include_prompt = include_prompt
        self.heads = heads
        self.latents = nn.Parameter(torch.randn(latents, width))
        self.hidden_norm, self.latent_norm, self.inner_norm = (nn.LayerNorm(width) for _ in range(3))
        self.to_query = nn.Linear(width, width, bias=False)
        self.to_key_value = nn.Linear(width, 2 * width, bias=False)
        self.to_out = nn.Linear(width, width, bias=False)
        self.widen = nn.Linear(width, 8 * width)
        self.narrow = nn.Linear(4 * width, width)
        for last in (self.to_out.weight, self.narrow.weight, self.narrow.bias):
            nn.init.zeros_(last)

    def forward(self, features: dict[str, Any], **_: Any) -> dict[str, Any]:
        mask = features["attention_mask"]
        if not self.include_prompt and "prompt_length" in features:
            first_B1 = mask.to(torch.int32).argmax(1, keepdim=True)  # behind padding at the left
            behind = torch.arange(mask.shape[1], device=mask.device) >= first_B1 + int(features["prompt_length"])
            mask = mask * behind
        return features | {"sentence_embedding": self.pooled(features["token_embeddings"], mask)}

    def pooled(self, hidden: Float[Tensor, "B L D"], mask: Int[Tensor, "B L"]) -> Float[Tensor, "B D"]:
        def by_head(x: Tensor) -> Tensor:
            return x.unflatten(-1, (self.heads, -1)).transpose(-2, -3)

        query = by_head(self.to_query(self.hidden_norm(hidden)))
        key, value = (by_head(x) for x in self.to_key_value(self.latent_norm(self.latents)).chunk(2, dim=-1))
        rows = len(hidden)
        read = F.scaled_dot_product_attention(query, key.expand(rows, -1, -1, -1), value.expand(rows, -1, -1, -1))
        hidden = hidden + self.to_out(read.transpose(-2, -3).flatten(-2))
        inner, gate = self.widen(self.inner_norm(hidden)).chunk(2, dim=-1)
        hidden = hidden + self.narrow(inner * F.gelu(gate))
        precise = torch.promote_types(hidden.dtype, torch.float32)
        weight = mask.unsqueeze(-1).to(precise)
        return ((hidden * weight).sum(1) / weight.sum(1).clamp(min=1e-9)).to(hidden.dtype)

    def get_embedding_dimension(self) -> int:
        return self.latents.shape[1]

    def get_config_dict(self) -> dict[str, Any]:
        latents, width = self.latents.shape
        return {"embedding_dimension": width, "include_prompt": self.include_prompt, "latents": latents, "heads": self.heads}

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        self.save_config(output_path)
        self.save_torch_weights(output_path, safe_serialization=safe_serialization)

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", **kwargs: Any) -> Self:  # pyright: ignore[reportIncompatibleMethodOverride]
        where: Any = {name: kwargs.get(name) for name in ("token", "cache_folder", "revision")}
        where |= {"subfolder": subfolder, "local_files_only": kwargs.get("local_files_only", False)}
        pooling = cls(**cls.load_config(model_name_or_path, **where))
        cls.load_torch_weights(model_name_or_path, model=pooling, **where)
        return pooling
