"""Do hard negatives that the model itself found help beyond those of the batch?"""

import numpy as np
import pytest

from pipeline.training.mined import by_query, mined
from tests.claim.arms import LENGTH, SEEDS, STEPS, composed, controlled, fresh, scores, section, trained
from tests.claim.written import compared, write_claim

ABOUT = ("pipeline.mining.nearest", "pipeline.training.mined")
NEGATIVES = 3


@pytest.mark.claim
def test_hard_negatives(rows):
    found: dict[str, list[np.ndarray]] = {}
    groups: dict[str, int] = {}
    test = {name: one for name, one in rows.test.items() if one.task == "retrieval"}
    for seed in SEEDS:
        own = {"retrieval": rows.train["retrieval"]}
        base = trained(fresh(seed, rows.train), own, section("retrieval", STEPS), seed)
        asked = composed()["mine"] | {"max_queries": 4000, "max_length_tokens": LENGTH}
        asked["miner"] |= {
            "max_ratio": None,
            "first_rank": 10,
            "depth": 40,
        }  # after so few steps all scores are near each other
        known = by_query(mined(base, own["retrieval"], (), asked, {"batch_tokens": 8192}, title="medquad")).get("retrieval", {})
        given = {"retrieval": [row for row in own["retrieval"] if len(known.get(row.query, ())) >= NEGATIVES]}
        for arm in ("in batch", "hard"):
            training = section("retrieval", STEPS)
            training["tasks"]["retrieval"]["num_negatives"] = NEGATIVES if arm == "hard" else 0
            negatives = {"retrieval": known} if arm == "hard" else None
            for name, settings in ((arm, training), (f"{arm}, shuffled", controlled(training))):
                by_collection, groups = scores(trained(base, given, settings, seed, negatives), test)
                found.setdefault(name, []).append(next(iter(by_collection.values())))
    arms = {arm: np.stack(each) for arm, each in found.items()}
    few = min(groups.values())
    control = compared(arms, "hard, shuffled", "in batch, shuffled", num_groups=few)
    write_claim(
        "mined_negatives", "Three mined negatives a query give a better retriever than the negatives of the batch alone.",
        compared(arms, "hard", "in batch", num_groups=few), arms=arms, control=control,
        control_is="the same comparison, trained on documents dealt at random among the rows", metric="nDCG@10 (MedQuAD, known items)",
        seeds=SEEDS, items=groups, steps=STEPS, about=ABOUT,
    )  # fmt: skip
    assert control.low <= 0, "what nothing can be learned from was learned better: the comparison leans to one side"
