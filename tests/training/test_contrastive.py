import math
from dataclasses import replace

import pytest
import pytorch_lightning as pl
import torch

from pipeline.corpus.batches import Feed
from pipeline.corpus.row import Row
from pipeline.encoder.encoder import Encoder
from pipeline.objective.cosent import CoSENT
from pipeline.objective.infonce import InfoNCE
from pipeline.objective.objective import Objective
from pipeline.training.contrastive import ContrastiveModule
from pipeline.training.data import TrainingData
from pipeline.training.optimizer import adamw
from pipeline.training.reading import Reader

PAIRS = [("the cat sat", "on a mat"), ("a dog ran", "in the park"), ("rolling window", "over rows"), ("sum", "of all numbers")]
ROWS = {
    "retrieval": [Row("retrieval", f"q{i}", q, f"d{i}", d) for i, (q, d) in enumerate(PAIRS)],
    "sts": [Row("sts", f"q{i}", q, f"d{i}", d, float(i)) for i, (q, d) in enumerate(PAIRS)],
}


SETTINGS = {"chunk_tokens": 40, "kept_tokens": 40, "similarities_at_once": 64, "return_memory": False, "on_nonfinite": "stop"}


def parts(encoder, tasks, *, steps, seed=0, lr=0.01, mixed=False, **settings):
    rows = {task: ROWS[task] for task in tasks}
    feeds, none = {task: Feed(4, 1, 1.0, task != "sts") for task in tasks}, dict.fromkeys(tasks, 0)
    data = TrainingData(
        rows,
        {},
        Reader(encoder, 12),
        known=[],
        shuffled=[],
        feeds=feeds,
        num_negatives=none,
        steps=steps,
        seed=seed,
        mixed=mixed,
        by_length=False,
        teachers={},
        views={},
    )
    objectives = {
        task: {"retrieval": InfoNCE(temperature=0.1, symmetric=False, same_side=[]), "sts": CoSENT(scale=20.0)}[task]
        for task in tasks
    }

    def optimizer(weights, decayed):
        return adamw(weights, decayed, lr=lr, weight_decay=0.01, betas=[0.9, 0.999], layer_decay=1.0)

    settings = SETTINGS | settings
    negatives = dict.fromkeys(tasks, "gathered")
    return ContrastiveModule(
        encoder, objectives, optimizer, negatives=negatives, steps=steps, warmup_steps=0, seed=seed, **settings
    ), data


def train(module, data, steps):
    trainer = pl.Trainer(
        accelerator="cpu", devices=1, max_steps=steps, max_epochs=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False,
    )  # fmt: skip
    trainer.fit(module, data)
    return trainer


def loss(module, data):
    """Of every batch, without dropout, outside the trainer."""
    encoder, total = module.encoder.eval(), 0.0
    with torch.no_grad():
        for batch in data.batches:
            vectors = module.vectors(batch)
            total += sum(float(module.objectives[part.task](module.pairs(batch, part, vectors))) for part in batch.parts)
    encoder.train()
    return total


@pytest.mark.parametrize("tasks", [["retrieval"], ["sts"], ["retrieval", "sts"]])
def test_three_steps_of_each_task_lower_the_loss(tiny_encoder, tasks):
    steps = 3 * len(tasks)
    module, data = parts(tiny_encoder(dropout=0.0), tasks, steps=steps)
    before = loss(module, data)
    trainer = train(module, data, steps)
    assert trainer.global_step == steps
    assert loss(module, data) < 0.9 * before
    assert all(f"loss/{task}" in trainer.callback_metrics for task in tasks)


def test_the_rate_falls_from_step_to_step(tiny_encoder):
    module, data = parts(tiny_encoder(), ["retrieval"], steps=4, lr=0.01)
    rates = []
    module.encoder.pooling.register_forward_hook(lambda *_: rates.append(module.optimizers().param_groups[0]["lr"]))
    train(module, data, 4)
    assert list(dict.fromkeys(rates)) == pytest.approx([0.01, 0.0075, 0.005, 0.0025])  # several chunks a step


def test_a_training_without_a_rate_changes_nothing(tiny_encoder):
    module, data = parts(tiny_encoder(), ["retrieval"], steps=3, lr=0.0)
    before = {name: weight.detach().clone() for name, weight in module.named_parameters()}
    train(module, data, 3)
    assert all(torch.equal(weight, before[name]) for name, weight in module.named_parameters())


