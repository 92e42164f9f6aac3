"""The encoder: prompt, backbone, pooling, unit length; and the directory that hands it from stage to stage.

An encoder directory holds safetensors, tokenizer and YAML in the module layout of sentence-transformers, so that
``SentenceTransformer(path)`` loads it and gives the same vectors. Weights of the pooling stand beside the backbone's, as
``pooling.<name>``: what merges one merges both.
"""

import copy
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal, overload

import numpy as np
import torch
import torch.nn.functional as F
import yaml
from jaxtyping import Float, Int
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from pipeline.checkpoint import write_json, write_yaml
from pipeline.encoder.backbone import load_backbone
from pipeline.params import build
from pipeline.shape import Node
from pipeline.task import SEARCH

transformers_logging.disable_progress_bar()

WEIGHTS = "model.safetensors"
CPU_TOKENS = (
    1024  # of a batch on a CPU: activations then stay in its caches; 8,192 took twice as long (benchmarks/evaluation.py)
)


class Encoder(nn.Module):
    """Texts to vectors of unit length.

    ``pooling`` is one of `pipeline.pooling`. ``max_length_tokens`` is where texts are cut, special tokens and prompt counted in.
    ``prompts`` holds ``texts`` by task and side, put before a text as they are, and whether they are ``pooled`` with it.
    ``adapter`` is the node of what trains in place of the backbone's own weights; None: those do.
    """

    def __init__(
        self, backbone: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, pooling: Any, *, max_length_tokens: int,
        prompts: Mapping[str, Any] | None = None, adapter: Node | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        rotary = getattr(backbone.config, "position_embedding_type", None) == "rotary"  # ESM2's number there is no limit
        longest = max_length_tokens if rotary else getattr(backbone.config, "max_position_embeddings", max_length_tokens)
        if max_length_tokens > longest:
            raise ValueError(f"max_length_tokens is {max_length_tokens}, but the backbone has {longest} positions; lower it")
        self.backbone: Any = backbone
        self.tokenizer = tokenizer
        tokenizer.padding_side = "right"
        pooling.set_width(backbone.config.hidden_size)
        self.pooling = pooling
        self.max_length_tokens = max_length_tokens
        self.prompts: Mapping[str, Any] = prompts or {"pooled": True, "texts": {}}
        self.adapter = adapter
        self.copies: list[Encoder] = []
        self.pad_id = int(tokenizer.convert_tokens_to_ids(str(tokenizer.pad_token)))  # pyright: ignore[reportArgumentType]

    @property
    def width(self) -> int:
        return int(self.backbone.config.hidden_size)

    @overload
    def forward(
        self, input_ids: Int[Tensor, "B L"], attention_mask: Int[Tensor, "B L"], *,
        pool_mask: Int[Tensor, "B L"] | None = None, layers: Literal[False] = False,
    ) -> Float[Tensor, "B D"]: ...  # fmt: skip

    @overload
    def forward(
        self, input_ids: Int[Tensor, "B L"], attention_mask: Int[Tensor, "B L"], *,
        pool_mask: Int[Tensor, "B L"] | None = None, layers: Literal[True],
    ) -> tuple[Float[Tensor, "B D"], tuple[Float[Tensor, "B D"], ...]]: ...  # fmt: skip

    def forward(
        self, input_ids: Int[Tensor, "B L"], attention_mask: Int[Tensor, "B L"], *,
        pool_mask: Int[Tensor, "B L"] | None = None, layers: bool = False,
    ) -> Any:  # fmt: skip
        """Vectors of unit length; ``pool_mask`` is 1 on the tokens that are pooled (all of the text, unless given).

        ``layers``: also the vectors after each block of the backbone, first to last, pooled in the same way.
        A negative id stands for token ``~id`` of a prompt: it is read like any other, and never pooled.
        """
        text = input_ids >= 0
        ids = torch.where(text, input_ids, ~input_ids)
        output = self.backbone(input_ids=ids, attention_mask=attention_mask, output_hidden_states=layers)
        mask = (attention_mask if pool_mask is None else pool_mask) * text
        vectors = self._pooled(output.last_hidden_state, mask)
        return (vectors, tuple(self._pooled(hidden, mask) for hidden in output.hidden_states[1:])) if layers else vectors

    def _pooled(self, hidden: Float[Tensor, "B L D"], mask: Int[Tensor, "B L"]) -> Float[Tensor, "B D"]:
        return F.normalize(self.pooling(hidden, mask).float(), dim=-1)

    def prompt(self, task: str | None, side: str | None) -> str:
        """What stands before the texts of a side (``query`` or ``document``) of a task; empty where nothing does."""
        return self.prompts["texts"].get(task, {}).get(side, "")

    def token_ids(
        self, texts: Sequence[str], max_length_tokens: int, *, task: str | None = None, side: str | None = None
    ) -> list[list[int]]:
        """Ids with special tokens and the prompt of ``task`` and ``side``, cut at the smaller of the two limits, not padded.

        Those of a prompt that is not pooled, and of special tokens before it, are written ``~id``.
        """
        limit, prompt = min(max_length_tokens, self.max_length_tokens), self.prompt(task, side)
        given = [prompt + text for text in texts]
        ids: list[list[int]] = self.tokenizer(given, truncation=True, max_length=limit, return_attention_mask=False)[
            "input_ids"
        ]  # pyright: ignore[reportAssignmentType]
        if not prompt:
            return ids
        length = self._prompt_tokens(prompt)
        if length + 1 >= limit:
            raise ValueError(
                f"the prompt {prompt!r} takes {length} of {limit} tokens and leaves none for the text; "
                f"raise max_length_tokens or shorten it"
            )
        return ids if self.prompts["pooled"] else [[~i for i in row[:length]] + row[length:] for row in ids]

    def _prompt_tokens(self, prompt: str) -> int:
        """As sentence-transformers counts: tokens of the prompt alone, less a special token at its end."""
        ids: list[int] = self.tokenizer(prompt)["input_ids"]  # pyright: ignore[reportAssignmentType]
        return len(ids) - (ids[-1] in self.tokenizer.all_special_ids)

    def padded(self, ids: Sequence[Sequence[int]]) -> tuple[Int[Tensor, "B L"], Int[Tensor, "B L"]]:
        """``(input_ids, attention_mask)``, padded at the right to the longest."""
        lengths = np.array([len(row) for row in ids])
        mask = np.arange(lengths.max()) < lengths[:, None]
        input_ids = np.full(mask.shape, self.pad_id)
        input_ids[mask] = np.concatenate([np.asarray(row, dtype=np.int64) for row in ids])
        return torch.from_numpy(input_ids), torch.from_numpy(mask.astype(np.int64))

    @torch.inference_mode()
    def encode(
        self, texts: Sequence[str], *, max_length_tokens: int, batch_tokens: int, title: str,
        task: str | None = None, side: str | None = None,
    ) -> Float[np.ndarray, "B D"]:  # fmt: skip
        """Vectors of ``texts``, in their order, with the prompt of ``task`` and ``side``.

        Batches hold texts of like length, at most ``batch_tokens`` with padding (on a CPU never more than `CPU_TOKENS`); after
        `spread` several devices share them. ``title`` stands beside the progress bar.
        """
        training, device = self.training, next(self.parameters()).device
        self.eval()
        batch_tokens = min(batch_tokens, CPU_TOKENS) if device.type == "cpu" else batch_tokens
        out = np.empty((len(texts), self.width), dtype=np.float32)
        ids = self.token_ids(texts, max_length_tokens, task=task, side=side) if len(texts) else []
        order = sorted(range(len(ids)), key=lambda i: (len(ids[i]), i))
        free: SimpleQueue[Encoder] = SimpleQueue()
        for one in self.copies or [self]:
            free.put(one)

        def encoded(batch: list[int]) -> int:
            input_ids, mask = self.padded([ids[i] for i in batch])
            one = free.get()
            try:
                with torch.inference_mode():  # each thread has its own
                    place = next(one.parameters()).device
                    out[batch] = one(input_ids.to(place), mask.to(place)).cpu().numpy()
            finally:  # after an error too, or the threads that wait for a copy would never end
                free.put(one)
            return len(batch)

        batches = by_tokens(order, [len(row) for row in ids], batch_tokens)
        with (
            tqdm(total=len(texts), desc=title, unit="text", leave=False, disable=None) as bar,
            ThreadPoolExecutor(max(1, len(self.copies))) as pool,
        ):
            for num in pool.map(encoded, batches) if len(self.copies) > 1 else map(encoded, batches):
                bar.update(num)
        self.train(training)
        return out

    def spread(self, devices: Sequence[torch.device]) -> None:
        """`encode` from now on shares its batches among ``devices``, a thread each, with the weights as they are now. It moves to the
        first; none: it stays where it is."""
        self.copies = []
        if devices:
            self.to(devices[0]).eval()
            self.copies = [self, *(copy.deepcopy(self).to(device) for device in devices[1:])]

    def save(self, directory: Path, *, pooling: Node) -> None:
        """Write the encoder directory; ``pooling`` is the node that `load` builds the pooling from.

        An adapter is first merged into the backbone, and is gone from this encoder too.
        """
        if hasattr(self.backbone, "merge_and_unload"):
            self.backbone = self.backbone.merge_and_unload()
        self.backbone.save_pretrained(directory, safe_serialization=True)
        weights = {f"pooling.{name}": value.contiguous() for name, value in self.pooling.state_dict().items()}
        if weights:
            save_file(load_file(directory / WEIGHTS) | weights, directory / WEIGHTS, metadata={"format": "pt"})
        (directory / WEIGHTS).chmod(0o644)
        fast: Any = self.tokenizer.backend_tokenizer
        fast.no_truncation()  # else the file holds the limit of whichever call came last
        fast.no_padding()
        self.tokenizer.save_pretrained(directory)
        _rewrite(directory / "config.json", drop=("_name_or_path", "transformers_version"), put={})
        limit = {"model_max_length": self.max_length_tokens}
        _rewrite(
            directory / "tokenizer_config.json", drop=("name_or_path", "is_local", "local_files_only", "max_length"), put=limit
        )
        self._save_layout(directory)
        settings = {"pooling": pooling, "max_length_tokens": self.max_length_tokens}
        settings |= {"prompts": dict(self.prompts)} if self.prompts["texts"] else {}
        settings |= {"adapter": self.adapter} if self.adapter else {}
        write_yaml(directory / "encoder.yaml", settings)

    def _save_layout(self, directory: Path) -> None:
        """What sentence-transformers reads beside the model itself."""
        place = "sentence_transformers.models"
        pooled = self.pooling.module or f"{place}.Pooling"
        modules = [("", f"{place}.Transformer"), ("1_Pooling", pooled), ("2_Normalize", f"{place}.Normalize")]
        write_json(
            directory / "modules.json",
            [{"idx": i, "name": str(i), "path": path, "type": kind} for i, (path, kind) in enumerate(modules)],
        )
        flags = {"pooling_mode_mean_tokens": False, self.pooling.mode: True} if self.pooling.mode else {}
        flags |= {} if self.prompts["pooled"] else {"include_prompt": False}
        write_json(directory / "1_Pooling" / "config.json", {"word_embedding_dimension": self.width, **flags})
        (directory / "2_Normalize").mkdir()
        write_json(directory / "2_Normalize" / "config.json", {})
        write_json(directory / "sentence_bert_config.json", {"max_seq_length": self.max_length_tokens, "do_lower_case": False})
        texts = self.prompts["texts"]
        prompts = {f"{task}_{side}": prompt for task, sides in texts.items() for side, prompt in sides.items()}
        prompts |= texts.get(SEARCH.name, {})  # as `query` and `document`, which their encode_query and encode_document take
        write_json(
            directory / "config_sentence_transformers.json",
            {"prompts": prompts, "default_prompt_name": None, "similarity_fn_name": "cosine"},
        )

    @classmethod
    def load(cls, directory: Path) -> "Encoder":
        """The encoder of a directory that `save` wrote. ValueError where one of its files is missing."""
        for name in ("encoder.yaml", "config.json", WEIGHTS, "tokenizer.json"):
            if not (directory / name).is_file():
                raise ValueError(f"{directory} is no encoder directory: {name} is missing; make it with `dvc repro`")
        settings = yaml.safe_load((directory / "encoder.yaml").read_text(encoding="utf-8"))
        pooling = build(settings["pooling"])
        verbosity = transformers_logging.get_verbosity()
        transformers_logging.set_verbosity_error()  # it would report the pooling's weights as nobody's
        backbone = load_backbone(str(directory), local_files_only=True, use_safetensors=True)
        transformers_logging.set_verbosity(verbosity)
        tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
        rest = {name: settings.get(name) for name in ("prompts", "adapter")}
        encoder = cls(backbone, tokenizer, pooling, max_length_tokens=settings["max_length_tokens"], **rest)
        expected = encoder.pooling.state_dict()
        with safe_open(directory / WEIGHTS, framework="pt") as file:
            found = {name.removeprefix("pooling."): name for name in file.keys() if name.startswith("pooling.")}  # noqa: SIM118
            shapes = {name: tuple(file.get_slice(full).get_shape()) for name, full in found.items()}
            wanted = {name: tuple(value.shape) for name, value in expected.items()}
            if shapes != wanted:
                raise ValueError(f"{directory / WEIGHTS} holds weights {shapes} of the pooling, encoder.yaml wants {wanted}")
            encoder.pooling.load_state_dict({name: file.get_tensor(full) for name, full in found.items()})
        return encoder


def pooling_node(directory: Path) -> Node:
    """The pooling that an encoder directory was saved with."""
    return yaml.safe_load((directory / "encoder.yaml").read_text(encoding="utf-8"))["pooling"]


def by_tokens(order: list[int], lengths: list[int], batch_tokens: int) -> list[list[int]]:
    """Cut ``order`` (short to long) into batches whose count times longest length stays within ``batch_tokens``."""
    batches: list[list[int]] = []
    for i in order:
        if batches and (len(batches[-1]) + 1) * lengths[i] <= batch_tokens:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches


def _rewrite(path: Path, drop: tuple[str, ...], put: dict[str, Any]) -> None:
    """Leave out what names a place or a version: equal models are equal bytes."""
    content = {key: value for key, value in json.loads(path.read_text(encoding="utf-8")).items() if key not in drop}
    write_json(path, content | put)
