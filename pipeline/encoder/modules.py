"""Modules of a `SentenceTransformer` that a configuration replaces or adds: its pooling, and what follows."""

import inspect
from collections.abc import Iterable, Sequence
from typing import Any

from jaxtyping import Float
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling, WeightedLayerPooling
from torch import Tensor, nn

from pipeline.build import Node, build


def pools(module: nn.Module) -> bool:
    return isinstance(module, Pooling) or hasattr(module, "include_prompt")


def mixes(modules: Iterable[nn.Module]) -> bool:
    """Whether what pools reads the token vectors of all layers."""
    return any(isinstance(module, WeightedLayerPooling) for module in modules)


def pooling_modules(node: Node, width: int, blocks: int) -> list[Any]:
    """What ``node`` makes for token vectors of ``width``: one module, or, where it takes ``blocks`` too, a mix of layers and what pools
    it."""
    made = build(node, later=True)
    found = made(width, blocks) if "blocks" in inspect.signature(made).parameters else made(width)
    return found if isinstance(found, list) else [found]


def after(modules: Sequence[nn.Module], features: dict[str, Any]) -> Float[Tensor, "B D"]:
    """The vectors that ``modules`` make of what the first module of a model gave."""
    for module in modules:
        if isinstance(module, Normalize):  # lengths of half precision are none
            features["sentence_embedding"] = features["sentence_embedding"].float()
        features = module(features)
    return features["sentence_embedding"].float()


def repool(model: SentenceTransformer, node: Node, width: int, blocks: int) -> None:
    """Put the pooling of ``node`` in the place of the model's own. ``width``: of a token vector."""
    places = [number for number, module in enumerate(model) if pools(module)]
    if len(places) != 1:
        raise ValueError(
            f"encoder.pooling replaces the pooling of a model, and this one has {len(places)} ("
            f"{', '.join(type(module).__name__ for module in model)}); expected one; take choose.pooling: own"
        )
    old: Any = model[places[0]]
    made = pooling_modules(node, width, blocks)
    if mixes(made) and mixes(model):
        raise ValueError("encoder.pooling mixes layers, and the model mixes them already; take choose.pooling: own")
    for trunk in (part for part in model.modules() if mixes(made) and isinstance(part, Transformer)):
        trunk.model.config.output_hidden_states = True  # for sentence-transformers, which then hands on all layers
    new = made[-1]
    widths = [module.get_embedding_dimension() for module in (old, new)]
    if widths[0] != widths[1] and any(next(module.parameters(), None) is not None for module in list(model)[places[0] + 1 :]):
        raise ValueError(
            f"encoder.pooling makes vectors of {widths[1]} numbers, but the modules behind it expect {widths[0]}; "
            f"take another, or choose.pooling: own"
        )
    new.include_prompt = getattr(old, "include_prompt", True)
    _put(model, places[0], [one.to(next(model.parameters()).dtype) for one in made], in_place_of=1)


def project(model: SentenceTransformer, node: Node) -> None:
    """Add the projection of ``node`` behind all modules but one that normalises, which stays the last."""
    new = build(node, later=True)(int(model.get_embedding_dimension() or 0)).to(next(model.parameters()).dtype)
    _put(model, len(model) - 1 if isinstance(model[-1], Normalize) else len(model), [new], in_place_of=0)


def _put(model: SentenceTransformer, place: int, new: Sequence[nn.Module], *, in_place_of: int) -> None:
    parts = list(model)
    parts[place : place + in_place_of] = new
    for number, part in enumerate(parts):
        model._modules[str(number)] = part
