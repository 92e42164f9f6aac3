"""What `fit` hands to the trainer."""

import itertools
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

import pipeline.training.fit as fitting
from pipeline.corpus.row import Row
from pipeline.objective.infonce import InfoNCE
from pipeline.training.reading import code_of
from pipeline.training.trainer import Trained

WORDS = ["cat", "dog", "mat", "park", "sat", "ran"]
ROWS = [Row("retrieval", f"q{i}", f"{one} cat", f"d{i}", f"{one} dog") for i, one in enumerate(WORDS)]
INFONCE = {"_target_": "pipeline.objective.infonce.InfoNCE", "temperature": 0.05, "symmetric": False, "same_side": []}
TASK = {
    "objective": INFONCE, "batch_size": 6, "negatives": "gathered", "num_positives": 1, "num_negatives": 0, "turns": 1.0,
    "teachers": {}, "view": {"_target_": "pipeline.view.rows.Rows"}, "shuffle_documents": False,
}  # fmt: skip
TRAINING = {
    "tasks": {"retrieval": TASK}, "batches": "single", "turns": "uniform", "turns_temperature": 1.0, "by_length": False,

    "steps_per_task": 2, "epochs": None, "max_steps_per_task": None, "budget_minutes": None, "best": None, "warmup": 0.0,
    "max_length_tokens": 12, "precision": "32-true", "chunk_tokens": 64, "gradient_clip": 1.0,
    "on_nonfinite": "stop", "early_stop": None,
    "optimizer": {"_target_": "pipeline.training.optimizer.adamw", "lr": 0.1, "weight_decay": 0.1, "betas": [0.9, 0.99],
                  "layer_decay": 1.0},
}  # fmt: skip
RUNTIME = {
    "accelerator": "cpu", "devices": 1, "num_nodes": 1, "strategy": "auto", "tracker": "disabled", "project": "t", "kept_tokens": 64,
    "batch_tokens": 64, "return_memory": False, "checkpoint_every_steps": 9, "checkpoint_every_minutes": 5, "similarities_at_once": 64,
}  # fmt: skip


class StoppedError(Exception):
    pass


@pytest.fixture
def handed(tiny_encoder, monkeypatch):
    """``(encoder, batches, those of the early stop)`` of a training that ends before its first step."""

    def made(*, known=(), held_out=(), looked_at=ROWS, of_task=None, **changes):
        seen = SimpleNamespace()

        def stop(module, data, *rest, callbacks, **named):
            seen.data, seen.looks = data, [look.measure.keywords["batches"] for look in callbacks]
            raise StoppedError

        monkeypatch.setattr(fitting, "train", stop)
        training = TRAINING | changes | {"tasks": {"retrieval": TASK | (of_task or {})}}
        encoder = tiny_encoder()
        with pytest.raises(StoppedError):
            fitting.fit(
                encoder, {"retrieval": ROWS}, {}, training, RUNTIME, seed=0, name="x", inputs={}, held_out={"retrieval": looked_at},
                known={"train": list(known), "validation": list(held_out)}, snapshots=None,
            )  # fmt: skip
        return encoder, list(seen.data.batches), [list(batches) for batches in seen.looks]

    return made


def pairs_of(encoder, batch):
    """Each query with the document that stands for its answer."""
    (part,) = batch.parts
    texts = [encoder.tokenizer.decode(ids.tolist(), skip_special_tokens=True) for ids in batch.ids]
    return {(texts[i], texts[part.first_document + n]) for i, n in enumerate(part.positive[:, 0].tolist())}


TRUE = {(row.query, row.document) for row in ROWS}


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_control_trains_on_shuffled_documents_and_others_do_not(handed, shuffle):
    encoder, batches, _ = handed(of_task={"shuffle_documents": shuffle})
    assert len(batches) == 2
    for batch in batches:
        assert (pairs_of(encoder, batch) & TRUE) == (set() if shuffle else TRUE)


def knows(encoder, batch, one, other):
    codes = [code_of(torch.tensor(encoder.token_ids([text], 12)[0])) for text in (one, other)]
    return codes in batch.parts[0].known.tolist() and codes[::-1] in batch.parts[0].known.tolist()


LOOK = {"early_stop": {"every_steps": 1, "patience": 1, "batches_per_task": 1}}


def test_what_rows_outside_of_the_training_mark_is_known_in_it_and_in_the_early_stop(handed):
    known = [Row("weak", "w", "Cat CAT", "w", "mat dog")]
    held_out = [Row("weak", "s", "sat cat", "s", "ran dog")]
    encoder, batches, ((look,),) = handed(known=known, held_out=held_out, **LOOK)
    for batch in batches:
        assert knows(encoder, batch, "cat cat", "mat dog")
        assert not knows(encoder, batch, "sat cat", "ran dog")  # a validation row tells a training nothing
    assert knows(encoder, look, "cat cat", "mat dog")
    assert knows(encoder, look, "sat cat", "ran dog")


