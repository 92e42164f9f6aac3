"""Bad input is told before a model is loaded where that is possible, before the first step otherwise."""

import re

import pytest
import torch

from pipeline.corpus.batches import Batch
from pipeline.corpus.row import Row
from pipeline.encoder.encoder import Encoder
from pipeline.training import checks
from pipeline.training.checks import built_objectives, check_batches, check_encoder, check_rows

OBJECTIVES = {
    "infonce": {"temperature": 0.05, "symmetric": False, "same_side": []},
    "cosent": {"scale": 20.0},
    "angle": {
        "cosine": 0.0, "cosine_scale": 20.0, "angle": 1.0, "angle_scale": 20.0, "in_batch": 0.0, "temperature": 0.05, "best_from": 1.0,
    },
    "codiemb_sts": {
        "lowest_score": 0.0, "highest_score": 5.0, "pearson": 2.0, "rank_kl": 5.0, "pro": 0.5, "middle": 1.0, "temperature": 0.05,
        "middle_temperature": 0.02, "best_from": 1.0,
    },
    "margin_mse": {"scale": 1.0},
    "triplet": {"margin": 0.2, "negatives": "mined"},
}  # fmt: skip
CLASSES = {"infonce": "InfoNCE", "cosent": "CoSENT", "angle": "AnglE", "codiemb_sts": "CoDiEmbSTS", "margin_mse": "MarginMSE"}
SHORT = {"dims": [1.0, 0.5], "coefficients": None, "dims_at_once": None}


def node(name, **changes):
    return {"_target_": f"pipeline.objective.{name}.{CLASSES.get(name, 'Triplet')}"} | OBJECTIVES[name] | changes


def matryoshka(inner, **changes):
    return {"_target_": "pipeline.objective.matryoshka.Matryoshka", "objective": inner} | SHORT | changes


def deep(inner, **changes):
    layers = {"layers_at_once": 1, "kl_temperature": 0.3, "move_last": False}
    return {"_target_": "pipeline.objective.matryoshka_2d.Matryoshka2D", "objective": inner} | SHORT | layers | changes


def rows(task, scores):
    return [Row(task, f"q{i}", f"query {i}", f"d{i}", f"document {i}", score) for i, score in enumerate(scores)]


PLAIN, GRADED = rows("retrieval", [None] * 4), rows("sts", [0.0, 1.5, 4.0, 5.0])


def checked(objective, given, task, *, mined=0, devices=1, strategy="auto", **changes):
    settings = {"batch_size": 4, "negatives": "gathered", "num_negatives": 0, "teachers": {}, "objective": objective}
    training = {"chunk_tokens": 64, "max_length_tokens": 32, "on_nonfinite": "stop", "precision": "32-true"}
    training |= {key: changes.pop(key) for key in list(changes) if key in training}
    training |= {"tasks": {task: settings | changes}}
    negatives = {task: {row.query: ["a", "b", "c"][:mined] for row in given}}
    check_rows("train-x", training, {"devices": devices, "num_nodes": 1, "strategy": strategy}, {task: given}, negatives)


def test_rows_that_fit_pass():
    checked(node("infonce"), PLAIN, "retrieval")
    checked(node("infonce"), PLAIN, "retrieval", mined=2, num_negatives=2)
    checked(node("infonce"), PLAIN, "retrieval", mined=2, num_negatives=3)  # each row has those that there are
    checked(node("infonce"), PLAIN, "retrieval", strategy="deepspeed_stage_1", precision="bf16-true")
    checked(node("infonce"), PLAIN, "retrieval", precision="bf16-mixed")
    checked(node("triplet"), PLAIN, "retrieval", mined=2, num_negatives=1)
    checked(node("margin_mse"), PLAIN, "retrieval", mined=2, num_negatives=2, teachers={"large": {}})
    for objective in (node("codiemb_sts"), node("cosent"), matryoshka(node("codiemb_sts"))):
        checked(objective, GRADED, "sts")


