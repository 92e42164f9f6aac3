"""Sub-tokens of one word as one: the mean of their input embeddings goes through the model, so code and rare words cost fewer steps.

What is a word is told by the tokenizer: what it splits at before it looks into its vocabulary, so an identifier without underscores is one.
Positions count words. Price: a model has never read such means in training, so something is lost, which is measured here.

Source: a study of token merging for models of code (2025), the mean of hidden states; that it stands before the first layer, in the
input embeddings, is our own choice.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pipeline.corpus.collection import Encode
from pipeline.encoder.encoder import Encoder
from pipeline.encoder.encoding import CPU_TOKENS, by_length
from pipeline.encoder.inputs import plain as gives_tokens
from pipeline.encoder.modules import after, mixes


class MergedWords:
    """The model's own files, read by code that gives it input embeddings."""

    file = None
    tolerance = None
    about = "sub-tokens of a word as one token, the mean of their input embeddings"
    use = """\
import torch
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("{path}")
found = model.tokenizer(text, truncation=True, max_length={max_length_tokens})
words = found.word_ids()  # None: a special token, which stands alone
starts = [i for i, word in enumerate(words) if i == 0 or word is None or word != words[i - 1]]
rows = model[0].model.get_input_embeddings()(torch.tensor(found["input_ids"]))
merged = torch.stack([part.mean(0) for part in rows.tensor_split(starts[1:])])[None]
hidden = model[0].model(inputs_embeds=merged, attention_mask=torch.ones(1, len(starts))).last_hidden_state
features = {{"token_embeddings": hidden, "attention_mask": torch.ones(1, len(starts))}}
for module in list(model)[1:]:
    features = module(features)
vector = features["sentence_embedding"][0]
"""

    def vector_bytes(self, width: int) -> int:
        return 4 * width

    def make(self, encoder: Encoder, folder: Path, plain: Encode, *, max_length_tokens: int) -> Encode:
        check(encoder)
        limit = min(max_length_tokens, encoder.max_length_tokens)

        def encode(texts: Sequence[str], side: str, task: str) -> Float[np.ndarray, "B D"]:
            found = encoder.tokenizer(
                [_placed(encoder.prompt(task, side), text) for text in texts], truncation=True, max_length=limit
            )
            ids = encoder.token_ids(texts, limit, task=task, side=side)
            if any(list(one) != given for one, given in zip(found["input_ids"], ids, strict=True)):
                raise ValueError("merged_words: the tokenizer gives other ids than the model reads; leave it out")
            units = [words_of(found.word_ids(i)) for i in range(len(texts))]
            out = np.empty((len(texts), encoder.width), dtype=np.float32)
            for batch in by_length(ids, CPU_TOKENS):
                out[batch] = vectors(encoder, [ids[i] for i in batch], [units[i] for i in batch]).numpy()
            return out

        return encode


def check(encoder: Encoder) -> None:
    """ValueError where the model cannot be given input embeddings, or its tokenizer does not tell words."""
    one = len(encoder.routes) == 1 and len(encoder.trunks) == 1 and gives_tokens(encoder.trunks[0])
    if not one or mixes(encoder.model.modules()) or not getattr(encoder.tokenizer, "is_fast", False):
        raise ValueError(
            "merged_words needs one transformer that gives token vectors, and a tokenizer that tells words; leave it out"
        )
    if encoder.prompts["texts"] and not encoder.prompts["pooled"]:
        raise ValueError("merged_words: prompts that are not pooled are not told apart from words; leave it out")


def _placed(prompt: str, text: str) -> str:
    return prompt.replace("{text}", text) if "{text}" in prompt else prompt + text


def words_of(words: Sequence[int | None]) -> list[int]:
    """The number of the word of each token, from 0; a special token is one of its own."""
    number, found = -1, list[int]()
    for i, word in enumerate(words):
        number += int(i == 0 or word is None or word != words[i - 1])
        found.append(number)
    return found


@torch.no_grad()
def vectors(encoder: Encoder, ids: Sequence[Sequence[int]], units: Sequence[Sequence[int]]) -> Float[Tensor, "B D"]:
    """Of texts by their ids and the word of each; a text without tokens reads as one padding token that counts for nothing."""
    device = encoder.table.device
    given = encoder.padded(ids)[0].to(device)
    merged, length = means(encoder.backbone.get_input_embeddings()(given), [list(of) for of in units])
    kept = (torch.arange(merged.shape[1], device=device) < length[:, None]).long()
    hidden = encoder.backbone(inputs_embeds=merged, attention_mask=kept).last_hidden_state
    found = after(encoder.path(0)[1:], {"token_embeddings": hidden, "attention_mask": kept, "modality": "text"})
    return encoder.unit(found).float().cpu()


def means(rows: Float[Tensor, "B L D"], units: Sequence[Sequence[int]]) -> tuple[Float[Tensor, "B U D"], Int[Tensor, " B"]]:
    """The mean of the rows of each unit, and how many units each text has."""
    length = torch.tensor([of[-1] + 1 if of else 0 for of in units], device=rows.device)
    number = max(1, int(length.max()))
    place = torch.full(rows.shape[:2], number, dtype=torch.int64, device=rows.device)  # padding: a last unit, cut off
    for i, of in enumerate(units):
        place[i, : len(of)] = torch.tensor(of, device=rows.device)
    summed = rows.new_zeros(len(rows), number + 1, rows.shape[2]).scatter_add_(1, place[..., None].expand_as(rows), rows)
    counted = rows.new_zeros(len(rows), number + 1).scatter_add_(1, place, torch.ones_like(place, dtype=rows.dtype))
    return (summed / counted.clamp(min=1)[..., None])[:, :number], length
