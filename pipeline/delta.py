"""Task vectors: what training added to the base.

``delta_k = expert_k - base`` (Ilharco et al. 2023, arXiv:2212.04089). Everything here is computed in fp32.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

State: TypeAlias = Mapping[str, Tensor]


def delta(expert: State, base: State, *, name: str) -> dict[str, Tensor]:
    """``expert - base`` for every floating tensor. ValueError, naming the tensor, where the two do not fit or hold NaN."""
    missing, extra = sorted(set(base) - set(expert)), sorted(set(expert) - set(base))
    if missing or extra:
        raise ValueError(
            f"expert {name} and base hold different tensors: missing {missing[:3]}, unknown {extra[:3]}; same base?"
        )
    out: dict[str, Tensor] = {}
    for key in sorted(base):
        if expert[key].shape != base[key].shape:
            raise ValueError(
                f"expert {name}, tensor {key}: shape {tuple(expert[key].shape)}, base has {tuple(base[key].shape)}"
            )
        if base[key].is_floating_point():
            out[key] = expert[key].float() - base[key].float()
            if not torch.isfinite(out[key]).all():
                raise ValueError(f"expert {name}, tensor {key} holds NaN or infinity; train it again, or leave it out")
    return out


def combined(base: State, deltas: Sequence[State], coefficients: Sequence[float]) -> dict[str, Tensor]:
    """``base + sum_k c_k delta_k``, in the base's types; tensors that are not floating are the base's."""
    out: dict[str, Tensor] = {}
    for key in sorted(base):
        if base[key].is_floating_point():
            total = base[key].float()
            for c, one in zip(coefficients, deltas, strict=True):
                total = total + c * one[key]
            out[key] = total.to(base[key].dtype).contiguous()
        else:
            out[key] = base[key].clone()
    return out


def gram(deltas: Sequence[State]) -> Float[Tensor, "K K"]:
    """Inner products of the flattened task vectors, summed in fp64: norms on the diagonal, angles beside it."""
    out = torch.zeros(len(deltas), len(deltas), dtype=torch.float64)
    for key in sorted(deltas[0]):
        rows = torch.stack([one[key].flatten().double() for one in deltas])
        out += rows @ rows.T
    return out
