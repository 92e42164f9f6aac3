"""A text's vector is read back by a decoder that sees nothing else: as the same text, or as the sentence that follows.

``target`` same: a vector that holds what a text says, word by word; with ``deleted`` above 0 the encoder sees a text with holes (TSDAE).
``target`` next: sentences of each text in their order; a vector that holds what comes after it. The decoder, which is thrown away,
reads the vector as its first token and then the words told so far.
Price: one pass of a small decoder, and scores over the vocabulary at each place of a chunk.

Source: Hwang et al. 2025 (Let's Predict Sentence by Sentence), arXiv:2505.22202, section 3 (semantic and contextual), without its
contrastive term and its model over sentences; Wang et al. 2021 (TSDAE), arXiv:2104.06979, section 3. Ours: the vector is the encoder's own,
by its own pooling; the decoder is drawn anew.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from pipeline.corpus.passages import sentences
from pipeline.distributed import agreed
from pipeline.encoder.encoder import Encoder
from pipeline.pretext.dupmae import waves
from pipeline.pretext.masked import Answers
from pipeline.pretext.pretext import Pretext
from pipeline.training.module import ChunkedModule
from pipeline.training.planned import Planned


@dataclass
class ReadBack:
    """``given`` is read by the encoder, ``wanted`` told by the decoder; one tensor a text."""

    number: int
    given: list[Int[Tensor, " L"]]
    wanted: list[Int[Tensor, " L"]]


class ReadBacks(Planned[ReadBack]):
    """The batches of a plan drawn from the seed: every pair (text, what is told of it) once, then again in another order."""

    def __init__(
        self,
        ids: Sequence[Sequence[int]],
        pairs: Sequence[tuple[int, int]],
        special: Sequence[int],
        *,
        deleted: float,
        batch_size: int,
        steps: int,
        seed: int,
        where: str,
    ) -> None:
        if len(pairs) < batch_size:
            raise ValueError(
                f"{where}: a batch of {batch_size} texts, but there are {len(pairs)} to learn from; lower fit.batch_size"
            )
        self.ids = ids
        self.pairs = pairs
        self.special = torch.tensor(sorted(special))
        self.deleted = deleted
        self.seed = seed
        order: list[int] = []
        while len(order) < batch_size * steps:
            rows = list(range(len(pairs)))
            random.Random(f"{seed} {len(order)}").shuffle(rows)
            order += rows[: len(rows) // batch_size * batch_size]
        self.batches = [order[first : first + batch_size] for first in range(0, batch_size * steps, batch_size)]

    def batch(self, number: int) -> ReadBack:
        draw = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        given, wanted = [], []
        for one, other in (self.pairs[row] for row in self.batches[number]):
            given.append(self._with_holes(torch.tensor(self.ids[one]), draw))
            true = torch.tensor(self.ids[other])
            wanted.append(true[1:] if len(true) > 1 and bool(torch.isin(true[0], self.special)) else true)
        return ReadBack(number, given, wanted)

    def _with_holes(self, ids: Int[Tensor, " L"], draw: torch.Generator) -> Int[Tensor, " M"]:
        """Without a share of its tokens; special ones, and one at least of the others, stay."""
        special = torch.isin(ids, self.special)
        chance = torch.rand(len(ids), generator=draw)
        kept = special | (chance >= self.deleted)
        if bool((kept == special).all()) and not bool(special.all()):
            kept[chance.masked_fill(special, -1).argmax()] = True
        return ids[kept]


class Teller(nn.Module):
    """A causal transformer: a vector, then tokens, to what the next token is told from."""

    def __init__(self, vector_width: int, width: int, *, layers: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"the backbone's width {width} is no multiple of {heads} heads; change heads (conf/pretext)")
        self.first = nn.Linear(vector_width, width)
        block = nn.TransformerEncoderLayer(width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True)
        self.blocks = nn.TransformerEncoder(block, layers, enable_nested_tensor=False)

    def forward(self, vector: Float[Tensor, "B V"], told: Float[Tensor, "B L D"]) -> Float[Tensor, "B L+1 D"]:
        """Place ``i`` has read the vector and the first ``i`` tokens."""
        given = torch.cat([self.first(vector)[:, None], told], dim=1)
        size = given.shape[1]
        later = torch.ones(size, size, dtype=torch.bool, device=given.device).triu(1)
        return self.blocks(given + waves(size, given.shape[2]).to(given), mask=later)


class ReadBackModule(ChunkedModule):
    def __init__(
        self,
        encoder: Encoder,
        optimizer: Callable[..., torch.optim.Optimizer],
        *,
        layers: int,
        heads: int,
        dropout: float,
        **settings: Any,
    ) -> None:
        super().__init__(optimizer, **settings)
        self.encoder = encoder.train()
        self.teller = Teller(encoder.width, encoder.trunk_width, layers=layers, heads=heads)
        self.answers = Answers(encoder.trunk_width, len(encoder.table))
        self.dropout = dropout

    def transfer_batch_to_device(self, batch: ReadBack, device: torch.device, dataloader_idx: int) -> ReadBack:
        return batch  # chunks are moved when their turn comes

    def training_step(self, batch: ReadBack, batch_idx: int) -> Tensor:
        mark = (batch.number + sum(int(row.sum()) for row in (*batch.given, *batch.wanted))) % 2**62
        if not agreed(mark, self.device):
            raise ValueError(f"the processes hold different texts at step {self.global_step}; start all with the same files")
        return self.told(self.loss(batch), "reading_back")

    def loss(self, batch: ReadBack) -> Tensor:
        """Mean cross-entropy over all tokens that are to be told."""
        lengths = [len(given) + len(wanted) for given, wanted in zip(batch.given, batch.wanted, strict=True)]
        costs = self.one_by_one(lambda rows: self.costs(batch, rows), lengths, batch.number)
        return costs.sum() / sum(len(row) for row in batch.wanted)

    def costs(self, batch: ReadBack, rows: Sequence[int]) -> Float[Tensor, " n"]:
        """Summed over each text."""
        given, mask = (x.to(self.device) for x in self.encoder.padded([batch.given[i].tolist() for i in rows]))
        wanted, here = (x.to(self.device) for x in self.encoder.padded([batch.wanted[i].tolist() for i in rows]))
        vector = F.dropout(self.encoder(given, mask), self.dropout, self.training)
        hidden = self.teller(vector, F.embedding(wanted[:, :-1], self.encoder.table))
        place = here.bool()
        cost = F.cross_entropy(self.answers(hidden[place], self.encoder.table), wanted[place], reduction="none")
        owner = torch.arange(len(rows), device=given.device)[:, None].expand_as(here)[place]
        return torch.zeros(len(rows), device=given.device, dtype=cost.dtype).index_add(0, owner, cost)


class NextSentence(Pretext):
    """``shuffled``: each text is asked for the target of another one, the control from which nothing is learned of order."""

    sections = {"phase": "shape.Pretext"}  # noqa: RUF012

    def __init__(
        self,
        *,
        target: Literal["same", "next"],
        deleted: Annotated[float, Field(ge=0, lt=1)],
        dropout: Annotated[float, Field(ge=0, lt=1)],
        layers: Annotated[int, Field(gt=0)],
        heads: Annotated[int, Field(gt=0)],
        shuffled: bool,
        batch_size: Annotated[int, Field(gt=0)],
    ) -> None:
        self.target = target
        self.deleted = deleted
        self.decoder = {"dropout": dropout, "layers": layers, "heads": heads}
        self.shuffled = shuffled
        self.batch_size = batch_size
        self.pairs: list[tuple[int, int]] = []

    def pieces(self, texts: Sequence[str]) -> list[str]:
        if self.target == "same":
            self.pairs = [(i, i) for i in range(len(texts))]
            return list(texts)
        place: dict[str, int] = {}
        pairs: dict[tuple[int, int], None] = {}
        for text in texts:
            own = [place.setdefault(one, len(place)) for one in sentences(text)]
            pairs |= dict.fromkeys(pairwise(own))
        self.pairs = list(pairs)
        return list(place)

    def batches(self, ids: Sequence[Sequence[int]], encoder: Encoder, *, steps: int, seed: int, where: str) -> ReadBacks:
        pairs = self.pairs
        if self.shuffled:
            others = [other for _, other in pairs]
            random.Random(f"{seed} shuffled").shuffle(others)
            pairs = [(one, other) for (one, _), other in zip(pairs, others, strict=True)]
        settings = {"deleted": self.deleted, "batch_size": self.batch_size, "steps": steps, "seed": seed, "where": where}
        return ReadBacks(ids, pairs, encoder.tokenizer.all_special_ids, **settings)

    def module(self, encoder: Encoder, **settings: Any) -> ReadBackModule:
        return ReadBackModule(encoder, **self.decoder, **settings)

    def sample(self, module: ReadBackModule, data: ReadBacks) -> Tensor:
        return module.costs(data.batch(0), range(len(data.batches[0]))).sum()
