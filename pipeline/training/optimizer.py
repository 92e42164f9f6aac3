"""AdamW with warm-up and linear decay.

Source: Loshchilov and Hutter 2019, arXiv:1711.05101.
"""

from collections.abc import Collection, Mapping

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR


def adamw(
    weights: Mapping[str, nn.Parameter], decayed: Collection[str], *, lr: float, weight_decay: float, betas: list[float]
) -> torch.optim.AdamW:
    """Only ``weights`` named in ``decayed`` are decayed, whatever shape a strategy has given them by now."""
    assert set(decayed) <= set(weights), sorted(set(decayed) - set(weights))
    groups = [
        {"params": [weight for name, weight in weights.items() if name in decayed], "weight_decay": weight_decay},
        {"params": [weight for name, weight in weights.items() if name not in decayed], "weight_decay": 0.0},
    ]
    groups = [
        group for group in groups if group["params"]
    ]  # an adapter has no vectors; DeepSpeed takes empty groups out itself
    return torch.optim.AdamW(groups, lr=lr, betas=(betas[0], betas[1]))


def trained_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """Its weights that are trained, by the names they have when no strategy has wrapped a part of it."""
    return {plain(name): weight for name, weight in model.named_parameters() if weight.requires_grad}


def matrices(model: nn.Module) -> frozenset[str]:
    """The names of trained weights that are decayed: all but vectors, which are biases and the scales of norms. To be asked before a
    strategy touches the model: a sharded weight is flat."""
    return frozenset(name for name, weight in trained_weights(model).items() if weight.ndim > 1)


def plain(name: str) -> str:
    """The name of a weight without what wrappers put into it."""
    for wrapper in ("_fsdp_wrapped_module.", "_checkpoint_wrapped_module.", "_orig_mod.", "_forward_module."):
        name = name.replace(wrapper, "")
    return name.removeprefix("module.")


def warmed_up(optimizer: torch.optim.Optimizer, *, steps: int, warmup_steps: int) -> LambdaLR:
    """Up in a line over ``warmup_steps``, then down in a line to 0 after ``steps``."""
    return LambdaLR(
        optimizer, lambda step: min((step + 1) / (warmup_steps + 1), max(0.0, (steps - step) / max(1, steps - warmup_steps)))
    )
