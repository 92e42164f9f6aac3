"""DupMAE and RetroMAE: masked language modelling whose text vector must carry the text, since weak decoders read it back.

Three costs: of the encoder's own hidden tokens; of a decoder of one layer that tells every token from the vector and a few
embeddings; of the words of the text, told by the ordinary tokens together (the highest score of each word over all places). Each
place of the decoder sees the vector, its own random share of the other tokens, and never itself. All but the encoder is thrown away.
Price: about twice the time of plain masking, and scores over the vocabulary at every place of a chunk.

Source: Xiao et al. 2022 (RetroMAE), arXiv:2205.12035, section 3, and Xiao et al. 2022 (DupMAE), arXiv:2211.08769, section 3.2. Ours: single
tokens are hidden, not whole words; the decoder has positions of its own, so that any backbone will do; ``vector: mean``.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn

from pipeline.encoder.encoder import Encoder
from pipeline.pretext.masked import NOT_ASKED, MaskedBatch, MaskedChains, MaskedModule
from pipeline.pretext.pretext import Pretext


class Decoder(nn.Module):
    """One layer of attention from each place to the vector and to the embeddings of the tokens."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"the backbone's width {width} is no multiple of {heads} heads; change heads (conf/pretext)")
        self.heads = heads
        self.to_query, self.to_out = nn.Linear(width, width), nn.Linear(width, width)
        self.to_key_value = nn.Linear(width, 2 * width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.given_norm, self.read_norm, self.out_norm = (nn.LayerNorm(width) for _ in range(3))

    def forward(
        self, vector: Float[Tensor, "B D"], tokens: Float[Tensor, "B L D"], seen: Bool[Tensor, "B L L"]
    ) -> Float[Tensor, "B L D"]:
        """``seen[b, i, j]``: whether place ``i`` sees token ``j``; the first token's place among those seen is the vector's."""

        def by_head(x: Tensor) -> Tensor:
            return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        place = waves(*tokens.shape[1:]).to(tokens)
        query = vector[:, None] + place
        given = torch.cat([vector[:, None], self.given_norm(tokens + place)[:, 1:]], dim=1)
        key, value = self.to_key_value(given).chunk(2, dim=-1)
        read = F.scaled_dot_product_attention(
            by_head(self.to_query(query)), by_head(key), by_head(value), attn_mask=seen[:, None]
        )
        found = self.read_norm(query + self.to_out(read.transpose(1, 2).flatten(2)))
        return self.out_norm(found + self.narrow(F.gelu(self.widen(found))))


def waves(places: int, width: int) -> Float[Tensor, "L D"]:
    """Sines and cosines of each place (Vaswani et al. 2017, arXiv:1706.03762, section 3.5)."""
    rate = 10_000 ** (-torch.arange(0, width, 2) / width)
    angle = torch.arange(places)[:, None] * rate
    return torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1)[:, :width]


def seen_by(mask: Int[Tensor, "B L"], special: Bool[Tensor, "B L"], drawn: Float[Tensor, "B L L"], share: float) -> Tensor:
    """[B, L, L]: each place sees the vector, special tokens, and those of the others that ``drawn`` does not hide. The first sees the
    vector alone, and nothing is asked of it."""
    seen = ((drawn >= share) | special[:, None]) & mask.bool()[:, None]
    seen = seen & ~torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
    seen[:, :, 0] = True
    return seen


def word_cost(score: Float[Tensor, "B L V"], ordinary: Bool[Tensor, "B L"], ids: Int[Tensor, "B L"]) -> Float[Tensor, " B"]:
    """``-sum_t 1/n log softmax(max over places of score)_t`` over the different ids of a text's ``n`` tokens that are no special ones."""
    highest = score.masked_fill(~ordinary[..., None], -1e4).amax(1).log_softmax(-1)
    words = torch.zeros_like(highest).scatter_add(1, ids, ordinary.to(highest.dtype)).clamp(max=1)
    return -(words * highest).sum(1) / ordinary.sum(1).clamp(min=1)


