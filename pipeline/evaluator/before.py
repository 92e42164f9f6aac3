"""Before and after: what a person had off the shelf, and what the run made of it, on test rows.

The difference is paired, by draws of whole groups, and comes by the same reckoning as the gate's (`pipeline.evaluator.gate`). Where it is
not beyond chance, the sentence names the likeliest reason, in this order: nothing was chosen but the model off the shelf; training
hardly moved the model; it moved it for the worse; it saw few of the train rows; there were few; the test rows are too few to tell.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.evaluator.comparison import Items
from pipeline.evaluator.gate import Stand, stand, weighed
from pipeline.evaluator.scores import Scores, at_home, averaged, mean

FEW_ROWS = 1000  # train rows: our judgement; a few hundred pairs rarely move a trained model beyond chance
MOST_SEEN = 0.9  # share of the train rows below which a longer recipe is the first thing to try: our judgement
UNMOVED = 0.999  # agreement with the model off the shelf from which a model counts as hardly moved


@dataclass(frozen=True, slots=True)
class Before:
    """``shelf``: what the model off the shelf is called; None where it is not evaluated. ``rows``: by model, the ``test`` entries of the
    corpora that models are made for, and the ``mean`` over tasks, None where a model does not answer them all. ``difference``: final
    less shelf, `Stand` as a mapping; None where they cannot be compared. ``better``: None where chance would do."""

    shelf: str | None
    final: str
    rows: dict[str, dict[str, Any]]
    difference: dict[str, Any] | None
    better: bool | None
    sentence: str


def before_and_after(
    evaluators: Mapping[str, Any],
    scores: Mapping[str, Scores],
    items: Mapping[str, Items],
    *,
    final: str,
    shelf: str | None,
    baselines: Sequence[str],
    guards: Sequence[str],
    train_rows: int,
    seen: float | None,
    kept: float | None,
    limits: Mapping[str, Any],
) -> Before:
    """``items`` are of test rows, by model. ``seen``: the share of the train rows that trainings looked at, None where they kept no count.
    ``kept``: agreement of the final model with the shelf, None where it was not measured. ``limits``: ``resamples``, ``confidence``,
    ``margin`` and ``seed``."""
    shown: dict[str, None] = dict.fromkeys([*([shelf] if shelf else []), *baselines, final])
    rows = {name: _row(evaluators, at_home(scores[name].test, guards), at_home(scores[final].test, guards)) for name in shown}
    found = _difference(evaluators, items, final, shelf, guards, limits) if shelf not in (None, final) else None
    better = None if found is None else True if found.mean.low > 0 else False if found.mean.high < 0 else None
    entries = at_home(scores[final].test, guards)
    if entries and all(getattr(evaluators[one["kind"]], "predicts", False) for one in entries.values()):
        sentence = f"{final} predicts what the model off the shelf has no answer to, so it stands beside the baselines alone."
    else:
        sentence = _sentence(final, shelf, found, better, train_rows=train_rows, seen=seen, kept=kept, entries=entries)
    if {*scores} <= {shelf, *baselines}:
        sentence = f"{final}, the model off the shelf, is final: the page makes no other."
    sentence += _ahead(rows, final, baselines)
    return Before(shelf, final, rows, None if found is None else asdict(found), better, sentence)


def _ahead(rows: Mapping[str, Any], final: str, baselines: Sequence[str]) -> str:
    """Where a baseline scores higher than the final model, as measured; nothing where none does."""
    own = rows[final]["test"]
    told = [
        f"{name} on {at} ({one['value']:.3f}, {final} {own[at]['value']:.3f})"
        for name in baselines
        for at, one in rows[name]["test"].items()
        if one["value"] > own[at]["value"]
    ]
    return f" Not trained, and ahead of it: {', '.join(told)}." if told else ""


def _row(evaluators: Mapping[str, Any], own: Mapping[str, Any], of_final: Mapping[str, Any]) -> dict[str, Any]:
    counted = averaged(evaluators, of_final)
    whole = bool(counted) and all(name in own for name in counted)
    return {"test": {name: own[name] for name in of_final if name in own}, "mean": mean(own, counted) if whole else None}


def _difference(
    evaluators: Mapping[str, Any],
    items: Mapping[str, Items],
    final: str,
    shelf: str | None,
    guards: Sequence[str],
    limits: Mapping[str, Any],
) -> Stand | None:
    """On the collections that both answer; None where there is none."""
    own, theirs = (at_home(items[str(name)], guards) for name in (final, shelf))
    both = sorted(set(weighed(evaluators, own)) & set(weighed(evaluators, theirs)))
    parts = ({name: of[name] for name in both} for of in (theirs, own))
    before, after = parts
    two_sided = (1 + limits["confidence"]) / 2
    return stand(evaluators, before, {final: after}, **limits, task_confidence=two_sided).get(final) if both else None


def _sentence(
    final: str,
    shelf: str | None,
    found: Stand | None,
    better: bool | None,
    *,
    train_rows: int,
    seen: float | None,
    kept: float | None,
    entries: Mapping[str, Mapping[str, Any]],
) -> str:
    if shelf is None:
        return (
            f"Whether {final} is better than the model off the shelf is not known: that is not evaluated. Add "
            f"`backbone: checkpoints/backbone` under `models` in params.yaml."
        )
    if final == shelf:
        return f"{final}, the model off the shelf, is final: nothing better came of it. {_try_rows(train_rows)}"
    if found is None:
        return f"{final} and {shelf}, the model off the shelf, answer no task in common, so they cannot be compared."
    tasks = "; ".join(f"{task} {_bound(one)}" for task, one in found.tasks.items())
    # the bound of a task reckons with rare losses as well; of one task alone the mean's decides, so that is told
    told = (
        f"mean over tasks {_bound(found.mean)}; {tasks}" if len(found.tasks) > 1 else f"{min(found.tasks)} {_bound(found.mean)}"
    )
    if better:
        return f"{final} is better than {shelf}, the model off the shelf, on test rows: {told}."
    verdict = "is worse than" if better is False else "is not shown to be better than"
    reason = _reason(found, better, train_rows, seen, kept, entries)
    return f"{final} {verdict} {shelf}, the model off the shelf, on test rows: {told}. {reason}"


def _bound(one: Any) -> str:
    return f"{one.value:+.3f} ({one.low:+.3f} to {one.high:+.3f})"


def _reason(
    found: Stand,
    better: bool | None,
    train_rows: int,
    seen: float | None,
    kept: float | None,
    entries: Mapping[str, Mapping[str, Any]],
) -> str:
    if not found.differs or (kept is not None and kept >= UNMOVED):
        agree = "" if kept is None else f" (agreement {kept:.4f})"
        return (
            f"Likely reason: the training hardly moved the model{agree}. Try a longer recipe (`choose: {{recipe: standard}}`, then "
            f"thorough) or a higher rate (pace.train_lr)."
        )
    if better is False:
        return (
            "Likely reason: the train rows teach something else than the test rows ask for, or the rate is too high. Look at the dropped "
            "and the worst rows in the report; try half the rate (pace.train_lr), or a model half way back (derivation `back`)."
        )
    if seen is not None and seen < MOST_SEEN:
        return f"Likely reason: the trainings saw {100 * seen:.0f} % of the train rows. Try a longer recipe (choose.recipe)."
    if train_rows < FEW_ROWS:
        return f"Likely reason: {_few(train_rows)}. {_try_rows(train_rows)}"
    counted = ", ".join(
        f"{name} {one['num_items']} items in {one['num_groups']} groups" for name, one in sorted(entries.items())
    )
    return (
        f"Likely reason: the test rows are too few to tell. Of {counted}, a gain of the mean is told from chance from "
        f"{found.detectable:.3f} on. Try more test rows (curate.split.test), or a longer recipe (choose.recipe) for a larger gain."
    )


def _few(train_rows: int) -> str:
    return f"there are only {train_rows} train rows"


def _try_rows(train_rows: int) -> str:
    if train_rows < FEW_ROWS:
        return "Try more rows of your own, or synthetic ones."
    return "Try a longer recipe (choose.recipe), another rate (pace.train_lr), or cleaner rows."


def table(before: Mapping[str, Any], confidence: float) -> list[list[str]]:
    """``before`` (a `Before` as a mapping) as lines of cells, the heads first; then a line of the difference, where there is one."""
    rows, shelf, final = before["rows"], before["shelf"], before["final"]
    heads = {name: one["metric"] for name, one in rows[final]["test"].items()}
    lines = [["test rows", *(f"{name} ({metric})" for name, metric in heads.items()), "mean over tasks"]]
    for model, row in rows.items():
        role = "off the shelf" if model == shelf else "this run's" if model == final else "not trained"
        cells = [_cell(row["test"][name]) if name in row["test"] else "-" for name in heads]
        lines.append([f"{model} ({role})", *cells, "-" if row["mean"] is None else f"{row['mean']:.4f}"])
    if (found := before["difference"]) is not None:
        of_label = [
            one["task"] for one in rows[final]["test"].values()
        ]  # a task of several collections has one difference for all
        of_task = found["tasks"] if len(found["tasks"]) > 1 else dict.fromkeys(found["tasks"], found["mean"])
        tasks = [of_task.get(task) if of_label.count(task) == 1 else None for task in of_label]
        told = ["-" if one is None else _signed(one) for one in (*tasks, found["mean"])]
        lines.append([f"{final} less {shelf} ({100 * confidence:.0f} %)", *told])
    return lines


def _cell(entry: Mapping[str, Any]) -> str:
    return f"{entry['value']:.4f} [{entry['interval']['low']:.3f}, {entry['interval']['high']:.3f}]"


def _signed(one: Mapping[str, float]) -> str:
    return f"{one['value']:+.4f} [{one['low']:+.3f}, {one['high']:+.3f}]"
