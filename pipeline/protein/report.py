"""Of the page: what affinity models score without leaks and with them, by stratum, and where their predictions lie."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np

from pipeline.corpus.row import CHAINS, JOINED
from pipeline.evaluator.scores import Scores
from pipeline.protein.evaluator.price import pairs_of, price
from pipeline.task import KINDS

KIND = KINDS["affinity"]
MEASURES = ("spearman", "pearson", "rmse")


def affinity_parts(
    scores: Mapping[str, Scores], items: Mapping[str, Any], controls: Mapping[str, Sequence[str]], evaluators: Mapping[str, Any],
    final: str, limits: Mapping[str, Any],
) -> dict[str, Any] | None:  # fmt: skip
    """What `affinity.html` shows; None where no model was asked for affinities. ``controls``: by model those of the same training on
    another deal. ``limits`` say how intervals are drawn."""
    test = {model: {n: one for n, one in at["test"].items() if one["kind"] == KIND.name} for model, at in items.items()}
    if not any(test.values()):
        return None
    prices = []
    for model, name, other, control in pairs_of(test, controls):
        cost = price(evaluators[KIND.name], test[model][name], test[other][control], **limits)
        own, dealt = scores[model].test[name], scores[other].test[control]
        prices.append({
            "model": model, "name": name, "control": control, "price": cost,
            "own": own["strata"]["all"]["spearman"], "dealt": dealt["strata"]["all"]["spearman"],
            "rmse": own["strata"]["all"]["rmse"], "dealt_rmse": dealt["strata"]["all"]["rmse"],
            "shuffled": own["others"]["shuffled"], "num_items": (own["num_items"], dealt["num_items"]),
        })  # fmt: skip
    strata = {
        name: {model: at[name]["strata"] for model, at in ((m, s.test) for m, s in scores.items()) if name in at}
        for name in sorted({name for at in test.values() for name in at})
    }
    columns = {name: sorted({s for of_model in rows.values() for s in of_model}) for name, rows in strata.items()}
    shown = [(m, n) for m, n in [(final, name) for name in test.get(final, {})]]
    shown += [(other, control) for model, _, other, control in pairs_of(test, controls) if model == final and other != final]
    kinds = {text for at in test.values() for one in at.values() for text in one["strata"]}
    joined = any(f"{CHAINS}={JOINED}" in text.split(";") for text in kinds)
    things = "chain, or side whose chains are joined without a mark," if joined else "chain"
    values = [value for at in test.values() for one in at.values() for value in one["score"]]
    return {
        "things": things,
        "range": (min(values), max(values)),
        "prices": prices,
        "strata": strata,
        "columns": columns,
        "measures": MEASURES,
        "scatter": _scatter(test, shown),
    }


def _scatter(test: Mapping[str, Any], shown: list[tuple[str, str]]) -> str:
    """Predicted against measured pKd, with the line on which the two are equal, as SVG without date or random ids."""
    mpl.use("svg")
    from matplotlib import pyplot as plt

    if not shown:
        return ""
    with mpl.rc_context({"svg.hashsalt": "tributary", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure, axes = plt.subplots(1, len(shown), figsize=(3.4 * len(shown), 3.2), squeeze=False, layout="constrained")
        for axis, (model, name) in zip(axes[0], shown, strict=True):
            measured, predicted = (np.asarray(test[model][name][key]) for key in ("score", "prediction"))
            ends = [float(min(measured.min(), predicted.min())), float(max(measured.max(), predicted.max()))]
            axis.plot(ends, ends, "-", color="0.5", linewidth=1, label="predicted = measured")
            axis.plot(measured, predicted, ".", markersize=3, alpha=0.5)
            error = float(np.sqrt(((predicted - measured) ** 2).mean()))
            place = " @ ".join(filter(None, (test[model][name][key] for key in ("corpus", "deal"))))
            axis.set(
                title=f"{model} on {place}\nRMSE {error:.2f} pKd",
                xlabel="measured pKd",
                ylabel="predicted pKd",
            )
            axis.set_aspect("equal", adjustable="datalim")
            axis.legend(frameon=False, fontsize=7)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
        plt.close(figure)
    return "<svg" + text.getvalue().partition("<svg")[2]
