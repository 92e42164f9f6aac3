"""Do progressive sample weights help where a fifth of the pairs is mismatched (PEG, arXiv:2311.11691; the weights are our design)?"""

import numpy as np
import pytest

from tests.claim.arms import SEEDS, STEPS, controlled, fresh, mismatched, objective, scores, section, trained
from tests.claim.written import compared, write_claim

ABOUT = ("pipeline.objective.progressive",)
SHARE = 0.2
KINDS = ("none", "curricular", "query_focal")


@pytest.mark.claim
def test_curricular_weights_under_mismatched_pairs(rows):
    found: dict[str, list[np.ndarray]] = {}
    groups: dict[str, int] = {}
    test = {name: one for name, one in rows.test.items() if one.task == "retrieval"}
    for seed in SEEDS:
        start = fresh(seed, rows.train)
        noised = {"retrieval": mismatched(rows.train["retrieval"], seed, SHARE)}
        for kind in KINDS:
            training = section("retrieval", STEPS)
            training["tasks"]["retrieval"]["objective"] = objective("progressive", kind=kind)
            arms = [(kind, training)] + ([] if kind == "query_focal" else [(f"{kind}, shuffled", controlled(training))])
            for name, settings in arms:
                by_collection, groups = scores(trained(start, noised, settings, seed), test)
                found.setdefault(name, []).append(next(iter(by_collection.values())))
    arms = {arm: np.stack(each) for arm, each in found.items()}
    few = min(groups.values())
    control = compared(arms, "curricular, shuffled", "none, shuffled", num_groups=few)
    focal = compared(arms, "query_focal", "none", num_groups=few)
    write_claim(
        "progressive", "With a fifth of the pairs mismatched, curricular weights give a better retriever than equal weights.",
        compared(arms, "curricular", "none", num_groups=few), arms=arms, control=control,
        control_is="the same comparison, trained on documents dealt at random among the rows", metric="nDCG@10 (MedQuAD, known items)",
        seeds=SEEDS, items=groups, steps=STEPS, about=ABOUT, beside={"query_focal minus none": focal._asdict()},
    )  # fmt: skip
    assert control.low <= 0, "what nothing can be learned from was learned better: the comparison leans to one side"
