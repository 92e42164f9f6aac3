"""Similarities of anchors with all their candidates, some left out, a block of anchors at a time.

No more than ``rows_at_once`` x N similarities are held, in forward or backward, however many anchors there are.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from pipeline.objective.cosine import all_cosines, precise

Entries: TypeAlias = tuple[Int[Tensor, " E"], Int[Tensor, " E"]]  # (row, column), by rising row

NONE = -1e30  # the logarithm of an empty sum: finite, so that gradients are 0 there and not NaN


def log_sum(
    anchor: Float[Tensor, "R D"], candidate: Float[Tensor, "N D"], left_out: Entries, *, temperature: float, rows_at_once: int
) -> Float[Tensor, " R"]:
    """``log sum_c exp(anchor . candidate_c / temperature)`` over the candidates that are not ``left_out`` of the anchor's row.

    In float32 at least, also under autocast. If the anchors are more than one block, backward makes the similarities anew.
    """
    return _LogSum.apply(precise(anchor), precise(candidate), *left_out, 1 / temperature, rows_at_once)  # pyright: ignore[reportReturnType]


def share_cost(match: Float[Tensor, "*R"], others: Float[Tensor, "*R"]) -> Float[Tensor, "*R"]:
    """``-log( exp(match) / (exp(match) + exp(others)) )``; nothing is lost where the cost is close to 0."""
    return F.softplus(others - match, threshold=40)  # beyond it the identity, exact to 1e-17


def equal_text(row: Int[Tensor, " K"], key: Int[Tensor, " K"], text: Int[Tensor, " N"]) -> Entries:
    """Entries ``(row[k], n)`` where ``text[n]`` is ``key[k]``."""
    ordered, order = text.sort(stable=True)
    of_key, place = _places(key, ordered)
    row, by_row = row[of_key].sort(stable=True)
    return row, order[place[by_row]]


def belonging(text: Int[Tensor, " R"], candidate: Int[Tensor, " N"], known: Int[Tensor, "E 2"]) -> Entries:
    """Entries ``(r, n)`` where ``candidate[n]`` is ``text[r]``, or is ``known`` to belong to it. ``known`` holds each pair both ways
    round, by rising first text."""
    row, place = _places(text, known[:, 0].contiguous())
    each = torch.arange(len(text), device=text.device)
    return equal_text(torch.cat([each, row]), torch.cat([text, known[place, 1]]), candidate)


def _places(key: Int[Tensor, " K"], ordered: Int[Tensor, " N"]) -> Entries:
    """Entries ``(k, n)`` where ``ordered[n]``, which rises, is ``key[k]``."""
    key = key.contiguous()
    first = torch.searchsorted(ordered, key)
    count = torch.searchsorted(ordered, key, right=True) - first
    of_key = torch.repeat_interleave(torch.arange(len(key), device=key.device), count)
    within = torch.arange(len(of_key), device=key.device) - (count.cumsum(0) - count)[of_key]
    return of_key, first[of_key] + within


def all_of(*entries: Entries) -> Entries:
    """Their union; an entry may stand in it twice."""
    row, column = (torch.cat(parts) for parts in zip(*entries, strict=True))
    order = row.argsort(stable=True)
    return row[order], column[order]


def in_blocks(function: Callable[..., Tensor], *per_row: Tensor, rows_at_once: int) -> Float[Tensor, " R"]:
    """``function`` of ``rows_at_once`` rows of each tensor at a time. If these are more than one block, backward calls it again."""
    if len(per_row[0]) <= rows_at_once:
        return function(*per_row)
    blocks = zip(*(tensor.split(rows_at_once) for tensor in per_row), strict=True)
    return torch.cat([checkpoint(function, *block, use_reentrant=False, preserve_rng_state=False) for block in blocks])


class _LogSum(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, anchor: Tensor, candidate: Tensor, row: Tensor, column: Tensor, scale: float, rows_at_once: int
    ) -> Tensor:
        starts = list(range(0, len(anchor), rows_at_once))
        ends = torch.searchsorted(row, torch.tensor([*starts, len(anchor)], device=row.device)).tolist()
        ctx.blocks = [
            (start, min(start + rows_at_once, len(anchor)), slice(a, b))
            for start, a, b in zip(starts, ends, ends[1:], strict=False)
        ]
        ctx.scale = scale
        total = anchor.new_empty(len(anchor))
        kept: tuple[Tensor, ...] = ()
        for start, stop, entries in ctx.blocks:
            similarity = _similarity(anchor[start:stop] * scale, candidate, row[entries] - start, column[entries])
            highest = similarity.amax(1).clamp(min=NONE)
            share = similarity.sub_(highest[:, None]).exp_()
            whole = share.sum(1)
            total[start:stop] = (highest + whole.log()).clamp(min=NONE)
            if len(starts) == 1 and any(ctx.needs_input_grad):
                kept = (share, whole)
        ctx.save_for_backward(anchor, candidate, row, column, total, *kept)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        anchor, candidate, row, column, total, *kept = ctx.saved_tensors
        grad = grads[0] * ctx.scale
        grad_anchor, grad_candidate = torch.empty_like(anchor), None
        for start, stop, entries in ctx.blocks:
            if kept:
                share, per_row = kept[0], grad / kept[1].clamp(min=torch.finfo(anchor.dtype).tiny)
            else:
                similarity = _similarity(anchor[start:stop] * ctx.scale, candidate, row[entries] - start, column[entries])
                share, per_row = similarity.sub_(total[start:stop, None]).exp_(), grad[start:stop]
            with torch.autocast(anchor.device.type, enabled=False):
                if ctx.needs_input_grad[0]:
                    torch.mm(share, candidate, out=grad_anchor[start:stop]).mul_(per_row[:, None])
                if ctx.needs_input_grad[1]:
                    weighted = anchor[start:stop] * per_row[:, None]
                    if grad_candidate is None:
                        grad_candidate = share.T @ weighted
                    else:
                        grad_candidate.addmm_(share.T, weighted)
        return (grad_anchor if ctx.needs_input_grad[0] else None, grad_candidate, None, None, None, None)


def _similarity(anchor: Tensor, candidate: Tensor, row: Tensor, column: Tensor) -> Tensor:
    similarity = all_cosines(anchor, candidate)
    similarity[row, column] = float("-inf")
    return similarity


@torch.no_grad()
def nearest(
    anchor: Float[Tensor, "R D"], candidate: Float[Tensor, "N D"], left_out: Entries, *, rows_at_once: int
) -> Int[Tensor, " R"]:
    """The candidate nearest to each anchor, without those ``left_out``; -1 where that is all of them."""
    row, column = left_out
    found: list[Tensor] = []
    for start in range(0, len(anchor), rows_at_once):
        block = anchor[start : start + rows_at_once]
        inside = (row >= start) & (row < start + len(block))
        highest, index = _similarity(block, candidate, row[inside] - start, column[inside]).max(1)
        found.append(torch.where(highest == float("-inf"), -1, index))
    return torch.cat(found)
