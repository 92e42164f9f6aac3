import json

import pytest

from pipeline.trainable import check_probes, check_tasks, check_trainings

TASK = {"batch_size": 8, "negatives": "gathered", "num_negatives": 0}
FIT = {"fit": {"_target_": "pipeline.training.curated.Contrastive"}}
TASK |= {"teachers": {}}
BOUNDS = {"steps_per_task": None, "epochs": 1, "max_steps_per_task": None, "budget_minutes": None}
TRAINING = FIT | BOUNDS | {"chunk_tokens": 64, "max_length_tokens": 32, "precision": "32-true", "tasks": {"retrieval": TASK}}
EXPERT = TRAINING | {"control": None}
CONFIG = {
    "encoder": {"max_length_tokens": 48},
    "runtime": {"devices": 2, "num_nodes": 1, "strategy": "auto"},
    "mine": {"miner": {"num_negatives": 3}},
    "left_out": {},
    "ingest": {"corpora": {"manuals": {}, "letters": {}}},
    "tasks": {name: {"kind": name, "learned": True} for name in ("retrieval", "sts", "affinity")},
    "curate": {"controls": {"random": {}}},
    "train": {"expert": EXPERT, "sts": EXPERT | {"tasks": {"sts": TASK}}},
    "pretrain": {
        "phases": {
            "first": TRAINING | {"mine": None},
            "second": TRAINING | {"mine": {"miner": {"num_negatives": 5}}},
            "masking": {"precision": "32-true"},
        },
    },
}


@pytest.fixture
def changed():
    """The configuration with one value changed, by its dotted path."""

    def made(path, value):
        config = json.loads(json.dumps(CONFIG))  # tasks are no longer shared
        *parents, last = path.split(".")
        at = config
        for key in parents:
            at = at[key]
        at[last] = value
        return config

    return made


def test_what_can_be_trained_passes(changed):
    check_trainings(CONFIG)
    check_trainings(changed("train.expert.tasks.retrieval.num_negatives", 3))
    check_trainings(changed("pretrain.phases.second.tasks.retrieval.num_negatives", 5))
    check_trainings(changed("train.expert.tasks.retrieval.batch_size", 2))
    check_trainings(changed("train.expert.max_length_tokens", 65))  # the encoder cuts at 48, a chunk holds 64


BAD = [
    ("train.expert.chunk_tokens", 31, r"train.expert.chunk_tokens: expected at least 32, .* got 31; raise chunk_tokens or lower"),
    ("train.expert.optimizer", {"lr": -1.0}, r"train.expert.optimizer.lr: expected a finite number above 0, got -1.0; conf/encoder says"),
    ("train.expert.optimizer", {"lr": 0}, r"train.expert.optimizer.lr: expected a finite number above 0, got 0"),
    ("pretrain.phases.first.optimizer", {"lr": float("inf")}, r"pretrain.phases.first.optimizer.lr: .* above 0, got inf"),
    ("train.expert.tasks.retrieval.batch_size", 1, r"train.expert.tasks.retrieval.batch_size: expected at least 2 for 2 processes"),
    ("train.sts.tasks.sts.num_negatives", 1, r"train.sts.tasks.sts.num_negatives: expected at most 0, .* got 1; raise num_negatives"),
    ("train.expert.tasks.retrieval.num_negatives", 4, r"expected at most 3, .* got 4"),
    ("pretrain.phases.first.tasks.retrieval.num_negatives", 1, r"pretrain.phases.first.tasks.retrieval.num_negatives: expected at most 0"),
    ("pretrain.phases.second.tasks.retrieval.num_negatives", 6, r"expected at most 5, .* got 6"),
    ("train.expert.control", "randm", r"train.expert.control: expected a name under curate.controls \(random\), got .randm"),
    ("pretrain.phases.first.tasks.retrieval.teachers", {"big": {"sha256": None}}, r"first.tasks.retrieval.teachers.big: a teacher needs"),
    ("train.expert.corpora", ["manuals", "leters"], r"train.expert.corpora: no corpus 'leters' .did you mean 'letters'.*"),
    ("pretrain.phases.masking.corpora", ["papers"], r"pretrain.phases.masking.corpora: no corpus 'papers'.*letters, manuals"),
    ("runtime.num_nodes", 5, r"expected at least 10 for 10 processes with negatives gathered, got 8; raise batch_size, or lower"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "message"), BAD)
def test_what_no_training_can_do_is_told_by_its_place_and_what_to_do(changed, path, value, message):
    with pytest.raises(ValueError, match=message):
        check_trainings(changed(path, value))


PLACES = ("train.expert", "train.sts", "pretrain.phases.second", "pretrain.phases.masking")


@pytest.mark.parametrize("strategy", ["auto", "ddp", "fsdp"])
@pytest.mark.parametrize("place", PLACES)
def test_half_precision_without_a_copy_in_full_is_refused_with_what_to_take_instead(changed, place, strategy):
    config = changed(f"{place}.precision", "bf16-true")
    config["runtime"]["strategy"] = strategy
    with pytest.raises(
        ValueError, match=rf"{place}.precision: .* runtime.strategy {strategy}, got bf16-true, .* take bf16-mixed"
    ):
        check_trainings(config)


