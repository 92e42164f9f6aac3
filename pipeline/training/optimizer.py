"""AdamW with warm-up and linear decay.

Source: Loshchilov and Hutter 2019, arXiv:1711.05101.
"""

from collections.abc import Iterable

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR


def adamw(parameters: Iterable[nn.Parameter], *, lr: float, weight_decay: float, betas: list[float]) -> torch.optim.AdamW:
    """Biases and the scales of norms (vectors, that is) are not decayed."""
    trained = [p for p in parameters if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [
        group for group in groups if group["params"]
    ]  # an adapter has no vectors; DeepSpeed takes empty groups out itself
    return torch.optim.AdamW(groups, lr=lr, betas=(betas[0], betas[1]))


def warmed_up(optimizer: torch.optim.Optimizer, *, steps: int, warmup_steps: int) -> LambdaLR:
    """Up in a line over ``warmup_steps``, then down in a line to 0 after ``steps``."""
    return LambdaLR(
        optimizer, lambda step: min((step + 1) / (warmup_steps + 1), max(0.0, (steps - step) / max(1, steps - warmup_steps)))
    )
