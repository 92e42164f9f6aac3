"""Masked-language-model training of a backbone on chains of residues, or on texts: which token stood where it was hidden?

15 % of the tokens are asked for; of these 80 % are masked, 10 % replaced by another, 10 % left (Devlin et al. 2019,
arXiv:1810.04805, section 3.1; for proteins: Rives et al. 2021, doi:10.1073/pnas.2016239118). The layer that answers is tied to the
embeddings and thrown away afterwards.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from pipeline.distributed import agreed
from pipeline.encoder.encoder import Encoder
from pipeline.pretext.pretext import Pretext
from pipeline.training.module import ChunkedModule
from pipeline.training.planned import Planned

MASKED, REPLACED = 0.8, 0.1
NOT_ASKED = -100  # what cross-entropy passes over


@dataclass
class MaskedBatch:
    """``given`` is read, ``asked`` holds the true ids where one is asked for, `NOT_ASKED` elsewhere; one tensor a chain."""

    number: int
    given: list[Int[Tensor, " L"]]
    asked: list[Int[Tensor, " L"]]


class MaskedChains(Planned[MaskedBatch]):
    """The batches of a plan drawn from the seed: every chain once, then again in another order."""

    def __init__(
        self,
        ids: Sequence[Sequence[int]],
        encoder: Encoder,
        *,
        share: float,
        batch_size: int,
        steps: int,
        seed: int,
        where: str,
    ) -> None:
        if len(ids) < batch_size:
            raise ValueError(f"{where}: a batch of {batch_size} texts, but there are {len(ids)}; lower fit.batch_size")
        self.ids = ids
        self.share = share
        self.seed = seed
        tokenizer: Any = encoder.tokenizer
        if tokenizer.mask_token_id is None:
            raise ValueError(f"{where}: the encoder's tokenizer has no mask token; take this phase out of the experiment")
        self.mask_id = int(tokenizer.mask_token_id)
        self.special = torch.tensor(sorted(tokenizer.all_special_ids))
        self.letters = torch.tensor(sorted({i for row in ids for i in row} - set(tokenizer.all_special_ids)))
        order: list[int] = []
        while len(order) < batch_size * steps:
            rows = list(range(len(ids)))
            random.Random(f"{seed} {len(order)}").shuffle(rows)
            order += rows[: len(rows) // batch_size * batch_size]
        self.batches = [order[first : first + batch_size] for first in range(0, batch_size * steps, batch_size)]

    def batch(self, number: int) -> MaskedBatch:
        draw = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        given, asked = [], []
        for row in self.batches[number]:
            true = torch.tensor(self.ids[row])
            chosen = (torch.rand(len(true), generator=draw) < self.share) & ~torch.isin(true, self.special)
            fate = torch.rand(len(true), generator=draw)
            other = self.letters[torch.randint(len(self.letters), (len(true),), generator=draw)]
            seen = torch.where(chosen & (fate < MASKED), torch.full_like(true, self.mask_id), true)
            given.append(torch.where(chosen & (fate >= 1 - REPLACED), other, seen))
            asked.append(torch.where(chosen, true, torch.full_like(true, NOT_ASKED)))
        return MaskedBatch(number, given, asked)


class Answers(nn.Module):
    """Token vectors to a score of each token of the vocabulary; the last matrix is the backbone's own embeddings."""

    def __init__(self, width: int, vocabulary: int) -> None:
        super().__init__()
        self.dense, self.norm = nn.Linear(width, width), nn.LayerNorm(width)
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def forward(self, hidden: Float[Tensor, "N D"], embeddings: Float[Tensor, "V D"]) -> Float[Tensor, "N V"]:
        return F.linear(self.norm(F.gelu(self.dense(hidden))), embeddings, self.bias)


class MaskedModule(ChunkedModule):
    def __init__(self, encoder: Encoder, optimizer: Callable[..., torch.optim.Optimizer], **settings: Any) -> None:
        super().__init__(optimizer, **settings)
        self.encoder = encoder.train()
        self.answers = Answers(encoder.trunk_width, len(encoder.table))

    def transfer_batch_to_device(self, batch: MaskedBatch, device: torch.device, dataloader_idx: int) -> MaskedBatch:
        return batch  # chunks are moved when their turn comes

    def training_step(self, batch: MaskedBatch, batch_idx: int) -> Tensor:
        mark = (batch.number + sum(int(row.sum()) for row in batch.given)) % 2**62
        if not agreed(mark, self.device):
            raise ValueError(f"the processes hold different chains at step {self.global_step}; start all with the same files")
        return self.told(self.loss(batch), "masking")

    def loss(self, batch: MaskedBatch) -> Tensor:
        """Mean cross-entropy over all that is asked for in the batch."""
        costs = self.one_by_one(lambda rows: self.costs(batch, rows), [len(row) for row in batch.given], batch.number)
        return costs.sum() / max(1, sum(int((row != NOT_ASKED).sum()) for row in batch.asked))

    def costs(self, batch: MaskedBatch, rows: Sequence[int]) -> Float[Tensor, " n"]:
        """Summed over each chain."""
        ids, mask = (x.to(self.device) for x in self.encoder.padded([batch.given[i].tolist() for i in rows]))
        asked = torch.full_like(ids, NOT_ASKED)
        for place, i in enumerate(rows):
            asked[place, : len(batch.asked[i])] = batch.asked[i].to(self.device)
        hidden, _ = self.encoder.tokens(ids, mask)
        here = asked != NOT_ASKED
        cost = F.cross_entropy(self.answers(hidden[here], self.encoder.table), asked[here], reduction="none")
        owner = torch.arange(len(rows), device=ids.device)[:, None].expand_as(here)[here]
        return torch.zeros(len(rows), device=ids.device, dtype=cost.dtype).index_add(0, owner, cost)


class Masked(Pretext):
    """``share`` of the tokens is asked for, in batches of ``batch_size`` texts."""

    sections = {"phase": "shape.Pretext"}  # noqa: RUF012

    def __init__(self, *, share: Annotated[float, Field(gt=0, lt=1)], batch_size: Annotated[int, Field(gt=0)]) -> None:
        self.share = share
        self.batch_size = batch_size

    def batches(self, ids: Sequence[Sequence[int]], encoder: Encoder, *, steps: int, seed: int, where: str) -> MaskedChains:
        return MaskedChains(ids, encoder, share=self.share, batch_size=self.batch_size, steps=steps, seed=seed, where=where)

    def module(self, encoder: Encoder, **settings: Any) -> MaskedModule:
        return MaskedModule(encoder, **settings)

    def sample(self, module: MaskedModule, data: MaskedChains) -> Tensor:
        return module.costs(data.batch(0), range(len(data.batches[0]))).sum()