def test_equal_seeds_give_equal_weights_whatever_was_drawn_before(tiny_encoder):
    found = []
    for seed, drawn in ((0, 0), (0, 7), (1, 0)):
        module, data = parts(tiny_encoder(dropout=0.3), ["retrieval"], steps=3, seed=seed)
        torch.rand(drawn)
        train(module, data, 3)
        found.append(torch.cat([weight.detach().flatten() for weight in module.parameters()]))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_an_encoder_out_of_a_directory_is_trained_with_its_dropout(tiny_encoder, tmp_path):
    tiny_encoder(dropout=0.3).save(tmp_path / "saved")
    module, data = parts(Encoder.load(tmp_path / "saved"), ["retrieval"], steps=1)
    modes = []
    module.encoder.backbone.register_forward_hook(lambda *_: modes.extend(part.training for part in module.encoder.modules()))
    train(module, data, 1)
    assert modes
    assert all(modes)


def test_a_loss_that_is_no_number_stops_the_training_by_task_and_step(tiny_encoder):
    module, data = parts(tiny_encoder(), ["retrieval"], steps=3)
    with torch.no_grad():
        next(module.encoder.parameters()).fill_(math.nan)
    with pytest.raises(ValueError, match="the loss of task retrieval is nan at step 0"):
        train(module, data, 3)


def weights(module):
    return torch.cat([weight.detach().flatten() for weight in module.parameters()])


def poisoned(module, step):
    """No number stands in the gradient of one step."""
    first = next(module.encoder.parameters())
    first.register_hook(lambda grad: grad * math.nan if module.global_step == step else grad)


def test_a_gradient_that_is_no_number_stops_the_training(tiny_encoder):
    module, data = parts(tiny_encoder(), ["retrieval"], steps=3)
    poisoned(module, 1)
    with pytest.raises(ValueError, match="the gradient is not finite at step 1"):
        train(module, data, 3)
    assert torch.isfinite(weights(module)).all()


def test_a_skipped_step_changes_nothing_and_the_next_goes_on(tiny_encoder):
    module, data = parts(tiny_encoder(), ["retrieval"], steps=3, on_nonfinite="skip")
    poisoned(module, 1)
    seen = []
    module.on_train_batch_start = lambda batch, batch_idx: seen.append(weights(module))
    train(module, data, 3)
    seen.append(weights(module))
    assert torch.equal(seen[1], seen[2])
    assert not torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[2], seen[3])
    assert torch.isfinite(seen[3]).all()


def test_a_mixed_batch_teaches_each_task_by_its_share_of_the_rows(tiny_encoder):
    module, data = parts(tiny_encoder(dropout=0.0), ["retrieval", "sts"], steps=2, mixed=True)
    batch = next(iter(data.batches))
    vectors = module.vectors(batch)
    alone = {part.task: module.objectives[part.task](module.pairs(batch, part, vectors)) for part in batch.parts}
    module.log_dict = module.log = lambda *_, **__: None
    module._report = lambda *_: None
    found = module.training_step(batch, 0)
    torch.testing.assert_close(found, sum(alone[part.task] * len(part.positive) / batch.size for part in batch.parts))
    retrieval, sts = (module.pairs(batch, part, vectors) for part in batch.parts)
    assert len(retrieval.document) == len(sts.document) == sum(part.num_documents for part in batch.parts)
    module.negatives["retrieval"] = "own"
    own, sts = (module.pairs(batch, part, vectors) for part in batch.parts)
    assert (own.own_alone, sts.own_alone) == (True, False)
    assert len(own.document) == batch.parts[0].num_documents < len(sts.document)


def test_processes_with_different_batches_are_told_before_the_first_backward(tiny_encoder, monkeypatch):
    import pipeline.training.contrastive as contrastive

    module, data = parts(tiny_encoder(), ["retrieval", "sts"], steps=4)
    seen = []
    monkeypatch.setattr(contrastive, "agreed", lambda mark, device: seen.append(mark))
    for batch in [*data.batches, *data.batches]:
        with pytest.raises(
            ValueError, match=r"different batches at step 0 \(this one: batch \d, 4 queries of task .*start all with one"
        ):
            module.training_step(batch, 0)
    assert seen[:4] == seen[4:]
    assert len(set(seen)) == 4
    batch.parts[0].task += "s"
    assert batch.mark != seen[-1]
    assert all(0 <= mark < 2**62 for mark in seen)


