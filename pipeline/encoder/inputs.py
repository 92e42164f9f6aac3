"""How the first module of a model reads texts: as ids and a mask, as sentence-transformers itself makes them."""

from collections.abc import Sequence
from typing import Any

import torch
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding
from torch import Tensor, nn

NO_LIMIT = 10**6  # tokens: stands for the limit of a model without one
UNPADDED: Any = {"common": {"return_tensors": None}, "text": {"padding": False}}


def modality(first: Any) -> str:
    """How texts are read: as they are, or as a message of a chat."""
    return "message" if "message" in getattr(first, "modality_config", ()) else "text"


def plain(first: Any) -> bool:
    """Whether a transformer makes token vectors of ids and mask."""
    how = first.modality_config.get(modality(first), {})
    return (how.get("method"), how.get("method_output_name"), first.module_output_name) == (
        "forward",
        "last_hidden_state",
        "token_embeddings",
    )


def num_positions(trunk: Transformer) -> int | None:
    """Tokens that a transformer has positions for. RoBERTa and its kin count them from behind the padding id: 514 are 512 tokens."""
    for module in trunk.model.modules():
        table = getattr(module, "position_embeddings", None)
        if isinstance(table, nn.Embedding):
            padding = getattr(module, "padding_idx", None)
            return table.num_embeddings - (padding + 1 if isinstance(padding, int) else 0)
    config: Any = trunk.model.config.get_text_config()
    rotary = getattr(config, "position_embedding_type", None) == "rotary"  # ESM2's number there is no limit
    longest = getattr(config, "max_position_embeddings", None)
    return None if rotary or longest is None or longest < 1 else int(longest)


def check_inputs(first: Any) -> None:
    """ValueError where a model wants more of a text than ids and mask."""
    if modality(first) in first.modality_config:
        more = {
            name: value for name, value in first.preprocess(["text"]).items() if name not in ("input_ids", "attention_mask")
        }
        if asked := sorted(name for name, value in more.items() if isinstance(value, Tensor) and value.any()):
            raise ValueError(
                f"the tokenizer gives {', '.join(asked)} beside ids and mask, which is not supported; take another model"
            )


def tokenized(
    first: Any, texts: Sequence[str], limit: int, prompt: str, side: str | None
) -> tuple[list[list[int]], int | None]:
    """Ids as the module itself makes them, cut at ``limit`` (of a static table: not cut); and how many are the prompt's.

    A module that is neither a transformer nor a static table gives ``input_ids`` and ``attention_mask``, and makes ``token_embeddings``
    of both: so it may read a text by letters, or as what is no text at all, such as numbers between blanks.
    """
    if isinstance(first, StaticEmbedding):
        found = first.preprocess(list(texts), prompt=prompt or None)
        ends = [*found["offsets"].tolist()[1:], len(found["input_ids"])]
        flat = found["input_ids"].tolist()
        return [flat[start:end] for start, end in zip([0, *ends], ends, strict=False)], None
    if isinstance(first, Transformer) and modality(first) == "text":
        found = first.preprocess(list(texts), prompt=prompt or None, max_length=limit, task=side, processing_kwargs=UNPADDED)
        return found["input_ids"], found.get("prompt_length")
    ids: list[list[int]] = []
    for start in range(0, len(texts), 256):
        found = first.preprocess(list(texts[start : start + 256]), prompt=prompt or None, max_length=limit, task=side)
        rows = zip(found["input_ids"], found["attention_mask"].bool(), strict=True)
        ids += [row[mask].tolist() for row, mask in rows]
    return ids, None


def pooled(rest: Sequence[nn.Module], hidden: Tensor, mask: Tensor, text: Tensor) -> dict[str, Tensor]:
    """Token vectors and mask as the pooling in ``rest`` takes them, so that it passes over ids that are not of the text.

    One that weighs by position counts from the first token of the mask: it is given the whole mask, and zeros where it passes over.
    """
    pooling = next((module for module in rest if isinstance(module, Pooling)), None)
    if pooling is None or pooling.include_prompt or "weightedmean" not in pooling.pooling_mode:
        return {"token_embeddings": hidden, "attention_mask": mask * text}
    if pooling.pooling_mode != "weightedmean":
        raise ValueError(f"prompts that are not pooled go with one pooling, not with {', '.join(pooling.pooling_mode)}")
    kept = mask * text
    place = torch.arange(1, mask.shape[1] + 1, device=mask.device, dtype=torch.float32)
    return {"token_embeddings": hidden * kept[..., None], "attention_mask": mask, "token_weights_sum": (kept * place).sum(1)}
