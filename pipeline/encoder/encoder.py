"""The encoder: a `SentenceTransformer`, and what this project adds to it.

The modules are sentence-transformers' own, so vectors are what the model itself gives: of unit length only if it normalises them.
Added are batches by tokens, texts as plain ids (which trainings keep, compare and replay), and the vectors of all layers.

Texts are padded at the right, whatever side the tokenizer prefers: each text is then read as if it stood alone.
"""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import InputModule, Normalize, Router, Transformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from torch import Tensor, nn

from pipeline.build import Node
from pipeline.checkpoint import write_yaml
from pipeline.encoder.directory import folders, open_model, save_model
from pipeline.encoder.encoding import encoded
from pipeline.encoder.fitting import checked
from pipeline.encoder.ids import ROUTE, padded, token_ids
from pipeline.encoder.inputs import NO_LIMIT, check_inputs, modality, num_positions, plain, pooled, tokenized
from pipeline.encoder.modules import after, mixes, pools, project, repool
from pipeline.encoder.prompts import exported, tell_unsaid
from pipeline.encoder.settings import SETTINGS, settings_of

SIDES = {"query": ("query",), "document": ("document", "passage", "corpus")}  # their prompts' names in sentence-transformers


class Encoder(nn.Module):
    """Texts to vectors.

    ``max_length_tokens`` is where texts are cut, special tokens and prompt counted in; None: where the model cuts them.
    ``pooling`` is the node that replaces the model's own pooling, ``projection`` that of a module added behind it; None changes nothing.
    ``prompts`` holds ``texts`` by task and side, put before a text, or around it where they hold ``{text}``, and whether they are pooled
    with it; without texts, the model's own hold. ``adapter``: the node of what trains in place of the backbone's weights; None: those do.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        *,
        max_length_tokens: int | None = None,
        pooling: Node | None = None,
        projection: Node | None = None,
        prompts: Mapping[str, Any] | None = None,
        adapter: Node | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        router = next((module for module in model if isinstance(module, Router)), None)
        self.routes: list[str | None] = [None] if router is None else list(router.sub_modules)
        for route in range(len(self.routes)):
            first = self.path(route)[0]
            if not isinstance(first, InputModule):
                raise ValueError(
                    f"the model reads its input by {type(first).__name__}; expected Transformer, StaticEmbedding or another InputModule, "
                    f"or a Router of these"
                )
        if pooling is not None:
            repool(model, pooling, self.trunk_width, self.blocks)
        if projection is not None:
            project(model, projection)
        for trunk in self.trunks:
            longest = num_positions(trunk)
            if longest is not None and max_length_tokens is not None and max_length_tokens > longest:
                raise ValueError(
                    f"max_length_tokens is {max_length_tokens}, but the backbone has {longest} positions; lower it"
                )
            check_inputs(trunk)
            known = [limit for limit in (max_length_tokens or trunk.max_seq_length, longest, NO_LIMIT) if limit is not None]
            trunk.max_seq_length = min(known)
        self.max_length_tokens = max((trunk.max_seq_length or NO_LIMIT for trunk in self.trunks), default=NO_LIMIT)
        self.adapter = adapter
        self.copies: list[Encoder] = []
        firsts: list[Any] = [self.path(route)[0] for route in range(len(self.routes))]
        self.pad_ids = [int(getattr(getattr(first, "tokenizer", None), "pad_token_id", None) or 0) for first in firsts]
        self.prompts = prompts or {"pooled": True, "texts": {}}

    @property
    def prompts(self) -> Mapping[str, Any]:
        return self._prompts

    @prompts.setter
    def prompts(self, prompts: Mapping[str, Any]) -> None:
        self._prompts = prompts
        self.kept_back: list[str] = []  # names of prompts that a directory holds for this package alone
        if not (texts := prompts["texts"]):
            return
        self.model.prompts, self.kept_back = exported(texts)
        self.model.default_prompt_name = None
        for module in self.model.modules():
            if hasattr(module, "include_prompt"):
                module.include_prompt = bool(prompts["pooled"])  # pyright: ignore[reportArgumentType]

    @property
    def trunks(self) -> list[Transformer]:
        """The transformers that read texts: none, one, or one for each route."""
        first = dict.fromkeys(self.path(route)[0] for route in range(len(self.routes)))
        return [module for module in first if isinstance(module, Transformer)]

    @property
    def backbone(self) -> Any:
        """The transformer (of transformers), the first route's. ValueError where there is none."""
        if not self.trunks:
            raise ValueError("the model has no transformer: its token vectors come out of a table")
        return self.trunks[0].model

    @property
    def pooling(self) -> Any:
        """The module that makes one vector of a text's token vectors, the first route's; None where there is none."""
        return next((module for module in self.path(0) if pools(module)), None)

    @property
    def pad_id(self) -> int:
        return self.pad_ids[0]

    @property
    def tokenizer(self) -> Any:
        return self.model.tokenizer

    @property
    def width(self) -> int:
        """Numbers of a vector."""
        return int(self.model.get_embedding_dimension() or 0)

    @property
    def trunk_width(self) -> int:
        """Numbers of a token vector."""
        return int(self.path(0)[0].get_embedding_dimension())  # pyright: ignore[reportCallIssue]

    @property
    def blocks(self) -> int:
        """Layers of the backbone; 0 where there is none."""
        return int(self.backbone.config.get_text_config().num_hidden_layers) if self.trunks else 0

    @property
    def table(self) -> Tensor:
        """The input embeddings [V, D], the first route's."""
        first: Any = self.path(0)[0]
        return first.embedding.weight if isinstance(first, StaticEmbedding) else self.backbone.get_input_embeddings().weight

    @property
    def normalizes(self) -> bool:
        """Whether the model's own vectors have unit length."""
        return all(isinstance(self.path(route)[-1], Normalize) for route in range(len(self.routes)))

    def unit(self, vectors: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
        """At unit length, as cosines need them."""
        return vectors if self.normalizes else F.normalize(vectors, dim=-1)

    def weights(self) -> dict[str, nn.Parameter]:
        """By the names that they have in the files of a directory, as merging reads them."""
        found: dict[str, nn.Parameter] = {}
        for folder, module in folders(self.model):
            inner: Any = module.model if isinstance(module, Transformer) else module
            found |= {f"{folder}/{name}".lstrip("/"): weight for name, weight in inner.named_parameters()}
        return found

    def path(self, route: int) -> list[nn.Module]:
        """The modules that a text goes through."""
        name, path = self.routes[route], list[nn.Module]()
        for module in self.model:
            path += module.sub_modules[str(name)] if isinstance(module, Router) else [module]  # pyright: ignore[reportOperatorIssue]
        return path

    @overload
    def forward(
        self, input_ids: Int[Tensor, "B L"], attention_mask: Int[Tensor, "B L"], *, layers: Literal[False] = False
    ) -> Float[Tensor, "B D"]: ...

    @overload
    def forward(
        self, input_ids: Int[Tensor, "B L"], attention_mask: Int[Tensor, "B L"], *, layers: Literal[True]
    ) -> tuple[Float[Tensor, "B D"], tuple[Float[Tensor, "B D"], ...]]: ...

    def forward(self, input_ids: Int[Tensor, "B L"], attention_mask: Int[Tensor, "B L"], *, layers: bool = False) -> Any:
        """The model's own vectors, in single precision at least.

        ``layers``: also the vectors after each block of the backbone, first to last, made by the same modules.
        Ids are those of `token_ids`: a negative one stands for token ``~id`` of a prompt: it is read like any other, and never pooled.
        """
        if len(self.routes) == 1 or not input_ids.shape[1]:
            return self._vectors(0, input_ids, attention_mask, layers)
        if layers:
            raise ValueError("vectors after each block are not made by a router, whose routes may have unlike blocks")
        route_B = torch.where(input_ids < 0, ~input_ids, input_ids)[:, 0] // ROUTE
        parts: list[Tensor] = []
        order: list[Tensor] = []
        nothing: Any = 0.0
        for route in range(len(self.routes)):
            rows = (route_B == route).nonzero()[:, 0]
            if len(rows):
                parts.append(self._vectors(route, input_ids[rows], attention_mask[rows], False))
                order.append(rows)
            elif torch.is_grad_enabled():  # so that each weight has a gradient, of 0, in every process
                one = torch.ones_like(input_ids[:1, :1])
                nothing = nothing + 0.0 * self._vectors(route, one, one, False).sum()
        return torch.cat(parts)[torch.argsort(torch.cat(order))] + nothing

    def tokens(
        self, input_ids: Int[Tensor, "B L"], attention_mask: Int[Tensor, "B L"], *, layers: bool = False
    ) -> tuple[Any, Tensor]:
        """``(hidden, mask)``: token vectors [B, L, D] of the last layer, and 1 on the tokens that are pooled.

        ``layers``: ``hidden`` is a tuple over all layers, the input embeddings first. All texts of a call are of one route.
        """
        text = input_ids >= 0
        ids = torch.where(text, input_ids, ~input_ids)
        route = int(ids[0, 0]) // ROUTE if len(self.routes) > 1 else 0
        ids = self._own(ids, attention_mask, route)
        return self._read(self.path(route)[0], ids, attention_mask, layers), attention_mask * text

    def _own(self, ids: Tensor, mask: Tensor, route: int) -> Tensor:
        """As the tokenizer of the route numbers them, its padding too."""
        return ids if len(self.routes) == 1 else torch.where(mask.bool(), ids % ROUTE, self.pad_ids[route])

    def _read(self, first: Any, ids: Tensor, mask: Tensor, layers: bool) -> Any:
        if isinstance(first, StaticEmbedding):
            hidden = F.embedding(ids, first.embedding.weight)
            return (hidden,) if layers else hidden
        if not isinstance(first, Transformer):
            hidden = first({"input_ids": ids, "attention_mask": mask})["token_embeddings"]
            return (hidden,) if layers else hidden
        if not plain(first):
            raise ValueError(f"{type(first.model).__name__} gives a vector of the whole text, and none of its tokens")
        output = first.model(input_ids=ids, attention_mask=mask, output_hidden_states=layers)
        last = output.last_hidden_state
        return (*output.hidden_states[:-1], last) if layers else last

    def _vectors(self, route: int, input_ids: Tensor, mask: Tensor, layers: bool) -> Any:
        first, *rest = self.path(route)
        text = input_ids >= 0
        ids = self._own(torch.where(text, input_ids, ~input_ids), mask, route)
        if isinstance(first, StaticEmbedding) and not layers:
            here = mask.bool()
            ends = mask.sum(1).cumsum(0)
            features = first({"input_ids": ids[here], "offsets": F.pad(ends[:-1], (1, 0))})
            return after(rest, features)
        if isinstance(first, Transformer) and not plain(first) and not layers:
            return after(rest, first({"input_ids": ids, "attention_mask": mask, "modality": modality(first)}))
        common: dict[str, Any] = {"input_ids": ids, "modality": "text"}
        if mixes(rest):
            if layers:
                raise ValueError("vectors after each block are not made by a model that mixes its layers; take another pooling")
            every = self._read(first, ids, mask, True)
            return after(rest, common | {"all_layer_embeddings": every} | pooled(rest, every[-1], mask, text))
        hidden = self._read(first, ids, mask, layers)
        states = [hidden[-1], *hidden[1:]] if layers else [hidden]
        found = [after(rest, common | pooled(rest, state, mask, text)) for state in states]
        return (found[0], tuple(found[1:])) if layers else found[0]

    def prompt(self, task: str | None, side: str | None) -> str:
        """What stands before the texts of a side (``query`` or ``document``) of a task, or around them where it holds ``{text}``; empty
        where nothing does."""
        if texts := self.prompts["texts"]:
            return texts.get(task, {}).get(side, "")
        theirs = self.model.prompts
        names = [f"{task}_{side}", *SIDES.get(str(side), ())] if side else [str(self.model.default_prompt_name)]
        return next((theirs[name] for name in names if name in theirs), "") or ""

    def reading(self, task: str | None, side: str | None) -> str:
        """Equal where a text is read alike: under one prompt, by one route."""
        route = self.route(side)
        return self.prompt(task, side) if route == 0 else f"{self.routes[route]}\0{self.prompt(task, side)}"

    def route(self, side: str | None) -> int:
        if len(self.routes) == 1:
            return 0
        router = next(module for module in self.model if isinstance(module, Router))
        return self.routes.index(router._resolve_route(task=side, modality="text"))

    def token_ids(
        self, texts: Sequence[str], max_length_tokens: int | None, *, task: str | None = None, side: str | None = None
    ) -> list[list[int]]:
        """Ids with special tokens and the prompt of ``task`` and ``side``, cut at the smaller of the two limits (None: at the model's
        own), not padded.

        Those of a prompt that is not pooled, and of special tokens before it, are written ``~id``; those of another route than the
        first, `ROUTE` higher for each.
        """
        return token_ids(self, texts, max_length_tokens, task=task, side=side)

    def plain_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids without special tokens and prompt, not cut."""
        first, tokenizer = self.path(0)[0], self.tokenizer
        if not isinstance(first, Transformer):
            return tokenized(first, texts, NO_LIMIT, "", None)[0]
        return tokenizer(list(texts), add_special_tokens=False, truncation=False, verbose=False)["input_ids"]

    def num_tokens(self, texts: Sequence[str]) -> list[int]:
        """With special tokens, not cut."""
        read = isinstance(self.path(0)[0], Transformer)
        return list(map(len, self.tokenizer(list(texts), verbose=False)["input_ids"] if read else self.plain_ids(texts)))

    def padded(self, ids: Sequence[Sequence[int]]) -> tuple[Int[Tensor, "B L"], Int[Tensor, "B L"]]:
        """``(input_ids, attention_mask)``, padded at the right to the longest."""
        return padded(ids, self.pad_id)

    def encode(
        self,
        texts: Sequence[Any],
        *,
        max_length_tokens: int | None,
        batch_tokens: int,
        title: str,
        task: str | None = None,
        side: str | None = None,
        unit: bool = False,
    ) -> Float[np.ndarray, "B D"]:
        """Vectors of ``texts``, in their order, with the prompt of ``task`` and ``side``; ``unit``: at unit length.

        Batches hold texts of like length, at most ``batch_tokens`` with padding (on a CPU never more than
        `pipeline.encoder.encoding.CPU_TOKENS`); after `spread` several devices share them. ``title`` stands beside the progress bar.
        What is no text (an image) is read by the model's own processor.
        """
        how = {"max_length_tokens": max_length_tokens, "batch_tokens": batch_tokens, "title": title, "unit": unit}
        return encoded(self, texts, **how, task=task, side=side)

    def spread(self, devices: Sequence[torch.device]) -> None:
        """`encode` from now on shares its batches among ``devices``, a thread each, with the weights as they are now. It moves to the
        first; none: it stays where it is."""
        self.copies = []
        if devices:
            self.to(devices[0]).eval()
            self.copies = [self, *(copy.deepcopy(self).to(device) for device in devices[1:])]

    def save(self, directory: Path) -> None:
        """Write the encoder directory. An adapter is first merged into the backbone, and is gone from this encoder too."""
        for trunk in self.trunks:
            if hasattr(trunk.model, "merge_and_unload"):
                trunk.model = trunk.model.merge_and_unload()  # pyright: ignore[reportCallIssue]
        save_model(self.model, directory)
        prompts = dict(self.prompts) if self.prompts["texts"] else None
        settings = {"max_length_tokens": self.max_length_tokens, "prompts": prompts, "adapter": self.adapter or None}
        write_yaml(directory / SETTINGS, {key: one for key, one in settings.items() if one is not None})
        tell_unsaid(directory / SETTINGS, self.kept_back)

    @classmethod
    def load(cls, directory: Path) -> "Encoder":
        """The encoder of any directory that sentence-transformers loads. ValueError where it is not whole, or brings code."""
        return checked(directory, lambda: cls(open_model(directory), **settings_of(directory)))
