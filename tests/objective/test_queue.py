"""The queue against a loop over candidates, what joins it, and a training that is stopped and gone on with."""

import copy
import math
import shutil
from dataclasses import replace

import pytest
import torch
from torch import nn

import pipeline.training.fit as fitting
from pipeline.corpus.row import Row
from pipeline.objective.infonce import InfoNCE
from pipeline.objective.matryoshka import Matryoshka
from pipeline.objective.matryoshka_2d import Matryoshka2D
from pipeline.objective.queue import Queue
from pipeline.trainable import check_slow
from pipeline.training.slow import SlowEncoder, slow_copy

INFONCE = {"temperature": 0.05, "symmetric": False, "same_side": []}


def queue(size=5, momentum=0.995, side="query", objective=None):
    made = Queue(objective=objective or InfoNCE(**INFONCE), size=size, momentum=momentum, side=side)
    made.begin(width=5, blocks=2)
    return made.double()


def three(pairs, drawn, number):
    """Batch ``number``: three queries, their documents, and what the slow copy made of the queries."""
    texts = torch.arange(3) + 3000 + 3 * number
    return pairs(drawn(3, 5, seed=number), drawn(3, 5, seed=10 + number), slow=(drawn(3, 5, seed=20 + number), texts))


def test_the_queue_holds_the_last_vectors_in_order_and_they_are_negatives_of_the_next_batch(pairs, drawn):
    found, kept = queue(), torch.empty(0, 5).double()
    for number in range(4):
        batch = three(pairs, drawn, number)
        loss = found(batch)
        expected = 0.0
        for i in range(3):
            scores = [float(batch.query[i] @ vector) / 0.05 for vector in [*batch.document, *kept]]
            expected += math.log(sum(map(math.exp, scores))) - scores[i]
        assert loss.item() == pytest.approx(expected / 3, rel=1e-12)
        kept = torch.cat([kept, batch.slow[0]])[-5:]
        num = int(found.filled)
        assert num == min(5, 3 * (number + 1))
        assert torch.equal(found.vectors[-num:], kept)
        assert found.texts[-num:].tolist() == list(range(3000, 3003 + 3 * number))[-5:]


def test_without_a_queue_and_with_an_empty_one_it_is_the_objective_to_the_bit(pairs, drawn):
    batch = three(pairs, drawn, 0)
    plain = InfoNCE(**INFONCE)(batch)
    assert torch.equal(queue()(batch), plain)
    none = queue(size=0)
    assert not none.needs_slow
    assert torch.equal(none(replace(batch, slow=None)), none(batch))
    assert torch.equal(none(batch), plain)


def test_what_stands_in_the_queue_gets_no_gradient_and_stays_as_it_was(pairs, drawn):
    found = queue()
    vectors = drawn(3, 5, seed=20).requires_grad_()
    found(replace(three(pairs, drawn, 0), slow=(vectors, torch.arange(3))))
    batch = three(pairs, drawn, 1)
    query = batch.query.clone().requires_grad_()
    loss = found(replace(batch, query=query))
    loss.backward()
    assert vectors.grad is None
    assert query.grad.any()
    assert not found.vectors.requires_grad


def test_a_text_of_the_queue_that_is_the_query_or_its_answer_is_no_negative(pairs, drawn):
    found = queue(size=3)
    found(three(pairs, drawn, 0))
    batch = three(pairs, drawn, 1)
    with torch.no_grad():
        loss = found(batch).item()
        found.texts.copy_(torch.tensor([1000, 5000, 5001]))  # the first query's own text
        without = found(batch).item()
    expected = 0.0
    for i in range(3):
        others = found.vectors[1:] if i == 0 else found.vectors
        scores = [float(batch.query[i] @ vector) / 0.05 for vector in [*batch.document, *others]]
        expected += math.log(sum(map(math.exp, scores))) - scores[i]
    assert without == pytest.approx(expected / 3, rel=1e-12)
    assert without < loss


def test_nothing_joins_in_evaluation_and_without_gradients(pairs, drawn):
    found = queue()
    found.eval()(three(pairs, drawn, 0))
    with torch.no_grad():
        found.train()(three(pairs, drawn, 0))
    assert int(found.filled) == 0


def test_no_more_similarities_are_held_than_without_the_queue(pairs, drawn):
    found = queue(size=9)
    for number in range(3):
        found(three(pairs, drawn, number))
    batch = replace(three(pairs, drawn, 3), rows_at_once=8)
    asked = found.remembered(batch)
    assert len(asked.document) == 12
    assert asked.rows_at_once * len(asked.document) <= batch.rows_at_once * len(batch.document)


@pytest.mark.parametrize(("wrong", "match"), [({"size": -1}, "size >= 0"), ({"momentum": 1.0}, "below 1")])
def test_what_no_queue_can_be_is_refused(wrong, match):
    with pytest.raises(ValueError, match=match):
        queue(**wrong)


def test_layers_and_a_second_queue_are_refused_inside_and_a_queue_inside_of_what_cuts_vectors():
    cuts = {"dims": [1.0], "coefficients": None, "dims_at_once": None}
    inside = InfoNCE(**INFONCE)
    with pytest.raises(ValueError, match="Matryoshka2D looks at vectors of layers"):
        queue(objective=Matryoshka2D(objective=inside, **cuts, layers_at_once=1, kl_temperature=0.3, move_last=False))
    with pytest.raises(ValueError, match="Queue looks at"):
        queue(objective=queue())
    with pytest.raises(ValueError, match="put matryoshka inside"):
        Matryoshka(objective=queue(), **cuts)
    assert queue(objective=Matryoshka(objective=inside, **cuts)).needs_slow