@pytest.mark.parametrize("process", [0, 1])
def test_negatives_in_batch_leave_each_process_its_own_pairs(tiny_encoder, monkeypatch, process):
    import pipeline.training.contrastive as contrastive

    module, data = parts(tiny_encoder(dropout=0.0), ["retrieval"], steps=1)
    batch = next(iter(data.batches))
    (part,) = batch.parts
    part.negative = torch.tensor([[-1], [0], [3], [1]])  # documents that stand there already
    vectors = module.vectors(batch)
    whole = module.pairs(batch, part, vectors)
    own = slice(2 * process, 2 * process + 2)
    monkeypatch.setattr(contrastive, "num_processes", lambda: 2)
    monkeypatch.setattr(contrastive, "own_slice", lambda total: own)
    module.negatives["retrieval"] = "in_batch"
    found = module.pairs(batch, part, vectors)
    assert found.anchors == slice(0, 2)
    torch.testing.assert_close(found.query, whole.query[own])
    for rows, of_whole in ((found.positive, whole.positive[own]), (found.negative, whole.negative[own])):
        assert (rows == -1).equal(of_whole == -1)
        torch.testing.assert_close(found.document[rows[rows >= 0]], whole.document[of_whole[of_whole >= 0]])
    assert len(found.document) == len({int(i) for i in torch.cat([part.positive[own], part.negative[own]]).flatten()} - {-1})


def test_all_chunks_are_the_same_whatever_is_kept_and_cover_each_text_once():
    from pipeline.gradcache import cut

    lengths = [5, 3, 9, 9, 2, 7, 1, 4]
    chunks = cut(lengths, 18)
    assert sorted(text for chunk in chunks.texts for text in chunk) == list(range(8))
    assert [len(chunk) * max(lengths[i] for i in chunk) for chunk in chunks.texts] == chunks.tokens
    assert max(chunks.tokens) <= 18
    assert chunks.first_kept(1, 0) == len(chunks.texts)
    assert chunks.first_kept(1, 10**9) == chunks.first_kept(2, 10**9) == 0
    with pytest.raises(ValueError, match="a text has 9 tokens, a chunk 8; raise chunk_tokens"):
        cut(lengths, 8)


class Spied(torch.nn.Module):
    """An objective that keeps what it is given."""

    def __init__(self, inner=None):
        super().__init__()
        self.inner = inner
        self.seen = []

    def forward(self, pairs):
        self.seen.append(pairs)
        return self.inner(pairs) if self.inner else pairs.query.sum() + pairs.document.sum()


def test_an_objective_is_told_how_much_of_the_training_is_done(tiny_encoder):
    module, data = parts(tiny_encoder(), ["retrieval"], steps=4)
    module.objectives["retrieval"] = Spied()
    train(module, data, 4)
    assert [pairs.progress for pairs in module.objectives["retrieval"].seen] == [0.0, 0.25, 0.5, 0.75]


