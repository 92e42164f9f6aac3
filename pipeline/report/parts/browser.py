"""Where the models differ: the test rows that the final model answers better or worse than another, and those it answers worst.

Every kind of task is shown whose items are rows of the corpus. How well a row is answered is for the evaluator to say (`merits`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from scipy.stats import rankdata

from pipeline.corpus.collection import Collection, Complexes, Judged, Labelled, Pairs
from pipeline.evaluator.items import RankedPairs
from pipeline.report.gather import Facts
from pipeline.task import KINDS

Lines: TypeAlias = list[tuple[str, str]]  # what it is, and its text
SECOND = {"translated": "translation", "complexes": "receptor"}  # what the second text of a pair is, by the task's shape


@dataclass(frozen=True, slots=True)
class Texts:
    """A collection as people read it: by id the ``asked`` text and what is ``given`` beside it, and the text that a ``choice`` (``first``
    of the items) stands for."""

    asked: Mapping[str, str]
    given: Mapping[str, Lines]
    choice: Callable[[str], str]


def browser(facts: Facts) -> dict[str, Any] | None:
    shown = {}
    for name, own in sorted(facts.items[facts.final].items()):
        collection, evaluator = facts.collections.get(name), facts.evaluators[own["kind"]]
        if collection is None or not evaluator.sampled:
            continue
        texts = _texts(collection, KINDS[own["kind"]].shape)
        if isinstance(evaluator, RankedPairs):
            for key, score in zip(own["id"], _placed("score", own["score"]), strict=True):
                texts.given[key].append(score)
        others = [model for model, at in facts.items.items() if model != facts.final and name in at]
        compared = [_compared(facts, evaluator, texts, name, model) for model in others]
        shown[name] = {"noun": KINDS[own["kind"]].items, "compared": compared, "worst": _worst(facts, evaluator, texts, name)}
    return {"shown": shown, "final": facts.final} if shown else None


def _compared(facts: Facts, evaluator: Any, texts: Texts, name: str, model: str) -> dict[str, Any]:
    """The rows that the final model gains most on ``model``, then those that it loses most."""
    own, other = facts.items[facts.final][name], facts.items[model][name]
    assert own["id"] == other["id"], f"{name}: the two models saw different items"
    gain = (evaluator.merits(own) - evaluator.merits(other)).tolist()
    order = sorted(range(len(gain)), key=lambda i: (gain[i], own["id"][i]))
    gained, lost = [i for i in reversed(order) if gain[i] > 0], [i for i in order if gain[i] < 0]
    said = {facts.final: _said(evaluator, texts, own), model: _said(evaluator, texts, other)}
    rows = [
        _row(texts, own["id"][i], i, said) | {"number": f"{gain[i]:+.2f}"}
        for i in [*gained[: facts.examples], *lost[: facts.examples]]
    ]
    counts = {"num_items": len(gain), "better": len(gained), "worse": len(lost)}
    return {"model": model, "rows": rows, **counts}


def _worst(facts: Facts, evaluator: Any, texts: Texts, name: str) -> list[dict[str, Any]]:
    """The rows that the final model answers worst, of those that it does not answer as well as can be."""
    own = facts.items[facts.final][name]
    merits = evaluator.merits(own).tolist()
    order = sorted((i for i in range(len(merits)) if merits[i] < 1), key=lambda i: (merits[i], own["id"][i]))
    said = {facts.final: _said(evaluator, texts, own)}
    return [_row(texts, own["id"][i], i, said) | {"number": f"{merits[i]:.2f}"} for i in order[: facts.examples]]


def _row(texts: Texts, key: str, i: int, said: Mapping[str, Lines]) -> dict[str, Any]:
    answers = [(f"{model}, {what}" if what else model, text) for model, of in said.items() for what, text in of[i : i + 1]]
    return {"asked": texts.asked[key], "given": texts.given[key], "said": answers}


def _said(evaluator: Any, texts: Texts, items: Mapping[str, Any]) -> Lines:
    """What a model answered to each row; empty where its items do not say."""
    if isinstance(evaluator, RankedPairs):
        return _placed(evaluator.answer, items[evaluator.answer])
    return [("", texts.choice(key)) for key in items.get("first", ())]


def _placed(what: str, values: list[float]) -> Lines:
    """Each value with its place, the highest first; equal values share several."""
    first, last = (rankdata([-value for value in values], method).astype(int).tolist() for method in ("min", "max"))
    places = [f"place {a}" if a == b else f"places {a} to {b}" for a, b in zip(first, last, strict=True)]
    return [(what, f"{value:.4g}, {place} of {len(values)}") for value, place in zip(values, places, strict=True)]


def _texts(collection: Collection, shape: str) -> Texts:
    if isinstance(collection, Judged):
        relevant = {
            query: next(document for document, grade in sorted(grades.items()) if grade > 0)
            for query, grades in collection.judgements.items()
        }
        given = {query: [("relevant", collection.documents[document])] for query, document in relevant.items()}
        return Texts(collection.queries, given, lambda key: collection.documents.get(key, ""))
    if isinstance(collection, Labelled):
        asked = {key: text for key, text, _ in collection.labelled}
        return Texts(asked, {key: [("class", label)] for key, _, label in collection.labelled}, str)
    assert isinstance(collection, Pairs | Complexes)
    asked = {key: text for key, text, _, _ in collection.pairs}
    second = {key: text for key, _, text, _ in collection.pairs}
    given = {key: [(SECOND.get(shape, "beside"), text)] for key, text in second.items()}
    return Texts(asked, given, lambda key: second.get(key, ""))
