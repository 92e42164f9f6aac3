"""Which model becomes final, decided on validation alone.

The best single model stands unless a merge or a derived model passes the gate against it. Of all of them, those that the run made out of
the model off the shelf must have kept enough of it (`pipeline.evaluator.retention`). Where no single model has, the model off the shelf
itself stands in their place; where that is not evaluated, of those that kept enough the best on validation, or the one that kept most.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.evaluator.gate import Stand, stand
from pipeline.evaluator.retention import least_kept
from pipeline.evaluator.scores import Scores, at_home, averaged, means, unlike
from pipeline.models import called, challengers, made_here, off_the_shelf


@dataclass(frozen=True, slots=True)
class Verdict:
    """The model that becomes final, the best single one, how each merge and derived model (``merges``) stands against that, and what that
    says. ``kept``: by model, how far it agrees with the model off the shelf, where that was measured; ``forgot``: those that kept too
    little to become final. ``best_single`` is the model off the shelf where the page trains none."""

    final: str
    best_single: str
    merges: dict[str, Stand]
    refused: list[str]
    kept: dict[str, float]
    forgot: list[str]
    sentence: str
    rows: str


def judge(
    cfg: Mapping[str, Any],
    scores: Mapping[str, Scores],
    items: Mapping[str, Any],
    evaluators: Mapping[str, Any],
) -> Verdict:
    """Test scores are not looked at but for the tasks of which validation holds no rows."""
    section, models, guards = cfg["final"], cfg["models"], cfg["evaluate"]["guards"]
    validation = {name: at_home(scores[name].validation, guards) for name in models}
    gated, shelf = challengers(models), off_the_shelf(models)
    kept = {name: least for name in models if (least := least_kept(scores[name].retention)) is not None}
    forgot = _forgot(models, kept, section["retention"])
    singles = _singles(section["candidates"], models, validation, evaluators)
    enough = [name for name in singles if name not in forgot]
    fallback = not enough
    if fallback:
        enough = [shelf] if shelf is not None else [max(singles, key=lambda name: kept[name])]
    choice = [*enough, *gated]
    mean_of = (
        means(evaluators, {model: validation[model] for model in choice}) if len(choice) > 1 else dict.fromkeys(choice, 0.0)
    )
    best = max(enough, key=lambda name: mean_of[name])
    own = at_home(items[best]["validation"], guards)
    limits = {name: section[name] for name in ("resamples", "confidence", "margin", "task_confidence")}
    others = {name: at_home(items[name]["validation"], guards) for name in gated}
    stands = stand(evaluators, own, others, **limits, seed=cfg["seed"])
    passed = [name for name, one in stands.items() if one.accepted and name not in forgot]
    if best in forgot:  # it stands for want of another: whatever kept enough comes before it
        passed = [name for name in gated if name not in forgot]
    final = max(passed, key=lambda name: mean_of[name]) if passed else best
    unseen = unlike(at_home(scores[best].test, guards), {one["task"] for one in own.values()})
    rows = _rows(stands, own, section, unseen, called(models)[0])
    sentence = _sentence(final, best, stands, called(models) if gated else None, section["margin"], fallback)
    told = _told(final, kept, forgot, section["retention"], fallback and bool(singles), shelf)
    refused = [name for name in gated if name not in passed]
    return Verdict(final, best, stands, refused, kept, forgot, f"{sentence}{told}", rows)


def _forgot(models: Mapping[str, str], kept: Mapping[str, float], margin: float | None) -> list[str]:
    """What kept less than ``margin`` of the model off the shelf, of what the run made out of it."""
    return sorted(name for name, one in kept.items() if margin is not None and one < margin and made_here(models[name]))


def _singles(
    candidates: Sequence[str], models: Mapping[str, str], validation: Mapping[str, Any], evaluators: Mapping[str, Any]
) -> list[str]:
    known = [name for name in candidates if name in models and name not in challengers(models)]
    singles = [name for name in known if averaged(evaluators, validation[name])] or known
    if silent := sorted(set(known) - set(singles)):
        print(f"{', '.join(silent)}: no score on validation rows, so no candidates")
    if not singles and off_the_shelf(models) is None:
        raise ValueError(
            f"final.candidates names no single model that is evaluated: {candidates}; add one to `models` in params.yaml"
        )
    return singles


def _sentence(
    final: str, best: str, stands: Mapping[str, Stand], gated: tuple[str, str] | None, margin: float, fallback: bool
) -> str:
    """``gated``: what one and all of those are called that had to pass the gate; None where there were none. ``fallback``: ``best`` is
    no candidate by its own merit."""
    role = "the model that stands for want of a single one" if fallback else "the best single model"
    if final != best:
        one = stands.get(final)
        assert gated is not None
        if one is None or not one.accepted:
            return (
                f"{final} is final: of the {gated[1]} that kept enough of the model off the shelf it is the best on validation."
            )
        worst = min(one.tasks, key=lambda task: one.tasks[task].low)
        return (
            f"{final} is final: on validation its mean over tasks is {one.mean.value:.4f} above {best}, {role} "
            f"({one.mean.low:+.4f} to {one.mean.high:+.4f} for all {gated[1]} together), and no task is lost by {margin:g} or more "
            f"({worst}, the least sure: {one.tasks[worst].value:+.4f}, bound {one.tasks[worst].low:+.4f})."
        )
    if gated is None:
        reason = "there was no merge to choose from"
    elif stands:
        reason = f"no {gated[0]} is better beyond chance without risk to a task"
    else:
        reason = f"validation holds no rows by which a {gated[0]} could be told from it"
    return f"{best}, {role if fallback else role + ' on validation'}, is final: {reason}."


def _told(
    final: str, kept: Mapping[str, float], forgot: Sequence[str], margin: float | None, fallback: bool, shelf: str | None
) -> str:
    """What retention had to say in it; nothing where it was not measured, or not asked for."""
    if margin is None or final not in kept:
        return ""
    text = f" {final} agrees to {kept[final]:.3f} with the model off the shelf on texts outside the tasks; {margin:g} is asked for."
    if forgot:
        text += f" Below that, so not final: {', '.join(f'{name} {kept[name]:.3f}' for name in forgot)}."
    if fallback:
        text += " No trained single model keeps enough: lower its rates (pace.train_lr, optimizer.layer_decay), go back a part of the way"
        text += " (derivation `back`), or lower final.retention."
        text += " Add `backbone: checkpoints/backbone` under `models` to have it stand in their place." if shelf is None else ""
    return text


def _rows(
    stands: Mapping[str, Stand], own: Mapping[str, Any], section: Mapping[str, Any], unseen: Sequence[str], gated: str
) -> str:
    """What the validation rows could have shown; nothing where none answers anything otherwise. ``gated``: what one is called."""
    told = [one for one in stands.values() if one.differs]
    if not told:
        return ""
    counted = ", ".join(
        f"{name} {len(one['id'])} items in {len(set(one['group']))} groups" for name, one in sorted(own.items())
    )
    gain = max(one.detectable for one in told)
    apart = {task: max(one.tasks[task].value - one.tasks[task].low for one in told) for task in told[0].tasks}
    text = f"Validation rows: {counted}. A gain of the mean is told from chance from {gain:.4f} on"
    text += f", a loss is ruled out from {', '.join(f'{d:.4f} ({task})' for task, d in apart.items())} on."
    weak = [task for task, width in apart.items() if width > section["margin"]]
    if weak:
        text += (
            f" That is more than the margin of {section['margin']:g} on {' and '.join(weak)}: a {gated} that equals the best single model "
            f"there may be refused for want of rows; more validation rows would tell."
        )
    if unseen:
        text += f" Of {' and '.join(unseen)} validation holds no rows: nothing was asked of a {gated} there."
    return text
