from types import SimpleNamespace

import pytest

from pipeline.training.look import Look


@pytest.fixture
def ended():
    """The step at which a training ends whose validation losses are given; ``start`` and ``state``: of one that is gone on with."""

    def run(losses, *, patience, start=0, state=None):
        module = SimpleNamespace(log=lambda *told, **how: None)
        stop = Look(
            "loss",
            lambda _: losses[trainer.global_step // 2 - 1],
            better="lower",
            every_steps=2,
            patience=patience,
            keep=False,
        )
        if state:
            stop.load_state_dict(state)
        trainer = SimpleNamespace(global_step=start, max_steps=None, loggers=[], should_stop=False)
        while not trainer.should_stop and trainer.global_step < 2 * len(losses):
            trainer.global_step += 1
            stop.on_train_batch_end(trainer, module, None, None, 0)
        return trainer.global_step, stop.state_dict()

    return run


def test_a_training_ends_when_the_loss_was_no_better_for_so_many_looks(ended):
    assert ended([3.0, 2.0, 2.0, 2.5, 1.0], patience=2)[0] == 8
    assert ended([3.0, 2.0, 2.0, 1.5, 1.6], patience=2)[0] == 10


def test_one_that_was_stopped_when_its_end_was_known_takes_no_further_step(ended):
    _, state = ended([2.0, 2.5, 2.2], patience=2)
    for patience, over in ((2, True), (3, False), (None, False)):
        look = Look("loss", lambda _: 0.0, better="lower", every_steps=2, patience=patience, keep=False)
        look.load_state_dict(state)
        trainer = SimpleNamespace(should_stop=False)
        look.on_train_start(trainer, SimpleNamespace())  # pyright: ignore[reportArgumentType]
        assert trainer.should_stop is over


def test_one_that_is_gone_on_with_remembers_the_best(ended):
    losses = [2.0, 2.5, 2.2, 2.1]
    _, state = ended(losses[:2], patience=3)
    assert ended(losses, patience=3, start=4, state=state)[0] == ended(losses, patience=3)[0] == 8