def test_a_graded_pair_answers_nothing_in_another_task(handed):
    """Its grade may be the lowest; its own task leaves it to the graded losses."""
    encoder, batches, _ = handed(known=[Row("sts", "s", "cat cat", "s", "mat dog", 0.0)])
    assert not any(knows(encoder, batch, "cat cat", "mat dog") for batch in batches)


def test_the_early_stop_looks_at_the_rows_that_are_held_out_and_at_no_others(handed):
    rows = [Row("retrieval", f"v{i}", f"{one} over", f"v{i}", f"{one} rows") for i, one in enumerate(WORDS)]
    encoder, batches, ((look,),) = handed(looked_at=rows, **LOOK)
    assert pairs_of(encoder, look) == {(row.query, row.document) for row in rows}
    assert all(pairs_of(encoder, batch) == TRUE for batch in batches)


def test_what_a_trained_row_marks_is_known_whatever_is_handed_over(handed):
    encoder, batches, _ = handed()
    for batch, row in itertools.product(batches, ROWS):
        assert knows(encoder, batch, row.query, row.document)


@pytest.mark.parametrize(
    ("strategy", "precision", "rounds"),
    [("deepspeed_stage_2", "bf16-true", True), ("deepspeed_stage_3", "bf16-mixed", True), ("deepspeed_stage_2", "32-true", False),
     ("fsdp", "bf16-mixed", False)],
)  # fmt: skip
def test_what_deepspeed_rounds_before_it_trains_is_no_part_of_what_was_learned(
    tiny_encoder, monkeypatch, tmp_path, strategy, precision, rounds
):
    monkeypatch.chdir(tmp_path)
    encoder = tiny_encoder()
    start = {name: value.clone() for name, value in encoder.state_dict().items()}
    began = {name: value.bfloat16().float() if rounds and value.is_floating_point() else value for name, value in start.items()}
    moved = {name: began[name] + 0.5 if value.is_floating_point() else value for name, value in start.items()}
    monkeypatch.setattr(fitting, "train", lambda *_, **__: Trained([], moved, set()))
    monkeypatch.setattr(fitting, "strategy_for", lambda _: object())
    fitting.fit(
        encoder, {"retrieval": ROWS}, {}, TRAINING | {"precision": precision}, RUNTIME | {"strategy": strategy}, seed=0, name="x",
        inputs={}, held_out={}, known={"train": [], "validation": []}, snapshots=None,
    )  # fmt: skip
    for name, value in encoder.state_dict().items():
        torch.testing.assert_close(value, start[name] + 0.5 if value.is_floating_point() else start[name], rtol=0, atol=1e-7)


class Owning(InfoNCE):
    saves = True

    def begin(self, *, width, blocks):
        self.scale_of = torch.nn.Parameter(torch.rand(width))

    def forward(self, pairs):
        return super().forward(replace(pairs, query=pairs.query * self.scale_of))


def owned(encoder, monkeypatch, *, stop_at=None, **runtime):
    """The weight that an objective came to, of a training that is broken off before a step and gone on with, if asked."""
    made = lambda _: {"retrieval": Owning(temperature=0.05, symmetric=False, same_side=[])}  # noqa: E731
    monkeypatch.setattr(fitting, "built_objectives", made)
    given = {"seed": 0, "name": "x", "inputs": {}, "held_out": {}, "known": {"train": [], "validation": []}, "snapshots": None}
    call = lambda: fitting.fit(  # noqa: E731
        encoder(),
        {"retrieval": ROWS},
        {},
        TRAINING | {"steps_per_task": 4},
        RUNTIME | {"checkpoint_every_steps": 2, "checkpoint_every_minutes": 5} | runtime,
        **given,
    )
    if stop_at is not None:
        step = fitting.ContrastiveModule.training_step

        def stopping(self, batch, batch_idx):
            if self.global_step == stop_at:
                raise StoppedError
            return step(self, batch, batch_idx)

        with monkeypatch.context() as patch:
            patch.setattr(fitting.ContrastiveModule, "training_step", stopping)
            with pytest.raises(StoppedError):
                call()
    return call().beside["retrieval.scale_of"]


def test_a_stopped_training_goes_on_with_the_weights_of_its_objectives_and_hands_them_over(tiny_encoder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    whole = owned(tiny_encoder, monkeypatch)
    assert whole.shape == (16,)
    torch.manual_seed(0)
    assert (whole - torch.rand(16)).abs().max() > 0.05
    assert torch.equal(owned(tiny_encoder, monkeypatch, stop_at=3), whole)


def test_weights_that_are_kept_need_a_process_that_holds_them_whole(tiny_encoder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="x, task retrieval: Owning keeps weights of its own"):
        owned(tiny_encoder, monkeypatch, strategy="deepspeed_stage_2")