class DupModule(MaskedModule):
    def __init__(
        self,
        encoder: Encoder,
        optimizer: Callable[..., torch.optim.Optimizer],
        *,
        hidden_share: float,
        bow: float,
        vector: str,
        heads: int,
        foreign: bool,
        **settings: Any,
    ) -> None:
        super().__init__(encoder, optimizer, **settings)
        self.decoder = Decoder(encoder.trunk_width, heads)
        self.hidden_share, self.bow, self.vector, self.foreign = hidden_share, bow, vector, foreign
        self.special = torch.tensor(sorted(encoder.tokenizer.all_special_ids))

    def loss(self, batch: MaskedBatch) -> Tensor:
        """The three costs, each a mean: over hidden tokens, over all tokens, over texts."""
        lengths = [len(row) for row in batch.given]
        return self.one_by_one(lambda rows: self.costs(batch, rows), lengths, batch.number).sum()

    def costs(self, batch: MaskedBatch, rows: Sequence[int]) -> Float[Tensor, " n"]:
        """Each text's share of the loss."""
        num_asked = max(1, sum(int((row != NOT_ASKED).sum()) for row in batch.asked))
        num_told = max(1, sum(int((~torch.isin(_true(batch, i), self.special)).sum()) for i in range(len(batch.given))))
        given, mask = (x.to(self.device) for x in self.encoder.padded([batch.given[i].tolist() for i in rows]))
        true, _ = (x.to(self.device) for x in self.encoder.padded([_true(batch, i).tolist() for i in rows]))
        asked = self._asked(batch, rows, given)
        ordinary = mask.bool() & ~torch.isin(true, self.special.to(self.device))
        hidden, _ = self.encoder.tokens(given, mask)
        own = self._scores_cost(hidden, true, asked) / num_asked
        told = self.decoder(
            self._vectors(hidden, mask), F.embedding(true, self.encoder.table), self._seen(batch, rows, mask, ordinary)
        )
        cost = own + self._scores_cost(told, true, ordinary) / num_told
        if not self.bow:
            return cost
        score = self.answers(hidden.flatten(0, 1), self.encoder.table).unflatten(0, mask.shape)
        return cost + self.bow * word_cost(score, ordinary, true) / len(batch.given)

    def _vectors(self, hidden: Float[Tensor, "B L D"], mask: Int[Tensor, "B L"]) -> Float[Tensor, "B D"]:
        counted = mask[..., None].to(hidden.dtype)
        found = hidden[:, 0] if self.vector == "cls" else (hidden * counted).sum(1) / counted.sum(1)
        return found.roll(1, 0) if self.foreign else found

    def _seen(self, batch: MaskedBatch, rows: Sequence[int], mask: Tensor, ordinary: Tensor) -> Tensor:
        """Drawn by seed, step and text, whatever chunk it is in."""
        longest = mask.shape[1]
        drawn = torch.zeros(len(rows), longest, longest)
        for place, i in enumerate(rows):
            size = len(batch.given[i])
            draw = torch.Generator().manual_seed((self.seed * 1_000_003 + batch.number) * 1_000_003 + i)
            drawn[place, :size, :size] = torch.rand(size, size, generator=draw)
        return seen_by(mask, ~ordinary, drawn.to(mask.device), self.hidden_share)

    def _asked(self, batch: MaskedBatch, rows: Sequence[int], given: Tensor) -> Tensor:
        """Where the encoder is asked for a token."""
        found = torch.zeros_like(given, dtype=torch.bool)
        for place, i in enumerate(rows):
            found[place, : len(batch.asked[i])] = (batch.asked[i] != NOT_ASKED).to(given.device)
        return found

    def _scores_cost(self, hidden: Float[Tensor, "B L D"], true: Tensor, here: Bool[Tensor, "B L"]) -> Float[Tensor, " B"]:
        """The cross-entropy of the true tokens ``here``, summed over each text."""
        cost = F.cross_entropy(self.answers(hidden[here], self.encoder.table), true[here], reduction="none")
        owner = torch.arange(len(true), device=true.device)[:, None].expand_as(here)[here]
        return torch.zeros(len(true), device=true.device, dtype=cost.dtype).index_add(0, owner, cost)


def _true(batch: MaskedBatch, row: int) -> Int[Tensor, " L"]:
    return torch.where(batch.asked[row] == NOT_ASKED, batch.given[row], batch.asked[row])


class DupMAE(Pretext):
    """``bow`` 0 is RetroMAE. ``foreign``: the decoder reads the vector of another text of its chunk, from which it learns nothing."""

    sections = {"phase": "shape.Pretext"}  # noqa: RUF012

    def __init__(
        self,
        *,
        share: Annotated[float, Field(gt=0, lt=1)],
        hidden_share: Annotated[float, Field(gt=0, lt=1)],
        bow: Annotated[float, Field(ge=0)],
        vector: Literal["cls", "mean"],
        heads: Annotated[int, Field(gt=0)],
        foreign: bool,
        batch_size: Annotated[int, Field(gt=0)],
    ) -> None:
        self.share = share
        self.batch_size = batch_size
        self.decoded = {"hidden_share": hidden_share, "bow": bow, "vector": vector, "heads": heads, "foreign": foreign}

    def batches(self, ids: Sequence[Sequence[int]], encoder: Encoder, *, steps: int, seed: int, where: str) -> MaskedChains:
        return MaskedChains(ids, encoder, share=self.share, batch_size=self.batch_size, steps=steps, seed=seed, where=where)

    def module(self, encoder: Encoder, **settings: Any) -> DupModule:
        return DupModule(encoder, **self.decoded, **settings)

    def sample(self, module: DupModule, data: MaskedChains) -> Tensor:
        return module.costs(data.batch(0), range(len(data.batches[0]))).sum()
