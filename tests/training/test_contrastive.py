import math

import pytest
import pytorch_lightning as pl
import torch

from pipeline.corpus.batches import Feed
from pipeline.corpus.row import Row
from pipeline.encoder.encoder import Encoder
from pipeline.objective.cosent import CoSENT
from pipeline.objective.infonce import InfoNCE
from pipeline.training.contrastive import ContrastiveModule
from pipeline.training.data import TrainingData
from pipeline.training.optimizer import adamw

PAIRS = [("the cat sat", "on a mat"), ("a dog ran", "in the park"), ("rolling window", "over rows"), ("sum", "of all numbers")]
ROWS = {
    "retrieval": [Row("retrieval", f"q{i}", q, f"d{i}", d) for i, (q, d) in enumerate(PAIRS)],
    "sts": [Row("sts", f"q{i}", q, f"d{i}", d, float(i)) for i, (q, d) in enumerate(PAIRS)],
}


SETTINGS = {"chunk_tokens": 40, "kept_tokens": 40, "similarities_at_once": 64, "on_nonfinite": "stop"}


def parts(encoder, tasks, *, steps, seed=0, lr=0.01, mixed=False, **settings):
    rows = {task: ROWS[task] for task in tasks}
    feeds, none = {task: Feed(4, 1, 1.0, task != "sts") for task in tasks}, dict.fromkeys(tasks, 0)
    data = TrainingData(
        rows,
        {},
        encoder,
        feeds=feeds,
        num_negatives=none,
        steps=steps,
        max_length_tokens=12,
        seed=seed,
        mixed=mixed,
        by_length=False,
    )
    objectives = {
        task: {"retrieval": InfoNCE(temperature=0.1, symmetric=False, same_side=[]), "sts": CoSENT(scale=20.0)}[task]
        for task in tasks
    }

    def optimizer(weights):
        return adamw(weights, lr=lr, weight_decay=0.01, betas=[0.9, 0.999])

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
    tiny_encoder(dropout=0.3).save(tmp_path / "saved", pooling={"_target_": "pipeline.pooling.mean.Mean"})
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
