"""Modules of a `SentenceTransformer` that a configuration replaces or adds: its pooling, and what follows."""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize
from sentence_transformers.sentence_transformer.modules import Pooling
from torch import Tensor, nn

from pipeline.build import Node, build


def pools(module: nn.Module) -> bool:
    return isinstance(module, Pooling) or hasattr(module, "include_prompt")


def after(modules: Sequence[nn.Module], features: dict[str, Any]) -> Float[Tensor, "B D"]:
    """The vectors that ``modules`` make of what the first module of a model gave."""
    for module in modules:
        if isinstance(module, Normalize):  # lengths of half precision are none
            features["sentence_embedding"] = features["sentence_embedding"].float()
        features = module(features)
    return features["sentence_embedding"].float()


def repool(model: SentenceTransformer, node: Node, width: int) -> None:
    """Put the pooling of ``node`` in the place of the model's own. ``width``: of a token vector."""
    places = [number for number, module in enumerate(model) if pools(module)]
    if len(places) != 1:
        raise ValueError(
            f"encoder.pooling replaces the pooling of a model, and this one has {len(places)} ("
            f"{', '.join(type(module).__name__ for module in model)}); expected one; take choose.pooling: own"
        )
    old: Any = model[places[0]]
    new = build(node, later=True)(width)
    widths = [module.get_embedding_dimension() for module in (old, new)]
    if widths[0] != widths[1] and any(next(module.parameters(), None) is not None for module in list(model)[places[0] + 1 :]):
        raise ValueError(
            f"encoder.pooling makes vectors of {widths[1]} numbers, but the modules behind it expect {widths[0]}; "
            f"take another, or choose.pooling: own"
        )
    new.include_prompt = getattr(old, "include_prompt", True)
    model[places[0]] = new.to(next(model.parameters()).dtype)


def project(model: SentenceTransformer, node: Node) -> None:
    """Add the projection of ``node`` behind all modules but one that normalises, which stays the last."""
    new = build(node, later=True)(int(model.get_embedding_dimension() or 0)).to(next(model.parameters()).dtype)
    parts = list(model)
    place = len(parts) - 1 if isinstance(parts[-1], Normalize) else len(parts)
    parts.insert(place, new)
    for number, part in enumerate(parts):
        model._modules[str(number)] = part