def test_half_precision_passes_where_a_copy_in_full_is_kept_or_only_the_arithmetic_is_half(changed):
    for place in PLACES:
        config = changed(f"{place}.precision", "bf16-true")
        config["runtime"]["strategy"] = "deepspeed_stage_2"
        check_trainings(config)
        check_trainings(changed(f"{place}.precision", "bf16-mixed"))


def test_negatives_in_batch_need_two_pairs_on_each_process(changed):
    config = changed("train.expert.tasks.retrieval", TASK | {"batch_size": 3, "negatives": "in_batch"})
    with pytest.raises(ValueError, match="expected at least 4 for 2 processes with negatives in_batch, got 3"):
        check_trainings(config)


def test_negatives_of_its_own_must_be_there_in_training_and_cannot_be_in_an_early_stop(changed):
    own = TASK | {"negatives": "own"}
    with pytest.raises(ValueError, match=r"tasks.retrieval.num_negatives: expected 1 or more with `negatives: own`, .* got 0"):
        check_trainings(changed("train.expert.tasks.retrieval", own))
    config = changed("train.expert.tasks.retrieval", own | {"num_negatives": 1})
    config["train"]["expert"]["early_stop"] = None
    check_trainings(config)
    config["train"]["expert"]["early_stop"] = {"every_steps": 1}
    with pytest.raises(ValueError, match=r"train.expert.early_stop: expected null where .* has `negatives: own`"):
        check_trainings(config)


def probes(sts, pairs=10, probe=True):
    """A configuration as far as `check_probes` looks at it."""
    asked = {"pairs_per_task": pairs, "objectives": {"retrieval": {}, "sts": {}}}
    rows = {"retrieval": 20, "sts": sts}
    return {
        "left_out": {},
        "curate": {"probe": {"rows": rows}},
        "merge": {"soup": {"probe": None}, "fisher": {"probe": asked if probe else None}},
    }


def test_a_method_with_a_probe_needs_twice_its_pairs_of_each_of_its_tasks_set_aside():
    check_probes(probes(sts=20))
    check_probes(probes(sts=0, probe=False))
    with pytest.raises(
        ValueError, match=r"merge\.fisher .* of at least 20 .* got sts 19; add `curate\.probe\.rows: {sts: 20}`"
    ):
        check_probes(probes(sts=19))
    with pytest.raises(ValueError, match=r"of at least 22 .* got retrieval 20, sts 20"):
        check_probes(probes(sts=20, pairs=11))


EVALUATORS = {"search": "retrieval", "sts": "sts", "affinity": "affinity"}


def told(changes, message, evaluators=EVALUATORS):
    config = json.loads(json.dumps(CONFIG)) | {"pretrain": {"phases": {}}} | changes
    with pytest.raises(ValueError, match=message):
        check_tasks(config, evaluators)


def test_a_task_that_is_learned_without_rows_is_told_with_the_nearest_one():
    tasks = {name: {"kind": name, "learned": True} for name in ("retrieval", "stss", "affinity")}
    message = (
        r"train.sts: no corpus has rows of task 'sts' \(did you mean 'stss'\?\); .* or take sts out of `experts` and `models`"
    )
    told({"tasks": tasks | {"stss": {"kind": "sts", "learned": True}}}, message)


def test_rows_that_nothing_learns_or_scores_are_told():
    tasks = CONFIG["tasks"] | {"cheap": {"kind": "weak", "learned": False}}
    told(
        {"tasks": tasks},
        "task 'cheap': its rows are neither scored, as all of kind weak, nor does an expert or a phase learn them",
    )
    config = CONFIG | {"tasks": CONFIG["tasks"] | {"cheap": {"kind": "weak", "learned": True}}}
    check_tasks(config | {"pretrain": {"phases": {}}}, EVALUATORS)
    told(
        {"tasks": CONFIG["tasks"] | {"topic": {"kind": "clustering", "learned": False}}},
        "none scores tasks of kind clustering, such as 'topic'",
    )


def test_cheap_rows_whose_texts_a_pretext_reads_are_of_use():
    tasks = CONFIG["tasks"] | {"cheap": {"kind": "weak", "learned": False}}
    check_tasks(CONFIG | {"tasks": tasks, "pretrain": {"phases": {"masking": {"precision": "32-true"}}}}, EVALUATORS)


def test_a_task_that_the_training_cannot_learn_is_told_with_those_that_it_can():
    train = {"complexes": EXPERT | {"tasks": {"affinity": TASK}}}
    told(
        {"train": train},
        r"train.complexes: task 'affinity' is of kind affinity, which .*Contrastive does not learn; it learns bitext.*sts",
    )
    fit = {"fit": {"_target_": "pipeline.protein.training.Affinity"}}
    check_tasks(
        CONFIG | {"train": {"complexes": EXPERT | fit | {"tasks": {"affinity": TASK}}}, "pretrain": {"phases": {}}}, EVALUATORS
    )
    told(
        {"train": {"text": EXPERT | fit}},
        r"train.text: task 'retrieval' .* does not learn; it learns affinity\. Name another `fit`",
    )


def test_two_evaluators_of_one_kind_and_a_kind_that_is_only_scored_are_told():
    message = "search and again both score tasks of kind retrieval; set one to null"
    told({}, message, EVALUATORS | {"again": "retrieval"})
    tasks = CONFIG["tasks"] | {"sts": {"kind": "classification", "learned": True}}
    told(
        {"tasks": tasks},
        "train.sts: task 'sts' is of kind classification, which is only scored",
        EVALUATORS | {"c": "classification"},
    )
