"""Is one task a batch better than rows of all tasks in each batch, for objectives of their own (CoDiEmb, arXiv:2508.11442)?"""

import numpy as np
import pytest

from tests.claim.arms import SEEDS, STEPS, controlled, fresh, objective, scores, section, trained
from tests.claim.written import compared, write_claim

ABOUT = ("pipeline.corpus.batches", "pipeline.objective.codiemb_ir", "pipeline.objective.codiemb_sts")


@pytest.mark.claim
def test_one_task_a_batch(rows):
    found: dict[str, list[np.ndarray]] = {arm: [] for arm in ("mixed", "single", "mixed, shuffled", "single, shuffled")}
    groups: dict[str, int] = {}
    for seed in SEEDS:
        start = fresh(seed, rows.train)
        for batches in ("mixed", "single"):
            training = section("joint", STEPS, batches=batches)
            training["tasks"]["retrieval"]["objective"] = objective("codiemb_ir", temperature=0.05)
            training["tasks"]["sts"]["objective"] = objective("codiemb_sts", highest_score=5.0)
            for name, settings in ((batches, training), (f"{batches}, shuffled", controlled(training))):
                by_collection, groups = scores(trained(start, rows.train, settings, seed), rows.test)
                found[name].append(np.mean(list(by_collection.values()), axis=0))
    arms = {arm: np.stack(each) for arm, each in found.items()}
    few = min(groups.values())
    control = compared(arms, "single, shuffled", "mixed, shuffled", num_groups=few)
    claim = compared(arms, "single", "mixed", num_groups=few)
    write_claim(
        "tasks_apart", "Batches of one task give a better mean over tasks than batches of all tasks, with equal steps.", claim,
        arms=arms, control=control, control_is="the same comparison, trained on documents dealt at random among the rows",
        metric="mean of nDCG@10 (MedQuAD, known items) and Spearman (STS-B)", seeds=SEEDS, items=groups, steps=STEPS, about=ABOUT,
    )  # fmt: skip
    assert control.low <= 0, "what nothing can be learned from was learned better: the comparison leans to one side"
