"""The one module that all trainings share: encode the global batch, ask the objective of each task in it, step."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from pipeline.distributed import agreed, mean_of, num_processes, own_slice
from pipeline.encoder.encoder import Encoder
from pipeline.gradcache import cut, embedded
from pipeline.objective.objective import Objective
from pipeline.tensors import EmbeddedPairs
from pipeline.training.data import Part, TextBatch
from pipeline.training.guards import geometry
from pipeline.training.module import ChunkedModule
from pipeline.training.slow import slow_copy


class ContrastiveModule(ChunkedModule):
    """``objectives`` and ``negatives`` by task; ``optimizer`` makes one from the parameters.

    ``chunk_tokens`` are encoded at once; memory is kept for ``kept_tokens`` of them, and ``similarities_at_once`` numbers of a
    similarity matrix are held at a time. Dropout is drawn from (seed, batch, chunk): a resumed training draws what an unbroken one
    would, and two processes draw what one would.
    """

    def __init__(
        self,
        encoder: Encoder,
        objectives: Mapping[str, Objective],
        optimizer: Callable[..., torch.optim.Optimizer],
        *,
        negatives: Mapping[str, Literal["in_batch", "gathered", "own"]],
        steps: int,
        warmup_steps: int,
        seed: int,
        chunk_tokens: int,
        kept_tokens: int,
        similarities_at_once: int,
        return_memory: bool,
        on_nonfinite: Literal["stop", "skip", "back"],
    ) -> None:
        super().__init__(
            optimizer,
            steps=steps,
            warmup_steps=warmup_steps,
            seed=seed,
            chunk_tokens=chunk_tokens,
            kept_tokens=kept_tokens,
            return_memory=return_memory,
            on_nonfinite=on_nonfinite,
        )
        self.encoder = encoder.train()  # loaded weights come in evaluation mode, and the trainer would leave them there
        self.objectives = nn.ModuleDict(objectives)
        self.negatives = dict(negatives)
        self.similarities_at_once = similarities_at_once
        self.slow = slow_copy(encoder, objectives)
        self.with_layers = any(getattr(objective, "needs_layers", False) for objective in objectives.values())

    def training_step(self, batch: TextBatch, batch_idx: int) -> Tensor:
        if not agreed(batch.mark, self.device):
            raise ValueError(
                f"the processes hold different batches at step {self.global_step} (this one: {batch.told}), expected the same "
                f"texts of the same task on all; start all with one configuration and the same files"
            )
        if self.slow and self.global_step:
            self.slow.follow(self.encoder)
        vectors = self.vectors(batch)
        terms = self._terms(batch, vectors)
        loss = torch.stack(list(terms.values())).sum()
        self._report(batch, terms, vectors)
        return loss

    def loss(self, batch: TextBatch) -> Tensor:
        """This process' share, nothing told."""
        return torch.stack(list(self._terms(batch, self.vectors(batch)).values())).sum()

    @torch.no_grad()
    def mean_loss(self, batches: Iterable[TextBatch]) -> float:
        """The mean over ``batches`` without dropout, the same on every process."""
        self.eval()
        losses = [mean_of(self.loss(self.transfer_batch_to_device(batch, self.device, 0))[None]) for batch in batches]
        self.train()
        return float(torch.stack(losses).mean())

    def _terms(self, batch: TextBatch, vectors: Float[Tensor, "T C D"]) -> dict[str, Tensor]:
        self._seed(batch)
        terms = {part.task: self._loss(batch, part, vectors) for part in batch.parts}
        others = [weight.sum() for task, one in self.objectives.items() if task not in terms for weight in one.parameters()]
        if others:  # weights that have no turn at this step: gradients of 0, or processes would wait for theirs
            first = batch.parts[0].task
            terms[first] = terms[first] + 0.0 * torch.stack(others).sum()
        return terms

    def _seed(self, batch: TextBatch) -> None:
        """What objectives draw must be the same on every process."""
        torch.manual_seed(self.seed * 1_000_003 + batch.number)

    def vectors(self, batch: TextBatch) -> Float[Tensor, "T C D"]:
        """The final vectors of all texts, at unit length, and with C > 1 those after each block behind them."""
        flat = self._encoded(batch, batch.ids, self._embed, kept_tokens=self.kept_tokens)
        return flat.unflatten(1, (-1, self.encoder.width))

    def _encoded(
        self, batch: TextBatch, ids: list[Tensor], embed: Callable[[list[Tensor]], Tensor], *, kept_tokens: int
    ) -> Float[Tensor, "n CD"]:
        return embedded(
            lambda texts: embed([ids[text] for text in texts]),
            cut([len(row) for row in ids], self.chunk_tokens),
            kept_tokens=kept_tokens,
            seed=f"{self.seed} {batch.number}",
            return_memory=self.return_memory,
        )

    def _given(self, ids: list[Tensor]) -> tuple[Tensor, Tensor]:
        padded = pad_sequence([row.long() for row in ids], batch_first=True, padding_value=self.encoder.pad_id)
        length = torch.tensor([len(row) for row in ids])
        mask = (torch.arange(padded.shape[1])[None, :] < length[:, None]).long()
        return padded.to(self.device), mask.to(self.device)

    def _embed(self, ids: list[Tensor]) -> Float[Tensor, "n CD"]:
        given = self._given(ids)
        if not self.with_layers:
            return self.encoder.unit(self.encoder(*given))
        last, layers = self.encoder(*given, layers=True)
        return torch.cat([self.encoder.unit(vectors) for vectors in (last, *layers)], dim=1)

    @torch.no_grad()
    def _slow(self, batch: TextBatch, part: Part) -> tuple[Float[Tensor, "M D"], Int[Tensor, " M"]] | None:
        """As `EmbeddedPairs.slow` says: the whole batch's, whichever of it this process looks at."""
        objective = self.objectives[part.task]
        if self.slow is None or not self.training or not objective.needs_slow:
            return None
        encoder, query = self.slow.encoder.to(self.device), objective.slow_side == "query"
        first, size = (part.first_query, len(part.positive)) if query else (part.first_document, part.num_documents)
        own = slice(first, first + size)
        found = self._encoded(batch, batch.ids[own], lambda ids: encoder.unit(encoder(*self._given(ids))), kept_tokens=10**12)
        self._seed(batch)  # encoding has seeded anew
        return found, batch.hashes[own]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.slow:
            checkpoint["slow"] = self.slow.encoder.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.slow:
            self.slow.encoder.load_state_dict(checkpoint["slow"])

    def _loss(self, batch: TextBatch, part: Part, vectors: Float[Tensor, "T C D"]) -> Tensor:
        """This process' share of the batch's loss: the mean over all processes is the loss."""
        pairs = self.pairs(batch, part, vectors)
        size = len(part.positive)
        own = own_slice(size)
        rows = (own.stop - own.start) * num_processes() / size  # 1 where the processes divide the batch evenly
        return self.objectives[part.task](pairs) * (rows * size / batch.size)

    def pairs(self, batch: TextBatch, part: Part, vectors: Float[Tensor, "T C D"]) -> EmbeddedPairs:
        """What the objective of ``part`` sees. In a mixed batch the documents of all tasks are candidates, but not of a query that has
        only its own negatives."""
        size = len(part.positive)
        query = slice(part.first_query, part.first_query + size)
        own, anchors = slice(part.first_document, part.first_document + part.num_documents), own_slice(size)
        documents = torch.arange(own.start, own.stop)
        positive, negative, score, teacher = part.positive, part.negative, part.score, part.teacher
        if self.negatives[part.task] == "in_batch" and num_processes() > 1:  # each process' pairs alone
            query = slice(query.start + anchors.start, query.start + anchors.stop)
            positive, negative = positive[anchors], negative[anchors]
            score, teacher = (None if rows is None else rows[anchors] for rows in (score, teacher))
            both = torch.cat([positive, negative], dim=1)
            kept, place = torch.unique(both, return_inverse=True)
            place = place - int((kept == -1).any())  # -1 stays -1
            documents = documents[kept[kept >= 0].cpu()]
            positive, negative = place[:, : positive.shape[1]], place[:, positive.shape[1] :]
            anchors = slice(0, len(positive))
        elif len(batch.parts) > 1 and self.negatives[part.task] != "own":
            others = torch.arange(min(p.first_document for p in batch.parts), len(batch.ids))
            documents = torch.cat([documents, others[(others < own.start) | (others >= own.stop)]])
        documents = documents.to(vectors.device)
        found = vectors[query], vectors[documents]
        return EmbeddedPairs(
            found[0][:, 0],
            found[1][:, 0],
            positive,
            negative,
            batch.hashes[query],
            batch.hashes[documents],
            part.known,
            anchors,
            score,
            teacher,
            own_alone=self.negatives[part.task] == "own",
            progress=batch.number / self.steps,
            rows_at_once=max(1, self.similarities_at_once // len(documents)),
            layers=tuple((found[0][:, c], found[1][:, c]) for c in range(1, vectors.shape[1])),
            slow=self._slow(batch, part),
        )

    @torch.no_grad()
    def _report(self, batch: TextBatch, terms: Mapping[str, Tensor], vectors: Tensor) -> None:
        """To the curve and the tracker, by hand: Lightning would repeat a task's last loss at every step of the other tasks."""
        means = mean_of(torch.stack([term.float() for term in terms.values()])).tolist()
        share = {part.task: len(part.positive) / batch.size for part in batch.parts}
        losses = {f"loss/{task}": mean / share[task] for task, mean in zip(terms, means, strict=True)}
        self.losses = {name.removeprefix("loss/"): value for name, value in losses.items()}
        values = {"loss": sum(means)} | losses
        for task, value in losses.items():
            if value - value != 0 and self.on_nonfinite == "stop":
                raise ValueError(
                    f"the loss of {task.replace('loss/', 'task ')} is {value} at step {self.global_step}; "
                    f"lower optimizer.lr, or use precision 32-true"
                )
        for part in batch.parts:
            values |= {f"{name}/{part.task}": value for name, value in geometry(part, vectors[:, 0]).items()}
            objective = self.objectives[part.task]
            scale = getattr(objective, "scale", None) or 1 / getattr(objective, "temperature", float("inf"))
            values |= {f"logit_scale/{part.task}": float(scale)} if scale else {}
        self.log_dict({name: value for name, value in values.items() if name.startswith("loss")}, logger=False, batch_size=1)
        self.log_further(values)
        self.log("step_loss", values["loss"], prog_bar=True, logger=False, batch_size=1)
