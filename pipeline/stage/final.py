"""final: the model that validation prefers, in every form it can be used in, with a card.

Reads:  data/metrics/evaluate/, data/evaluated/, data/curated/, checkpoints/
Writes: checkpoints/final/, data/metrics/final.json (what each form loses on test rows)
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipeline._version import __version__
from pipeline.build import build
from pipeline.checkpoint import ARCHITECTURE, PROVENANCE, read_json, whole_directory, write_json
from pipeline.corpus.files import corpora
from pipeline.encoder.directory import weights_hash
from pipeline.encoder.encoder import Encoder
from pipeline.evaluator.gate import Stand, stand
from pipeline.evaluator.scores import Scores, averaged, by_kind, means, unlike
from pipeline.models import called, challengers
from pipeline.stage.forms import forms_of, measured
from pipeline.training.prepare import prepare

METRICS, EVALUATED, CURATED = Path("data/metrics/evaluate"), Path("data/evaluated"), Path("data/curated")
TEMPLATES = Path(__file__).parent / "final_templates"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The model that becomes final, the best single one, how each merge and derived model (``merges``) stands against that, and what that
    says."""

    final: str
    best_single: str
    merges: dict[str, Stand]
    refused: list[str]
    sentence: str
    rows: str


def run(cfg: Mapping[str, Any], runtime: Mapping[str, Any], item: str | None, out: Path) -> dict[str, float]:
    prepare(runtime, cfg["seed"])
    evaluators = by_kind({name: build(node) for name, node in cfg["evaluate"]["evaluators"].items() if node is not None})
    models = [*cfg["baseline"], *cfg["models"]]
    scores = {name: Scores.read(METRICS / f"{name}.json") for name in models}
    items = {name: read_json(EVALUATED / f"{name}.json") for name in models}
    verdict = judge(cfg, scores, items, evaluators)
    print(verdict.sentence)
    source = Path(cfg["models"][verdict.final])
    with whole_directory(out / "checkpoints/final") as folder:
        shutil.copytree(source, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("snapshots"))
        write_json(
            folder / "chosen.json",
            {
                "model": verdict.final,
                "verdict": verdict.sentence,
                "test": scores[verdict.final].test,
                "best_single": verdict.best_single,
                "refused": verdict.refused,
                "sha256": weights_hash(source),
                "merges": {name: asdict(one) for name, one in verdict.merges.items()},
                "rows": verdict.rows,
            },
        )
        encoder = Encoder.load(folder)
        forms = forms_of(cfg, runtime, folder, encoder, evaluators, path="checkpoints/final")
        (folder / "README.md").write_text(_card(cfg, verdict, scores, forms, folder, encoder), encoding="utf-8")
    write_json(out / "data/metrics/final.json", measured(forms))
    return {f"final/{name}": value for name, value in scores[verdict.final].main().items()}


def judge(
    cfg: Mapping[str, Any],
    scores: Mapping[str, Scores],
    items: Mapping[str, Any],
    evaluators: Mapping[str, Any],
) -> Verdict:
    """Decided on validation alone; test scores are only shown."""
    section = cfg["final"]
    gated = challengers(cfg["models"])
    known = [name for name in section["candidates"] if name in cfg["models"] and name not in gated]
    singles = [name for name in known if averaged(evaluators, scores[name].validation)] or known
    if silent := sorted(set(known) - set(singles)):
        print(f"{', '.join(silent)}: no score on validation rows, so no candidates")
    if not singles:
        raise ValueError(
            f"final.candidates names no single model that is evaluated: {section['candidates']}; add one to `models` in params.yaml"
        )
    mean_of = means(evaluators, {model: scores[model].validation for model in (*singles, *gated)})
    best = max(singles, key=lambda name: mean_of[name])
    own = items[best]["validation"]
    limits = {name: section[name] for name in ("resamples", "confidence", "margin", "task_confidence")}
    stands = stand(evaluators, own, {name: items[name]["validation"] for name in gated}, **limits, seed=cfg["seed"])
    passed = [name for name, one in stands.items() if one.accepted]
    final = max(passed, key=lambda name: mean_of[name]) if passed else best
    unseen = unlike(scores[best].test, {one["task"] for one in own.values()})
    rows = _rows(stands, own, section, unseen, called(cfg["models"])[0])
    sentence = _sentence(final, best, stands, called(cfg["models"]) if gated else None, section["margin"])
    return Verdict(final, best, stands, [name for name in gated if name not in passed], sentence, rows)


def _sentence(final: str, best: str, stands: Mapping[str, Stand], gated: tuple[str, str] | None, margin: float) -> str:
    """``gated``: what one and all of those are called that had to pass the gate; None where there were none."""
    if final != best:
        one = stands[final]
        worst = min(one.tasks, key=lambda task: one.tasks[task].low)
        assert gated is not None
        return (
            f"{final} is final: on validation its mean over tasks is {one.mean.value:.4f} above {best}, the best single model "
            f"({one.mean.low:+.4f} to {one.mean.high:+.4f} for all {gated[1]} together), and no task is lost by {margin:g} or more "
            f"({worst}, the least sure: {one.tasks[worst].value:+.4f}, bound {one.tasks[worst].low:+.4f})."
        )
    if gated is None:
        reason = "there was no merge to choose from"
    elif stands:
        reason = f"no {gated[0]} is better beyond chance without risk to a task"
    else:
        reason = f"validation holds no rows by which a {gated[0]} could be told from it"
    return f"{best}, the best single model on validation, is final: {reason}."


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


def _card(
    cfg: Mapping[str, Any],
    verdict: Verdict,
    scores: Mapping[str, Scores],
    forms: Mapping[str, Any],
    folder: Path,
    encoder: Encoder,
) -> str:
    own = scores[verdict.final].test
    names = sorted(own)
    provenance = read_json(folder / PROVENANCE)
    data = []
    for corpus in corpora(CURATED):
        card = read_json(CURATED / corpus / "card.json")
        licence = cfg["ingest"]["corpora"].get(corpus, {}).get("licence", "not stated")
        data.append({"name": corpus, "kept": card["splits"], "licence": licence})
    backbone = cfg["encoder"]["backbone"]
    given = backbone.get("package") or backbone.get("name")
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701  Markdown
    )
    return environment.get_template("card.md").render(
        verdict=verdict,
        names=names,
        metric={name: own[name]["metric"] for name in names},
        forms=forms,
        data=data,
        scores={model: one.test for model, one in scores.items()},
        encoder=cfg["encoder"],
        came_from=f"the weights of {given}" if given else "weights drawn at random, trained from scratch here",
        affinity=(folder / ARCHITECTURE).is_file(),
        confidence=cfg["final"]["confidence"],
        inputs=provenance["inputs"],
        version=__version__,
        evaluated_tokens=cfg["evaluate"]["max_length_tokens"] or encoder.max_length_tokens,
        sha256=weights_hash(folder),
        model=encoder,
    )