def test_a_strategy_that_shards_weights_is_refused_by_the_name_of_the_objective():
    node = {"_target_": "pipeline.objective.queue.Queue", "objective": {"_target_": "pipeline.objective.infonce.InfoNCE"}}
    training = {"tasks": {"weak": {"objective": node}}}
    check_slow("train.x", training, {"strategy": "ddp"})
    with pytest.raises(ValueError, match=r"train.x.tasks.weak.objective: .*Queue needs .* got fsdp"):
        check_slow("train.x", training, {"strategy": "fsdp"})
    check_slow("train.x", {"tasks": {"weak": {"objective": node["objective"]}}}, {"strategy": "fsdp"})


# --- in a training


def test_the_copy_keeps_its_share_of_the_weights_and_draws_no_dropout(tiny_encoder):
    encoder = tiny_encoder(dropout=0.3)
    slow = SlowEncoder(encoder, 0.9)
    before = [weight.clone() for weight in slow.encoder.parameters()]
    with torch.no_grad():
        for weight in encoder.parameters():
            weight.add_(1.0)
    slow.follow(encoder)
    for own, old, new in zip(slow.encoder.parameters(), before, encoder.parameters(), strict=True):
        torch.testing.assert_close(own, 0.9 * old + 0.1 * new)
        assert not own.requires_grad
    assert not any(module.training for module in slow.encoder.modules() if isinstance(module, nn.Dropout))
    two = {"a": queue(momentum=0.9), "b": queue(momentum=0.8)}
    with pytest.raises(ValueError, match=r"expected one momentum .* \[0.8, 0.9\]"):
        slow_copy(encoder, two)
    assert slow_copy(encoder, {"a": InfoNCE(**INFONCE)}) is None


TEXTS = ["the cat", "a dog", "on mat", "the park", "sat ran", "rolling window", "sum of rows", "all numbers"]
ROWS = [Row("weak", f"q{i}", one, f"d{i}", f"{one} over") for i, one in enumerate(TEXTS)]
TASK = {
    "objective": {
        "_target_": "pipeline.objective.queue.Queue", "size": 6, "momentum": 0.5, "side": "query",
        "objective": {"_target_": "pipeline.objective.infonce.InfoNCE"} | INFONCE,
    },
    "batch_size": 4, "negatives": "gathered", "num_positives": 1, "num_negatives": 0, "turns": 1.0, "teachers": {},
    "view": {"_target_": "pipeline.view.repeated.Repeated", "rate": 0.5, "most": 10, "alike": False}, "shuffle_documents": False,
}  # fmt: skip
TRAINING = {
    "tasks": {"weak": TASK}, "batches": "single", "turns": "uniform", "turns_temperature": 1.0, "by_length": False,
    "steps_per_task": 8, "epochs": None, "max_steps_per_task": None, "budget_minutes": None, "best": None, "warmup": 0.0,
    "max_length_tokens": 12, "precision": "32-true", "chunk_tokens": 64, "gradient_clip": 1.0, "on_nonfinite": "stop",
    "early_stop": None,
    "optimizer": {"_target_": "pipeline.training.optimizer.adamw", "lr": 0.01, "weight_decay": 0.1, "betas": [0.9, 0.99],
                  "layer_decay": 1.0},
}  # fmt: skip
RUNTIME = {
    "accelerator": "cpu", "devices": 1, "num_nodes": 1, "strategy": "auto", "tracker": "disabled", "project": "t", "kept_tokens": 64,
    "batch_tokens": 64, "return_memory": False, "checkpoint_every_steps": 3, "checkpoint_every_minutes": 5, "similarities_at_once": 64,
}  # fmt: skip


class KilledError(Exception):
    pass


def trained(encoder, **changes):
    fitting.fit(
        encoder, {"weak": ROWS}, {}, TRAINING | changes, RUNTIME, seed=0, name="x", inputs={}, held_out={"weak": []},
        known={"train": [], "validation": []}, snapshots=None,
    )  # fmt: skip
    return encoder


def test_a_training_that_was_stopped_ends_with_the_same_bytes(tiny_encoder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    start = tiny_encoder(dropout=0.2)
    whole = trained(copy.deepcopy(start))
    shutil.rmtree("data/runs")  # as whoever publishes the result does
    step = fitting.ContrastiveModule.training_step
    queues = []

    def killed(module, batch, batch_idx):
        if batch.number == 5:
            raise KilledError
        return step(module, batch, batch_idx)

    monkeypatch.setattr(fitting.ContrastiveModule, "training_step", killed)
    with pytest.raises(KilledError):
        trained(copy.deepcopy(start))

    def seen(module, batch, batch_idx):
        queues.append((batch.number, int(module.objectives["weak"].filled)))
        return step(module, batch, batch_idx)

    monkeypatch.setattr(fitting.ContrastiveModule, "training_step", seen)
    again = trained(copy.deepcopy(start))
    assert queues[0] == (3, 6)  # from the checkpoint on, its queue full
    for (name, one), other in zip(whole.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(one, other), name


def test_a_queue_and_a_slow_copy_move_the_training(tiny_encoder, tmp_path, monkeypatch):
    """Or the test above could not fail: both are part of what is computed."""
    monkeypatch.chdir(tmp_path)
    start = tiny_encoder(dropout=0.2)
    found = [
        trained(copy.deepcopy(start), tasks={"weak": TASK | {"objective": TASK["objective"] | changes}})
        for changes in ({}, {"size": 0}, {"momentum": 0.0})
    ]
    tables = [encoder.table for encoder in found]
    assert not torch.equal(tables[0], tables[1])
    assert not torch.equal(tables[0], tables[2])
