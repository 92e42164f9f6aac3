"""What the page says of models: by what they are, never by name."""

from pipeline.report.told import told

ONE = {"control": None, "batches": "single", "steps_per_task": None, "epochs": 1, "max_steps_per_task": 15}
ONE |= {"budget_minutes": None}
EXPERTS = {
    "search": ONE | {"tasks": {"retrieval": {"shuffle_documents": False}}},
    "alike": ONE | {"tasks": {"sts": {"shuffle_documents": False}}},
    "everything": ONE | {"tasks": {"retrieval": {"shuffle_documents": False}, "sts": {"shuffle_documents": False}}},
}
CONFIG = {
    "baseline": {"bm25": {}},
    "train": EXPERTS,
    "experts": {name: f"checkpoints/experts/{name}" for name in EXPERTS},
    "models": {
        "mean": "checkpoints/merged/soup",
        "raw": "checkpoints/backbone",
        "start": "checkpoints/base",
        "bought": "data/models/x",
        **{name: f"checkpoints/experts/{name}" for name in EXPERTS},
    },
}


def about(**changes):
    trainings = {name: one | changes.get(name, {}) for name, one in EXPERTS.items()}
    return {name: model.about for name, model in told(CONFIG | {"train": trainings}).items()}


def test_models_of_any_name_are_told_by_where_they_lie_and_what_they_learned():
    assert about() == {
        "bm25": "",
        "mean": "",
        "search": "",
        "alike": "",
        "raw": "the model off the shelf, read as it comes: its own pooling, prompts and length",
        "start": "after pretraining",
        "bought": "as data/models/x holds it",
        "everything": "all tasks in one model, single-task batches, as many batches as all experts together",
    }


def test_baselines_come_first_then_single_models_then_merges():
    assert list(told(CONFIG)) == ["bm25", "bought", "raw", "start", "alike", "everything", "search", "mean"]
    assert [name for name, model in told(CONFIG).items() if model.gated] == ["mean"]


def test_a_sentence_says_only_what_the_training_bears_out():
    mixed = about(everything={"batches": "mixed"})["everything"]
    assert mixed == "all tasks in one model, batches of mixed tasks, as many batches as all experts together"
    assert about(search={"steps_per_task": 90})["everything"] == "all tasks in one model, single-task batches"
    minutes = {name: {"budget_minutes": 5.0} for name in EXPERTS}
    assert about(**minutes)["everything"] == "all tasks in one model, single-task batches"
    three = {"tasks": EXPERTS["search"]["tasks"] | {"legal": {"shuffle_documents": False}}}
    assert about(search=three)["everything"] == "the tasks retrieval and sts in one model, single-task batches"


def test_controls_are_told():
    shuffled = {"tasks": {"retrieval": {"shuffle_documents": True}}}
    assert about(search=shuffled)["search"] == "a control, which learned from shuffled documents"
    assert about(search={"control": "random"})["search"] == "a control, which learned from the split random"
