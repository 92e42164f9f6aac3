"""AdamW with warm-up and linear decay, and lower rates for lower layers where asked for: what they know is the most general.

Source: Loshchilov and Hutter 2019, arXiv:1711.05101; rates by layer: Howard and Ruder 2018, arXiv:1801.06146, sec. 3.2.
"""

import re
from collections.abc import Collection, Mapping, Sequence

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR


def adamw(
    weights: Mapping[str, nn.Parameter],
    decayed: Collection[str],
    *,
    lr: float,
    weight_decay: float,
    betas: list[float],
    layer_decay: float,
) -> torch.optim.AdamW:
    """Only ``weights`` named in ``decayed`` are decayed, whatever shape a strategy has given them by now. The rate of each layer is
    ``layer_decay`` times that of the next one (`below_top`)."""
    assert set(decayed) <= set(weights), sorted(set(decayed) - set(weights))
    if not 0 < layer_decay <= 1:
        raise ValueError(f"optimizer.layer_decay must be in (0, 1], got {layer_decay}; 1 gives every layer the same rate")
    below = below_top(list(weights)) if layer_decay < 1 else dict.fromkeys(weights, 0)
    groups = [
        {
            "params": [weight for name, weight in weights.items() if below[name] == depth and (name in decayed) is matrix],
            "weight_decay": weight_decay if matrix else 0.0,
            "lr": lr * layer_decay**depth,
        }
        for depth in sorted(set(below.values()))
        for matrix in (True, False)
    ]
    groups = [
        group for group in groups if group["params"]
    ]  # an adapter has no vectors; DeepSpeed takes empty groups out itself
    return torch.optim.AdamW(groups, lr=lr, betas=(betas[0], betas[1]))


def below_top(names: Sequence[str]) -> dict[str, int]:
    """By weight how many layers lie above its own: 0 for the last block and what stands behind it, one more for each block below, and for
    what stands before the first. ``names`` in the model's order. Blocks are the longest numbered lists of modules in the names, such as
    one for each route; where there is none, all weights are of one layer."""
    found = {
        name: [(name[: m.start()], int(m[1])) for m in re.finditer(r"(?<=\.)(\d+)(?=\.)", name)] for name in names
    }  # by name the lists that it is in, as prefix and number
    numbers: dict[str, set[int]] = {}
    for prefix, number in (pair for pairs in found.values() for pair in pairs):
        numbers.setdefault(prefix, set()).add(number)
    most = max((len(one) for one in numbers.values()), default=0)
    if most < 2:
        return dict.fromkeys(names, 0)
    stacks = [prefix for prefix, one in numbers.items() if len(one) == most]
    stacks = [
        stack for stack in stacks if not any(other != stack and other.startswith(stack) for other in stacks)
    ]  # the innermost
    first = {stack: next(at for at, name in enumerate(names) if name.startswith(stack)) for stack in stacks}
    depth = {stack: {number: most - 1 - rank for rank, number in enumerate(sorted(numbers[stack]))} for stack in stacks}
    below: dict[str, int] = {}
    for at, name in enumerate(names):
        inside = next(((prefix, number) for prefix, number in found[name] if prefix in stacks), None)
        own = max(stacks, key=lambda stack: _shared(stack.split("."), name.split(".")))
        below[name] = depth[inside[0]][inside[1]] if inside else most if at < first[own] else 0
    return below


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    """How many parts two names begin with alike."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


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
