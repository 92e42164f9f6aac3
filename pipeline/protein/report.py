"""Parts of the page about affinity models: what they score without leaks and with them, by stratum, where their predictions lie, and
how the final one is used."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.corpus.row import CHAINS, JOINED
from pipeline.evaluator.price import pairs_of, price
from pipeline.evaluator.scores import Entries
from pipeline.report.columns import place
from pipeline.report.gather import FINAL, Facts
from pipeline.report.pictures import figure
from pipeline.task import KINDS

TEMPLATES = Path(__file__).parent / "templates"
KIND = KINDS["affinity"]
MEASURES = ("spearman", "pearson", "rmse")


def affinity(facts: Facts) -> dict[str, Any] | None:
    """None where no model was asked for affinities."""
    test = {model: {n: one for n, one in at.items() if one["kind"] == KIND.name} for model, at in facts.items.items()}
    if not any(test.values()):
        return None
    strata = {
        name: {model: at[name]["strata"] for model, at in ((m, s.test) for m, s in facts.scores.items()) if name in at}
        for name in sorted({name for at in test.values() for name in at})
    }
    kinds = {text for at in test.values() for one in at.values() for text in one["strata"]}
    joined = any(f"{CHAINS}={JOINED}" in text.split(";") for text in kinds)
    values = [value for at in test.values() for one in at.values() for value in one["score"]]
    shown = [(facts.final, name) for name in test.get(facts.final, {})]
    pairs = pairs_of(test, facts.controls)
    shown += [(other, control) for model, _, other, control in pairs if model == facts.final and other != facts.final]
    return {
        "final": facts.final,
        "confidence": facts.limits["confidence"],
        "things": "chain, or side whose chains are joined without a mark," if joined else "chain",
        "range": (min(values), max(values)),
        "prices": _prices(facts, test, pairs),
        "strata": strata,
        "columns": {name: sorted({s for of_model in rows.values() for s in of_model}) for name, rows in strata.items()},
        "measures": MEASURES,
        "scatter": _scatter(test, shown),
    }


def predict(facts: Facts) -> dict[str, Any] | None:
    """How the final model predicts affinities; None where it does not."""
    predicts = any(one["kind"] == KIND.name for one in facts.items[facts.final].values())
    return {"path": str(FINAL)} if predicts else None


def _prices(facts: Facts, test: Mapping[str, Entries], pairs: Sequence[tuple[str, str, str, str]]) -> list[dict[str, Any]]:
    limits = {name: facts.limits[name] for name in ("resamples", "confidence")} | {"seed": facts.seed}
    found = []
    for model, name, other, control in pairs:
        own, dealt = facts.scores[model].test[name], facts.scores[other].test[control]
        found.append(
            {
                "model": model,
                "name": name,
                "price": price(facts.evaluators[KIND.name], test[model][name], test[other][control], **limits),
                "own": own["strata"]["all"]["spearman"],
                "dealt": dealt["strata"]["all"]["spearman"],
                "rmse": own["strata"]["all"]["rmse"],
                "dealt_rmse": dealt["strata"]["all"]["rmse"],
                "shuffled": own["others"]["shuffled"],
                "num_items": (own["num_items"], dealt["num_items"]),
            }
        )
    return found


def _scatter(test: Mapping[str, Entries], shown: Sequence[tuple[str, str]]) -> str:
    """Predicted against measured pKd, with the line on which the two are equal."""
    if not shown:
        return ""
    with figure(len(shown), width=3.4, height=3.2) as (axes, out):
        for axis, (model, name) in zip(axes, shown, strict=True):
            measured, predicted = (np.asarray(test[model][name][key]) for key in ("score", "prediction"))
            ends = [float(min(measured.min(), predicted.min())), float(max(measured.max(), predicted.max()))]
            axis.plot(ends, ends, "-", color="0.5", linewidth=1, label="predicted = measured")
            axis.plot(measured, predicted, ".", markersize=3, alpha=0.5)
            error = float(np.sqrt(((predicted - measured) ** 2).mean()))
            title = f"{model} on {place(test[model][name])}\nRMSE {error:.2f} pKd"
            axis.set(title=title, xlabel="measured pKd", ylabel="predicted pKd")
            axis.set_aspect("equal", adjustable="datalim")
            axis.legend(frameon=False, fontsize=7)
    return out[0]