BAD = {
    "no score": (
        (node("cosent"), rows("sts", [1.0, None, None]), "sts"), {},
        "task sts: CoSENT needs a score on every row, 2 of 3 have none; take an objective for plain pairs",
    ),
    "no score, wrapped": (
        (matryoshka(node("cosent")), rows("sts", [None]), "sts"), {}, "Matryoshka needs a score on every row, 1 of 1",
    ),
    "scores beyond the range": (
        (node("codiemb_sts", highest_score=1.0), GRADED, "sts"), {},
        r"task sts: CoDiEmbSTS: scores run from 0.0 to 5.0, but the objective was told 0.0 to 1.0; set lowest_score and highest_score",
    ),
    "scores below the range, wrapped": (
        (matryoshka(node("codiemb_sts")), rows("sts", [-1.0, 2.0]), "sts"), {}, "scores run from -1.0 to 2.0, .* told 0.0 to 5.0",
    ),
    "scores beyond the range, in 2D": (
        (deep(node("codiemb_sts")), rows("sts", [0.0, 6.0]), "sts"), {}, "scores run from 0.0 to 6.0, .* told 0.0 to 5.0",
    ),
    "no negatives": (
        (node("triplet"), PLAIN, "retrieval"), {},
        r"task retrieval: Triplet learns from mined hard negatives, but num_negatives is 0; set it to 1 or more \(conf/task/retrieval.yaml",
    ),
    "no negatives, with a teacher": (
        (node("margin_mse"), PLAIN, "retrieval"), {"teachers": {"large": {}}}, "MarginMSE learns from mined hard",
    ),
    "no teacher": (
        (node("margin_mse"), PLAIN, "retrieval"), {"mined": 2, "num_negatives": 2}, "learns from a teacher, but there is none; name one",
    ),
    "a batch smaller than the processes": (
        (node("infonce"), PLAIN, "retrieval"), {"devices": 5},
        "tasks.retrieval.batch_size: expected at least 5 for 5 processes with negatives gathered, got 4; raise batch_size",
    ),
    "tokens of a chunk below those of a text": (
        (node("infonce"), PLAIN, "retrieval"), {"chunk_tokens": 31},
        "train-x.chunk_tokens: expected at least 32, .* got 31; raise chunk_tokens or lower max_length_tokens",
    ),
    "rows of two tasks": (
        (node("infonce"), [*PLAIN, *GRADED], "retrieval"), {},
        "task retrieval: expected rows of this task alone, .* got 4 of 8 rows of task sts; give each task its rows",
    ),
    "half precision without a copy in full": (
        (node("infonce"), PLAIN, "retrieval"), {"strategy": "ddp", "precision": "bf16-true"},
        r"train-x.precision: expected 32-true or bf16-mixed with runtime.strategy ddp, got bf16-true, .* take bf16-mixed, or a",
    ),
    "skipping under DeepSpeed": (
        (node("infonce"), PLAIN, "retrieval"), {"strategy": "deepspeed_stage_2", "on_nonfinite": "skip"},
        "train-x.on_nonfinite: skip needs",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_rows_that_cannot_teach_are_told_without_an_encoder(name, monkeypatch):
    arguments, changes, message = BAD[name]
    monkeypatch.setattr(Encoder, "load", None)
    with pytest.raises(ValueError, match=message):
        checked(*arguments, **changes)


def fits(encoder, objective, *, max_length_tokens=12):
    training = {"tasks": {"sts": {"objective": objective}}, "max_length_tokens": max_length_tokens}
    check_encoder("train-x", training, built_objectives(training), encoder)


@pytest.mark.parametrize(
    ("precision", "half", "told"),
    [
        ("bf16-mixed", 4.0, "train-x.precision is bf16-mixed, .* 2.0 times faster in float32"),
        ("bf16-mixed", 1.0, "^$"),
        ("32-true", 4.0, "^$"),
    ],
)
def test_half_precision_on_a_processor_without_it_is_told(monkeypatch, capsys, precision, half, told):
    monkeypatch.setattr(checks, "seconds_of_product", {torch.float32: 2.0, torch.bfloat16: half}.get)
    checks.tell_slow_half("train-x", {"precision": precision}, {"accelerator": "cpu"})
    assert re.match(told, capsys.readouterr().out)


def test_a_product_takes_time():
    assert 0 < checks.seconds_of_product(torch.float32) < 60


def test_an_encoder_that_fits_passes(tiny_encoder):
    encoder = tiny_encoder()  # width 16, 2 blocks
    for objective in (
        node("angle"),
        matryoshka(node("angle")),
        deep(node("infonce")),
        matryoshka(node("infonce"), dims=[16, 4]),
    ):
        fits(encoder, objective)


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (matryoshka(node("infonce"), dims=[32, 16]), r"task sts: dims \[32, 16\] are \[32, 16\] of an encoder of width 16; give fewer"),
        (matryoshka(node("infonce"), dims=[1.0, 16]), r"dims \[1.0, 16\] are \[16, 16\]"),
        (deep(node("infonce"), dims=[17]), r"dims \[17\] are \[17\] of an encoder of width 16"),
        (deep(node("infonce"), layers_at_once=2), "draws 2 of the blocks before the last, the encoder has 1; lower layers_at_once"),
        (matryoshka(node("angle"), dims=[16, 3]), "AnglE reads half of a vector as imaginary, but its width is 3; it must be even"),
    ],
)  # fmt: skip
def test_vectors_that_an_objective_cannot_cut_are_told_before_the_first_step(tiny_encoder, objective, message):
    with pytest.raises(ValueError, match=message):
        fits(tiny_encoder(), objective)


def test_a_prompt_that_leaves_no_room_for_a_text_is_told_before_the_first_step(tiny_encoder):
    encoder = tiny_encoder()
    encoder.prompts = {"pooled": True, "texts": {"sts": {"query": "the cat sat on a mat "}}}
    with pytest.raises(ValueError, match=r"train-x, task sts: the prompt .* takes 7 of 8 tokens and leaves none for the text"):
        fits(encoder, node("infonce"), max_length_tokens=8)


def test_two_tasks_in_one_step_are_told_unless_batches_are_mixed():
    batches = [Batch([("a", [[0], [1]])]), Batch([("a", [[0], [1]]), ("b", [[2]])])]
    check_batches("train-x", batches, 1, mixed=True)
    with pytest.raises(ValueError, match="train-x, step 1: expected one task, got a and b in one step; take `batches: mixed`"):
        check_batches("train-x", batches, 1, mixed=False)


def test_a_step_with_less_of_a_task_than_processes_is_told():
    batches = [Batch([("a", [[0], [1]]), ("b", [[2]])])]
    with pytest.raises(ValueError, match="step 0: expected at least one query of task b for each of 2 processes, got 1"):
        check_batches("train-x", batches, 2, mixed=True)
