"""Binding affinity: are complexes ranked as their measured pKd, and how far off are the values?

Spearman (the main score), Pearson, and RMSE in units of pKd, with intervals, over all complexes and by stratum. ``shuffled`` is
Spearman with the receptors dealt anew among the complexes: what a model keeps there it does not owe to who binds whom.

Intervals draw whole groups (a PDB entry with its mutants), as complexes of one group are no independent evidence.

Source of the three measures: arXiv:2505.20036.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float, Int

from pipeline.corpus.collection import Complexes
from pipeline.evaluator.items import RankedPairs, item_counts
from pipeline.metric import draw_counts, drawn_spearman, interval, spearman

Predict: TypeAlias = Callable[[Sequence[str], Sequence[str]], Float[np.ndarray, " N"]]  # ligands, receptors -> pKd
Values: TypeAlias = Float[np.ndarray, "*R N"]


def pearson(a: Values, b: Values) -> Float[np.ndarray, "*R"]:
    """Along the last axis; 0 where one side is constant."""
    x, y = (side - side.mean(-1, keepdims=True) for side in (a, b))
    spread = np.sqrt((x**2).sum(-1) * (y**2).sum(-1))
    return np.divide((x * y).sum(-1), spread, out=np.zeros_like(spread), where=spread > 1e-12)


def rmse(predicted: Values, score: Values) -> Float[np.ndarray, "*R"]:
    return np.sqrt(((predicted - score) ** 2).mean(-1))


MEASURES = {"spearman": spearman, "pearson": pearson, "rmse": rmse}
ENDS = {"spearman": (-1.0, 1.0), "pearson": (-1.0, 1.0), "rmse": (0.0, 16.0)}  # pKd lies in 0 to 16


class Affinity(RankedPairs):
    """``least`` complexes, of two or more groups, make a stratum worth a number."""

    kind = "affinity"
    main = "spearman"
    lowest = -1.0
    answer = "prediction"
    predicts = True  # it asks for values of complexes, not for vectors of texts

    def __init__(self, *, least: int, seed: int) -> None:
        self.least = least
        self.seed = seed

    def evaluate(self, predict: Predict, collection: Complexes) -> tuple[dict[str, float], dict[str, list[Any]]]:
        """``(scores, items)``; per complex its id, predicted and measured pKd, and its strata."""
        keys, ligands, receptors, gold = (list(part) for part in zip(*collection.pairs, strict=True))
        order = list(range(len(receptors)))
        random.Random(f"{self.seed} partners").shuffle(order)
        asked = predict(
            [*ligands, *ligands], [*receptors, *(receptors[i] for i in order)]
        )  # both at once: the chains are the same
        predicted, strangers = np.split(np.asarray(asked, dtype=np.float64), 2)
        score = np.asarray(gold)
        if not np.isfinite(predicted).all():
            raise ValueError(
                f"{collection.corpus}: the model gives NaN for complex {keys[int(np.argmin(np.isfinite(predicted)))]}; "
                f"look at its training's loss"
            )
        scores = {name: float(measure(predicted, score)) for name, measure in MEASURES.items()}
        items = {
            "id": keys,
            "prediction": predicted.tolist(),
            "score": gold,
            "strata": list(collection.strata),
        }
        return {**scores, "shuffled": float(spearman(strangers, score))}, items

    def of(self, cosine: Values, score: Values) -> Float[np.ndarray, "*R"]:
        return spearman(cosine, score)

    def of_draws(
        self, cosine: Float[np.ndarray, " N"], score: Float[np.ndarray, " N"], counts: Int[np.ndarray, "R N"]
    ) -> Float[np.ndarray, " R"]:
        return drawn_spearman(cosine, score, counts)

    def details(self, items: dict[str, list[Any]], *, resamples: int, confidence: float, seed: int) -> dict[str, Any]:
        """``strata``: by ``name=value``, and under ``all``: the number of complexes and of groups and, of each measure, value, low
        and high. A single group gives no interval: all that a measure can be."""
        of_stratum: dict[str, list[int]] = {"all": list(range(len(items["id"])))}
        for i, text in enumerate(items["strata"]):
            for stratum in filter(None, text.split(";")):
                of_stratum.setdefault(stratum, []).append(i)
        limits = {"resamples": resamples, "confidence": confidence, "seed": seed}
        found = {
            stratum: _measured({key: [items[key][i] for i in rows] for key in ("prediction", "score", "group")}, **limits)
            for stratum, rows in sorted(of_stratum.items())
            if stratum == "all" or (len(rows) >= self.least and len({items["group"][i] for i in rows}) > 1)
        }
        return {"strata": found}


def _measured(items: dict[str, list[Any]], *, resamples: int, confidence: float, seed: int) -> dict[str, Any]:
    predicted, score = np.asarray(items["prediction"]), np.asarray(items["score"])
    num_groups = len(set(items["group"]))
    counts = item_counts(items["group"], draw_counts(num_groups, resamples, seed=seed))
    every = np.arange(len(score))
    drawn = [(predicted[rows], score[rows]) for rows in (np.repeat(every, count) for count in counts)]
    found: dict[str, Any] = {"num_items": len(score), "num_groups": num_groups}
    for name, measure in MEASURES.items():
        limits = ENDS[name]
        if num_groups > 1:
            values = np.asarray([float(measure(p, s)) for p, s in drawn])
            limits = interval(values, confidence, num_items=num_groups, ends=limits)
        found[name] = [float(measure(predicted, score)), *limits]
    return found
