"""What a corpus says to answer a query, or what reads like that, costs the query nothing, in every objective."""

import json
import math
import runpy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

PROGRAM = Path(__file__).with_name("no_negatives.py")
FREE = (
    "an answer that no row of the batch marks",
    "its answer in other letters",
    "an answer but for what is cut off",
    "the query itself",
    "mined for another, an answer",
)
PAIRS_ALONE = ("cosent",)  # objectives without negatives
OWN_ALONE = ("margin_mse", "teacher_kl", "triplet mined")  # those that look at a query's mined negatives alone


@pytest.fixture(scope="module")
def program():
    torch.set_num_threads(1)
    return SimpleNamespace(**runpy.run_path(str(PROGRAM)))


@pytest.fixture(scope="module")
def objectives(program):
    return program.objectives()


def checked(name, found, *, in_batch=True):
    for what in FREE[-1:] if name in PAIRS_ALONE else FREE:  # a graded pair moves its own document
        assert found[what] == 0.0, (name, what)
    if name in OWN_ALONE:
        assert found["mined for it"] > 1e-4, name
    elif in_batch and name not in PAIRS_ALONE:
        assert max(found["a stranger"], found["mined for it"]) > 1e-4, name


def named():
    conf = Path(__file__).parents[2] / "conf/objective"
    also = runpy.run_path(str(PROGRAM))["ALSO"]
    return [*sorted(file.stem for file in conf.glob("*.yaml")), *also]


@pytest.mark.parametrize("prompts", [False, True])
@pytest.mark.parametrize("name", named())
def test_no_objective_punishes_what_belongs_to_the_query(program, objectives, name, prompts):
    checked(name, program.gradients(objectives[name], program.encoder(prompts=prompts), "gathered"))


@pytest.mark.parametrize("name", [name for name in named() if name not in PAIRS_ALONE])
def test_a_query_with_negatives_of_its_own_moves_nothing_but_its_answer_and_what_was_mined_for_it(program, objectives, name):
    found = program.gradients(objectives[name], program.encoder(prompts=True), "own")
    assert {what for what, size in found.items() if size} <= {"its answer", "mined for it"}
    if not objectives[name].needs_score:  # graded ones compare a pair with those that are graded alone
        assert found["mined for it"] > 1e-4


def test_two_processes_punish_nothing_that_belongs_to_the_query_either(tmp_path, two_processes):
    two_processes(PROGRAM, tmp_path)
    mine, other = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert {name.split("|")[0] for name in mine} == set(named())
    for key, found in mine.items():
        name, negatives = key.split("|")
        checked(name, found, in_batch=negatives == "gathered")
        assert all(math.isnan(value) for value in other[key].values())


def test_mined_texts_that_belong_to_the_query_are_passed_over(program):
    """By what the encoder reads: the first four that were found for the query are its answers, or itself."""
    made = program.encoder(prompts=True)
    given, places = program.batch(made, "retrieval")
    read = [made.tokenizer.decode(ids, skip_special_tokens=True) for ids in given.ids]
    assert read[places["mined for it"]] == "the over rows"
    assert read[places["mined for another, an answer"]] == "the in a park"


def test_a_perfect_encoder_pays_nothing_for_documents_that_read_alike(program):
    """Two rows whose documents differ behind the cut: at any temperature each query would pay log 2."""
    from pipeline.corpus.batches import Batch
    from pipeline.corpus.row import Row
    from pipeline.objective.infonce import InfoNCE
    from pipeline.training.data import Batches
    from pipeline.training.reading import Known, Reader

    made = program.encoder(prompts=False)
    texts = [("the cat", program.LONG + "cat"), ("a dog", program.LONG + "dog")]
    rows = [Row("retrieval", f"q{i}", q, f"d{i}", d) for i, (q, d) in enumerate(texts)]
    known = Known(rows, Reader(made, program.LIMIT))
    settings = {
        "known": {"retrieval": known},
        "sources": {},
        "num_negatives": {"retrieval": 0},
        "teachers": {},
        "views": {},
        "seed": 0,
    }
    (given,) = Batches([Batch([("retrieval", [[0], [1]])])], {"retrieval": rows}, {}, known.reader, **settings)
    objective = InfoNCE(temperature=0.001, symmetric=True, same_side=["document"])
    module = program.ContrastiveModule(
        made, {"retrieval": objective}, torch.optim.SGD, negatives={"retrieval": "gathered"}, steps=1, warmup_steps=0, seed=0,
        chunk_tokens=99, kept_tokens=0, similarities_at_once=20, return_memory=False, on_nonfinite="stop",
    )  # fmt: skip
    vectors = torch.eye(4)[[0, 0, 0, 0]][:, None]
    assert torch.equal(given.ids[2], given.ids[3])
    assert float(objective(module.pairs(given, given.parts[0], vectors))) == 0


def test_in_a_mixed_batch_an_answer_under_another_tasks_prompt_is_no_negative(program):
    from pipeline.corpus.batches import Batch
    from pipeline.corpus.row import Row
    from pipeline.objective.infonce import InfoNCE
    from pipeline.training.data import Batches
    from pipeline.training.reading import Known, Reader

    made = program.encoder(prompts=True)
    rows = {
        "retrieval": [Row("retrieval", "q0", "the cat", "d0", "a dog"), Row("retrieval", "q1", "a park", "d1", "numbers")],
        "sts": [Row("sts", "q2", "rows", "d2", "in a window", 1.0), Row("sts", "q3", "all", "d3", "the mat", 0.0)],
    }
    answer = Row("weak", "q4", "The cat", "d4", "In a window")  # of a third task, in other letters
    known = Known([*rows["retrieval"], *rows["sts"], answer], Reader(made, program.LIMIT))
    (given,) = Batches(
        [Batch([("retrieval", [[0], [1]]), ("sts", [[0], [1]])])], rows, {}, known.reader, known=dict.fromkeys(rows, known), sources={},
        num_negatives={"retrieval": 0, "sts": 0}, teachers={}, views={}, seed=0,
    )  # fmt: skip
    objective = InfoNCE(temperature=0.05, symmetric=False, same_side=[])
    module = program.ContrastiveModule(
        made, {"retrieval": objective, "sts": objective}, torch.optim.SGD, negatives=dict.fromkeys(rows, "gathered"), steps=1,
        warmup_steps=0, seed=0, chunk_tokens=99, kept_tokens=0, similarities_at_once=20, return_memory=False, on_nonfinite="stop",
    )  # fmt: skip
    draw = torch.Generator().manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(8, 1, 16, generator=draw), dim=-1).requires_grad_()
    pairs = replace(module.pairs(given, given.parts[0], vectors), anchors=slice(0, 1))
    (grad,) = torch.autograd.grad(objective(pairs), vectors)
    of_sts = given.parts[1].first_document
    assert not grad[of_sts].any()
    assert grad[of_sts + 1].any()