@torch.no_grad()
@pytest.mark.parametrize("processes", [2, 3])
def test_processes_that_cannot_share_a_batch_evenly_come_to_its_loss_on_average(tiny_encoder, monkeypatch, processes):
    """Four queries among three processes, or three among two: each row counts once."""
    import pipeline.training.contrastive as contrastive

    module, data = parts(tiny_encoder(dropout=0.0), ["retrieval"], steps=1)
    batch = next(iter(data.batches))
    (part,) = batch.parts
    if processes == 2:
        part.positive, part.negative = part.positive[:3], part.negative[:3]
    vectors = module.vectors(batch)
    size = len(part.positive)
    cosine = vectors[:size, 0] @ vectors[part.first_document : part.first_document + 4, 0].T / 0.1
    costs = [-float(cosine[i].log_softmax(0)[i]) for i in range(size)]
    monkeypatch.setattr(contrastive, "num_processes", lambda: processes)
    shares = []
    for rank in range(processes):
        monkeypatch.setattr(
            contrastive, "own_slice", lambda total, r=rank: slice(total * r // processes, total * (r + 1) // processes)
        )
        shares.append(float(module._loss(batch, part, vectors)))
    assert sum(shares) / processes == pytest.approx(sum(costs) / len(costs), rel=1e-5)


@pytest.mark.parametrize("symmetric", [False, True])
def test_under_bf16_mixed_the_positive_and_the_negatives_have_one_precision(tiny_encoder, monkeypatch, symmetric):
    import pipeline.objective.infonce as infonce

    module, data = parts(tiny_encoder(), ["retrieval"], steps=2)
    module.objectives["retrieval"].symmetric = symmetric
    seen, cost = [], infonce.share_cost
    monkeypatch.setattr(infonce, "share_cost", lambda match, others: seen.append((match, others)) or cost(match, others))
    half = []
    module.encoder.backbone.encoder.register_forward_hook(lambda _, __, out: half.append(torch.is_autocast_enabled("cpu")))
    trainer = pl.Trainer(
        accelerator="cpu", devices=1, max_steps=2, max_epochs=1, logger=False, enable_checkpointing=False, precision="bf16-mixed",
        enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False,
    )  # fmt: skip
    trainer.fit(module, data)
    assert all(half)
    assert {tensor.dtype for pair in seen for tensor in pair} == {torch.float32}
    assert all(not torch.equal(match, match.bfloat16().float()) for match, _ in seen)  # and was not rounded before


class Scaled(Objective):
    """InfoNCE whose temperature is learned: an objective with a weight of its own."""

    saves = True

    def begin(self, *, width, blocks):
        self.log_scale = torch.nn.Parameter(torch.tensor(1.0) + 0.01 * torch.rand(()))

    def forward(self, pairs):
        inner = InfoNCE(temperature=1.0, symmetric=False, same_side=[])
        return inner(replace(pairs, query=pairs.query * self.log_scale.exp()))


def scaled(encoder, tasks=("retrieval",), *, steps, **settings):
    module, data = parts(encoder, list(tasks), steps=steps, **settings)
    module.objectives["retrieval"] = Scaled()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module.objectives["retrieval"].begin(width=16, blocks=2)
    return module, data


@pytest.mark.parametrize("kept_tokens", [0, 10**6])
def test_a_weight_of_an_objective_gets_its_whole_gradient_however_the_batch_is_cut(tiny_encoder, kept_tokens):
    module, data = scaled(tiny_encoder(dropout=0.0), steps=1, chunk_tokens=14, kept_tokens=kept_tokens)
    batch = next(iter(data.batches))
    module.loss(batch).backward()
    weight = module.objectives["retrieval"].log_scale
    with torch.no_grad():
        query, document = module.vectors(batch)[:, 0].split(4)
    free = weight.detach().clone().requires_grad_()
    expected = torch.nn.functional.cross_entropy(free.exp() * query @ document.T, torch.arange(4))
    (gradient,) = torch.autograd.grad(expected, free)
    torch.testing.assert_close(weight.grad, gradient, rtol=1e-4, atol=1e-6)
    own = [parameter.grad for parameter in module.encoder.parameters() if parameter.grad is not None]
    assert sum(float(gradient.abs().sum()) for gradient in own) > 0


def test_a_weight_of_an_objective_is_trained_beside_the_encoder_and_is_no_part_of_it(tiny_encoder):
    module, data = scaled(tiny_encoder(), steps=3)
    before = float(module.objectives["retrieval"].log_scale.detach())
    names = set(module.encoder.state_dict())
    train(module, data, 3)
    assert abs(float(module.objectives["retrieval"].log_scale.detach()) - before) > 0.005
    assert set(module.encoder.state_dict()) == names
    assert "objectives.retrieval.log_scale" in module.state_dict()  # so that checkpoints hold it


def test_a_weight_has_a_gradient_of_zero_at_the_steps_of_other_tasks(tiny_encoder):
    module, data = scaled(tiny_encoder(dropout=0.0), ("retrieval", "sts"), steps=2)
    batches = {batch.parts[0].task: batch for batch in data.batches}
    module.loss(batches["sts"]).backward()
    assert module.objectives["retrieval"].log_scale.grad == 0
    module.loss(batches["retrieval"]).backward()
    assert module.objectives["retrieval"].log_scale.grad != 0
