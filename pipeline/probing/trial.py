"""What merges are tried on: a few pairs that nothing was trained on, half of them only looked at, and base and task vectors in memory.

Reads: data/curated/ (probe: rows that curation set aside, no text twice).

``base + sum c_k delta_k`` is placed in the encoder, and the loss of a batch is that of training, without dropout. A gradient g of it
gives the derivative along a task vector as the inner product ``<g, delta_k>``. Memory: K + 1 times the model, and a gradient.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from jaxtyping import Float
from pytorch_lightning.utilities import move_data_to_device
from torch import Tensor, nn

from pipeline.build import build
from pipeline.checkpoint import PROVENANCE, read_json
from pipeline.corpus.batches import Feed, plan
from pipeline.corpus.files import read_rows
from pipeline.corpus.row import Row
from pipeline.delta import Models, Rows
from pipeline.distributed import mean_of
from pipeline.encoder.encoder import Encoder
from pipeline.merging.method import Coefficients, of_tensor
from pipeline.training.contrastive import ContrastiveModule
from pipeline.training.data import Batches, TextBatch
from pipeline.training.reading import Known, Reader

CURATED = Path("data/curated")
HALVES = ("search", "held_out")


class Judge(Protocol):
    """What a trial needs of `ContrastiveModule`."""

    encoder: Any

    def loss(self, batch: TextBatch) -> Tensor: ...


class Trial:
    """``rows`` by tensor, ``parameters`` the encoder's of the same names; ``tasks`` of each expert: what it was trained on."""

    def __init__(
        self,
        judge: Judge,
        parameters: Mapping[str, nn.Parameter],
        rows: Mapping[str, Rows],
        batches: Mapping[str, Sequence[TextBatch]],
        tasks: Sequence[Sequence[str]],
    ) -> None:
        self.judge = judge
        self.parameters = {name: parameters[name] for name in rows}
        self.rows = dict(rows)
        self.batches = batches
        self.tasks = tasks
        self.num = len(tasks)
        self.scale: dict[str, float] = {}  # by task, what its loss is divided by

    @property
    def device(self) -> torch.device:
        return next(iter(self.rows.values())).device

    def to(self, device: torch.device) -> None:
        self.judge.encoder.to(device)
        self.rows = {name: value.to(device) for name, value in self.rows.items()}

    @torch.no_grad()
    def place(self, c: Coefficients) -> None:
        """The merged weights into the encoder."""
        for name, value in self.parameters.items():
            rows, given = self.rows[name], torch.as_tensor(of_tensor(c, name))
            factors = torch.cat([given.new_ones(1), given]).to(rows)[None]
            if value.dtype == rows.dtype and value.is_contiguous():
                torch.mm(factors, rows, out=value.data.view(1, -1))  # no second copy
            else:
                value.data.copy_((factors @ rows).view_as(value))

    def loss(self, batch: TextBatch) -> Tensor:
        """At what is placed; this process' share."""
        return self.judge.loss(batch) / self.scale.get(batch.parts[0].task, 1.0)

    def relate(self) -> None:
        """From here on, losses are shares of what they are at the base, on the rows that are searched on."""
        self.scale = self.losses({"all": torch.zeros(self.num, dtype=torch.float64)}, half="search")
        for task, value in self.scale.items():
            if not value > 0:
                raise ValueError(
                    f"the probe loss of task {task} is {value} at the base, so nothing is a share of it; set probe.relative to false"
                )

    def gradients(self, batch: TextBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss at what is placed, and its gradient by tensor, flattened; tensors that no vector depends on are left out."""
        loss = self.loss(batch)
        found = torch.autograd.grad(loss, list(self.parameters.values()), allow_unused=True)
        return loss.detach(), {n: g.flatten() for n, g in zip(self.parameters, found, strict=True) if g is not None}

    def along(self, batch: TextBatch, c: Coefficients) -> tuple[Tensor, dict[str, Float[Tensor, " K"]]]:
        """The loss at ``c``, and by tensor its derivative along each task vector."""
        self.place(c)
        loss, gradients = self.gradients(batch)
        return loss, {name: self.rows[name][1:] @ g for name, g in gradients.items()}

    @torch.no_grad()
    def losses(self, c: Coefficients, *, half: str, per_task: int | None = None) -> dict[str, float]:
        """Mean loss of each task at ``c``, over the first ``per_task`` batches of a half, or over all."""
        self.place(c)
        found: dict[str, list[float]] = {}
        for batch in self.batches[half]:
            values = found.setdefault(batch.parts[0].task, [])
            if per_task is None or len(values) < per_task:
                values.append(float(mean_of(self.loss(move_data_to_device(batch, self.device)))))
        return {task: sum(values) / len(values) for task, values in sorted(found.items())}

    def squared_gradients(self, expert: int) -> dict[str, Float[Tensor, " n"]]:
        """By tensor: the square of the gradient of a batch at an expert, averaged over the batches of its own tasks."""
        self.place({"all": _one_of(expert, self.num)})
        batches = self._own(expert)
        found = {name: torch.zeros_like(rows[0]) for name, rows in self.rows.items()}
        for batch in batches:
            for name, g in self.gradients(batch)[1].items():
                found[name].addcmul_(g, g, value=1 / len(batches))
        return found

    @torch.no_grad()
    def input_grams(self, expert: int) -> dict[str, Float[Tensor, "d d"]]:
        """By the weight of each linear layer: mean outer product of its inputs, at an expert on its own tasks; padding left out."""
        self.place({"all": _one_of(expert, self.num)})
        sums: dict[str, Tensor] = {}
        counts: dict[str, int] = {}
        with self._listening(sums, counts):
            for batch in self._own(expert):
                self.judge.loss(batch)
        return {name: value / counts[name] for name, value in sums.items()}

    @contextmanager
    def _listening(self, sums: dict[str, Tensor], counts: dict[str, int]) -> Iterator[None]:
        encoder, mask = self.judge.encoder, []

        def at_encoder(_: nn.Module, given: tuple[Tensor, ...]) -> None:
            mask[:] = [given[1].bool()]

        def at_layer(name: str) -> Any:
            def hook(_: nn.Module, given: tuple[Tensor, ...]) -> None:
                x = given[0]
                x = (x[mask[0]] if x.ndim == 3 and x.shape[:2] == mask[0].shape else x.reshape(-1, x.shape[-1])).double()
                sums[name] = sums.get(name, 0) + x.T @ x
                counts[name] = counts.get(name, 0) + len(x)

            return hook

        layers = {f"{name}.weight": layer for name, layer in encoder.backbone.named_modules() if isinstance(layer, nn.Linear)}
        hooks = [encoder.register_forward_pre_hook(at_encoder)]
        hooks += [layer.register_forward_pre_hook(at_layer(name)) for name, layer in layers.items() if name in self.rows]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _own(self, expert: int) -> list[TextBatch]:
        own = [batch for batch in self.batches["search"] if batch.parts[0].task in self.tasks[expert]]
        return [move_data_to_device(batch, self.device) for batch in own or self.batches["search"]]


def _one_of(expert: int, num: int) -> list[float]:
    return [float(k == expert) for k in range(num)]


def trial(
    base: Path, models: Models, probe: Mapping[str, Any], runtime: Mapping[str, Any], *, steps: int | None, seed: int
) -> tuple[Trial, dict[str, Any]]:
    """And which rows it is on. The search half holds ``steps`` batches, tasks in turn; None: as many as its rows fill once."""
    encoder = Encoder.load(base)
    tasks, size = sorted(probe["objectives"]), probe["batch_size"]
    objectives = {task: build(node) for task, node in probe["objectives"].items()}
    halves = {task: drawn(task, probe["pairs_per_task"], size, seed) for task in tasks}
    known = Known([row for _, row in read_rows(CURATED, "probe")], Reader(encoder, probe["max_length_tokens"]))

    def batches(half: int, steps: int | None) -> Batches:
        rows = {task: [row for _, row in halves[task][half]] for task in tasks}
        once = min(len(own) for own in rows.values()) // size * len(tasks)
        feeds = {task: Feed(size, 1, 1.0, apart=True) for task in tasks}
        plans = plan(rows, feeds, steps=steps or once, seed=seed, mixed=False, by_length=False)
        answers, none = dict.fromkeys(tasks, known), dict.fromkeys(tasks, 0)
        further = {"sources": {}, "num_negatives": none, "teachers": {}, "views": {}, "seed": seed}
        return Batches(plans, rows, {}, known.reader, known=answers, **further)

    judge = ContrastiveModule(
        encoder,
        objectives,
        torch.optim.SGD,
        negatives=dict.fromkeys(tasks, "gathered"),
        steps=steps or 1,
        warmup_steps=0,
        seed=seed,
        chunk_tokens=probe["chunk_tokens"],
        kept_tokens=runtime["kept_tokens"],
        similarities_at_once=runtime["similarities_at_once"],
        return_memory=runtime["return_memory"],
        on_nonfinite="stop",
    )
    judge.eval()
    parameters = encoder.weights()
    rows = {name: part for name in models.names if name in parameters for _, part in models.parts(name, whole=True)}
    if not rows:
        raise ValueError(f"{base}: no tensor of model.safetensors is a parameter of its backbone; save it with its own library")
    own = [_tasks(weights.directory, tasks) for weights in models.experts]
    found = Trial(judge, parameters, rows, {"search": list(batches(0, steps)), "held_out": list(batches(1, None))}, own)
    return found, {
        half: {task: [[corpus, row.query_id, row.document_id] for corpus, row in halves[task][i]] for task in tasks}
        for i, half in enumerate(HALVES)
    }


def _tasks(expert: Path, tasks: Sequence[str]) -> list[str]:
    """Which of ``tasks`` it was trained on, as its record says; all of them where it has none."""
    record = read_json(expert / PROVENANCE) if (expert / PROVENANCE).is_file() else {}
    trained = record.get("config", {}).get("train", {}).get("tasks", {})
    return [task for task in tasks if task in trained] or list(tasks)


def drawn(task: str, pairs: int, batch_size: int, seed: int) -> tuple[list[tuple[str, Row]], list[tuple[str, Row]]]:
    """``(to search on, held out from the search)``: ``pairs`` probe rows each, or as many as there are, as (corpus, row)."""
    rows = read_rows(CURATED, "probe", [task])
    random.Random(f"{seed} probe {task}").shuffle(rows)
    half = min(pairs, len(rows) // 2)
    if half < batch_size:
        raise ValueError(
            f"the probe of task {task} needs twice {batch_size} rows that nothing was trained on, {CURATED} has {len(rows)} set aside; "
            f"set curate.probe.rows.{task} to {2 * pairs} and run `dvc repro`, which curates and trains anew; or lower "
            f"merge.probe.batch_size, or take the task out of the method's probe (conf/merging)"
        )
    return rows[:half], rows[half : 2 * half]
