"""The encoder: backbone, pooling, unit length; and the directory that hands it from stage to stage.

An encoder directory holds safetensors, tokenizer and YAML in the module layout of sentence-transformers, so that
``SentenceTransformer(path)`` loads it and gives the same vectors.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import torch
import torch.nn.functional as F
import yaml
from jaxtyping import Float, Int
from torch import Tensor, nn
from tqdm import tqdm
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from pipeline.checkpoint import write_json, write_yaml
from pipeline.params import Node, build

transformers_logging.disable_progress_bar()


class Encoder(nn.Module):
    """Texts to vectors of unit length.

    ``max_length_tokens`` is where texts are cut, special tokens counted in.
    """

    def __init__(
        self, backbone: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, pooling: nn.Module, *, max_length_tokens: int
    ) -> None:
        super().__init__()
        longest = getattr(backbone.config, "max_position_embeddings", max_length_tokens)
        if max_length_tokens > longest:
            raise ValueError(f"max_length_tokens is {max_length_tokens}, but the backbone has {longest} positions; lower it")
        self.backbone = backbone
        self.tokenizer = tokenizer
        self.pooling = pooling
        self.max_length_tokens = max_length_tokens
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
        """
        output = self.backbone(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=layers)
        mask = attention_mask if pool_mask is None else pool_mask
        vectors = self._pooled(output.last_hidden_state, mask)
        return (vectors, tuple(self._pooled(hidden, mask) for hidden in output.hidden_states[1:])) if layers else vectors

    def _pooled(self, hidden: Float[Tensor, "B L D"], mask: Int[Tensor, "B L"]) -> Float[Tensor, "B D"]:
        return F.normalize(self.pooling(hidden, mask).float(), dim=-1)

    def token_ids(self, texts: Sequence[str], max_length_tokens: int) -> list[list[int]]:
        """Ids with special tokens, cut at the smaller of the two limits, not padded."""
        limit = min(max_length_tokens, self.max_length_tokens)
        return self.tokenizer(list(texts), truncation=True, max_length=limit, return_attention_mask=False)["input_ids"]  # pyright: ignore[reportReturnType]

    def padded(self, ids: Sequence[Sequence[int]]) -> tuple[Int[Tensor, "B L"], Int[Tensor, "B L"]]:
        """``(input_ids, attention_mask)``, padded at the right to the longest."""
        length = max(len(row) for row in ids)
        input_ids = torch.full((len(ids), length), self.pad_id)
        mask = torch.zeros((len(ids), length), dtype=torch.long)
        for i, row in enumerate(ids):
            input_ids[i, : len(row)] = torch.tensor(row)
            mask[i, : len(row)] = 1
        return input_ids, mask

    @torch.inference_mode()
    def encode(
        self, texts: Sequence[str], *, max_length_tokens: int, batch_tokens: int, title: str
    ) -> Float[np.ndarray, "B D"]:
        """Vectors of ``texts``, in their order. Batches hold texts of like length, at most ``batch_tokens`` with padding.

        ``title`` stands beside the progress bar.
        """
        training, device = self.training, next(self.parameters()).device
        self.eval()
        out = np.empty((len(texts), self.width), dtype=np.float32)
        ids = self.token_ids(texts, max_length_tokens) if len(texts) else []
        order = sorted(range(len(ids)), key=lambda i: (len(ids[i]), i))
        with tqdm(total=len(texts), desc=title, unit="text", leave=False, disable=None) as bar:
            for batch in _by_tokens(order, [len(row) for row in ids], batch_tokens):
                input_ids, mask = self.padded([ids[i] for i in batch])
                out[batch] = self(input_ids.to(device), mask.to(device)).cpu().numpy()
                bar.update(len(batch))
        self.train(training)
        return out

    def save(self, directory: Path, *, pooling: Node) -> None:
        """Write the encoder directory; ``pooling`` is the node that `load` builds the pooling from."""
        self.backbone.save_pretrained(directory, safe_serialization=True)
        fast: Any = self.tokenizer.backend_tokenizer
        fast.no_truncation()  # else the file holds the limit of whichever call came last
        fast.no_padding()
        self.tokenizer.save_pretrained(directory)
        (directory / "model.safetensors").chmod(0o644)
        _rewrite(directory / "config.json", drop=("_name_or_path", "transformers_version"), put={})
        limit = {"model_max_length": self.max_length_tokens}
        _rewrite(
            directory / "tokenizer_config.json", drop=("name_or_path", "is_local", "local_files_only", "max_length"), put=limit
        )
        modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
        write_json(
            directory / "modules.json",
            [
                {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
                for i, (path, kind) in enumerate(modules)
            ],
        )
        flags = {"pooling_mode_mean_tokens": False, str(self.pooling.flag): True}
        write_json(directory / "1_Pooling" / "config.json", {"word_embedding_dimension": self.width, **flags})
        (directory / "2_Normalize").mkdir()
        write_json(directory / "2_Normalize" / "config.json", {})
        write_json(directory / "sentence_bert_config.json", {"max_seq_length": self.max_length_tokens, "do_lower_case": False})
        write_json(
            directory / "config_sentence_transformers.json",
            {"prompts": {}, "default_prompt_name": None, "similarity_fn_name": "cosine"},
        )
        write_yaml(directory / "encoder.yaml", {"pooling": pooling, "max_length_tokens": self.max_length_tokens})

    @classmethod
    def load(cls, directory: Path) -> "Encoder":
        """The encoder of a directory that `save` wrote. ValueError where one of its files is missing."""
        for name in ("encoder.yaml", "config.json", "model.safetensors", "tokenizer.json"):
            if not (directory / name).is_file():
                raise ValueError(f"{directory} is no encoder directory: {name} is missing; make it with `dvc repro`")
        settings = yaml.safe_load((directory / "encoder.yaml").read_text(encoding="utf-8"))
        backbone = AutoModel.from_pretrained(directory, local_files_only=True, use_safetensors=True)
        tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
        return cls(backbone, tokenizer, build(settings["pooling"]), max_length_tokens=settings["max_length_tokens"])


def pooling_node(directory: Path) -> Node:
    """The pooling that an encoder directory was saved with."""
    return yaml.safe_load((directory / "encoder.yaml").read_text(encoding="utf-8"))["pooling"]


def _by_tokens(order: list[int], lengths: list[int], batch_tokens: int) -> list[list[int]]:
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
