"""final: the model that validation prefers, in every form it can be used in, with a card.

Reads:  data/metrics/evaluate/, data/evaluated/, data/curated/, checkpoints/
Writes: checkpoints/final/, data/metrics/final.json (what each form loses on test rows)
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipeline._version import __version__
from pipeline.build import build
from pipeline.checkpoint import ARCHITECTURE, PROVENANCE, read_json, whole_directory, write_json
from pipeline.corpus.collection import Collection, Encode, collections
from pipeline.corpus.files import corpora
from pipeline.encoder.directory import weights_hash
from pipeline.encoder.encoder import Encoder
from pipeline.evaluator.comparison import differences
from pipeline.evaluator.gate import Stand, stand
from pipeline.evaluator.items import grouped
from pipeline.evaluator.scores import Scores, averaged, by_kind, identity, means, unlike
from pipeline.models import merges
from pipeline.task import kind_of
from pipeline.training.prepare import prepare

METRICS, EVALUATED, CURATED = Path("data/metrics/evaluate"), Path("data/evaluated"), Path("data/curated")
TEMPLATES = Path(__file__).parent / "final_templates"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The model that becomes final, the best single one, how each merge stands against that, and what that says."""

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
        write_json(folder / "chosen.json", {
            "model": verdict.final, "verdict": verdict.sentence, "test": scores[verdict.final].test,
            "best_single": verdict.best_single, "refused": verdict.refused, "sha256": weights_hash(source),
            "merges": {name: asdict(one) for name, one in verdict.merges.items()}, "rows": verdict.rows,
        })  # fmt: skip
        encoder = Encoder.load(folder)
        forms = _forms(cfg, runtime, folder, encoder, evaluators)
        (folder / "README.md").write_text(_card(cfg, verdict, scores, forms, folder, encoder), encoding="utf-8")
    measured = {
        name: {key: form[key] for key in ("test", "vector_bytes", "farthest") if key in form} for name, form in forms.items()
    }
    write_json(out / "data/metrics/final.json", measured)
    for name, form in forms.items():
        changes = [f"{at} {one['change']:+.4f}" for at, one in form.get("test", {}).items()]
        print(f"{name}: " + (", ".join(changes) or f"equal within {form['farthest']:.1e}"))
    return {f"final/{name}": value for name, value in scores[verdict.final].main().items()}


def judge(
    cfg: Mapping[str, Any],
    scores: Mapping[str, Scores],
    items: Mapping[str, Any],
    evaluators: Mapping[str, Any],
) -> Verdict:
    """Decided on validation alone; test scores are only shown."""
    section = cfg["final"]
    merged = merges(cfg["models"])
    known = [name for name in section["candidates"] if name in cfg["models"] and name not in merged]
    singles = [name for name in known if averaged(evaluators, scores[name].validation)] or known
    if silent := sorted(set(known) - set(singles)):
        print(f"{', '.join(silent)}: no score on validation rows, so no candidates")
    if not singles:
        raise ValueError(
            f"final.candidates names no single model that is evaluated: {section['candidates']}; add one to `models` in params.yaml"
        )
    mean_of = means(evaluators, {model: scores[model].validation for model in (*singles, *merged)})
    best = max(singles, key=lambda name: mean_of[name])
    own = items[best]["validation"]
    limits = {name: section[name] for name in ("resamples", "confidence", "margin", "task_confidence")}
    stands = stand(evaluators, own, {name: items[name]["validation"] for name in merged}, **limits, seed=cfg["seed"])
    passed = [name for name, one in stands.items() if one.accepted]
    final = max(passed, key=lambda name: mean_of[name]) if passed else best
    unseen = unlike(scores[best].test, {one["task"] for one in own.values()})
    rows = _rows(stands, own, section, unseen)
    if passed:
        one = stands[final]
        worst = min(one.tasks, key=lambda task: one.tasks[task].low)
        sentence = (
            f"{final} is final: on validation its mean over tasks is {one.mean.value:.4f} above {best}, the best single model "
            f"({one.mean.low:+.4f} to {one.mean.high:+.4f} for all merges together), and no task is lost by {section['margin']:g} or more "
            f"({worst}, the least sure: {one.tasks[worst].value:+.4f}, bound {one.tasks[worst].low:+.4f})."
        )
    else:
        reason = "no merge is better beyond chance without risk to a task" if stands else "there was no merge to choose from"
        if merged and not stands:
            reason = "validation holds no rows by which a merge could be told from it"
        sentence = f"{best}, the best single model on validation, is final: {reason}."
    return Verdict(final, best, stands, [name for name in merged if name not in passed], sentence, rows)


def _rows(stands: Mapping[str, Stand], own: Mapping[str, Any], section: Mapping[str, Any], unseen: Sequence[str]) -> str:
    """What the validation rows could have shown; empty without merges that answer anything otherwise."""
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
            f" That is more than the margin of {section['margin']:g} on {' and '.join(weak)}: a merge that equals the best single model "
            f"there may be refused for want of rows; more validation rows would tell."
        )
    if unseen:
        text += f" Of {' and '.join(unseen)} validation holds no rows: nothing was asked of a merge there."
    return text


def _forms(
    cfg: Mapping[str, Any], runtime: Mapping[str, Any], folder: Path, encoder: Encoder, evaluators: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Make each form in ``folder``, and measure it against the model itself on test rows."""
    section, cut = cfg["final"], cfg["evaluate"]["max_length_tokens"]
    forms = {name: build(node) for name, node in sorted(section["forms"].items()) if node is not None}
    forms = dict(sorted(forms.items(), key=lambda pair: (pair[1].tolerance is None, pair[0])))  # what others build on, first
    test = [c for corpus in corpora(CURATED) for c in collections(CURATED, corpus, "test")] if forms else []
    plain = _remembering(lambda texts, side, task: encoder.encode(
        texts, max_length_tokens=cut, batch_tokens=runtime["batch_tokens"], title=f"{task} {side}", task=task, side=side, unit=True
    ), encoder)  # fmt: skip
    limits = {"resamples": section["resamples"], "confidence": section["confidence"], "seed": cfg["seed"]}
    own = _items(evaluators, plain, test) if any(form.tolerance is None for form in forms.values()) else {}
    found: dict[str, dict[str, Any]] = {}
    for name, form in forms.items():
        encode = form.make(encoder, folder, plain, max_length_tokens=cut)
        facts = {
            "path": "checkpoints/final", "file": form.file, "pad_id": encoder.pad_id, "pad_token": encoder.tokenizer.pad_token,
            "max_length_tokens": encoder.max_length_tokens, "dims": form.vector_bytes(encoder.width) // 4,
        }  # fmt: skip
        found[name] = {
            "about": form.about, "use": form.use.format(**facts), "vector_bytes": form.vector_bytes(encoder.width),
            "file": form.file, "file_bytes": (folder / form.file).stat().st_size if form.file else None,
        }  # fmt: skip
        if form.tolerance is None:
            changed = differences(evaluators, _items(evaluators, _remembering(encode, encoder), test), own, **limits)
            found[name]["test"] = {at: {"change": d.value, "low": d.low, "high": d.high} for at, d in changed.items()}
        else:
            found[name]["farthest"] = _farthest(encode, plain, test, section["texts_compared"])
            if not found[name]["farthest"] <= form.tolerance:
                raise ValueError(
                    f"final.forms.{name}: its vectors differ from the model's by {found[name]['farthest']:.1e}, more than "
                    f"{form.tolerance:.1e}; set it to null in params.yaml to go on without it, and report the encoder"
                )
    return found


def _items(evaluators: Mapping[str, Any], encode: Encode, test: Sequence[Collection]) -> dict[str, Any]:
    return {c.name: {**identity(c), **grouped(evaluators[kind_of(c).name].evaluate(encode, c)[1], c)} for c in test}


def _remembering(encode: Encode, encoder: Encoder) -> Encode:
    """``encode``, each text with the same prompt once."""
    known: dict[tuple[str, str], np.ndarray] = {}

    def remembered(texts: Sequence[str], side: str, task: str) -> np.ndarray:
        prompt = encoder.reading(task, side)
        new = [text for text in dict.fromkeys(texts) if (prompt, text) not in known]
        if new:
            known.update({(prompt, text): vector for text, vector in zip(new, encode(new, side, task), strict=True)})
        return np.stack([known[prompt, text] for text in texts])

    return remembered


def _farthest(encode: Encode, plain: Encode, test: Sequence[Collection], number: int) -> float:
    """The largest difference of a number of a vector, over texts spread evenly over those of each collection."""
    found = 0.0
    for c in test:
        texts = c.every_text()
        texts = texts[:: -(-len(texts) // number)]
        found = max(found, float(np.abs(encode(texts, "query", c.task) - plain(texts, "query", c.task)).max()))
    return found


def _card(
    cfg: Mapping[str, Any], verdict: Verdict, scores: Mapping[str, Scores], forms: Mapping[str, Any], folder: Path,
    encoder: Encoder,
) -> str:  # fmt: skip
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
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        autoescape=False,  # noqa: S701  Markdown
    )  # fmt: skip
    return environment.get_template("card.md").render(
        verdict=verdict, names=names, metric={name: own[name]["metric"] for name in names}, forms=forms, data=data,
        scores={model: one.test for model, one in scores.items()}, encoder=cfg["encoder"],
        came_from=f"the weights of {given}" if given else "weights drawn at random, trained from scratch here",
        affinity=(folder / ARCHITECTURE).is_file(),
        confidence=cfg["final"]["confidence"], inputs=provenance["inputs"], version=__version__,
        evaluated_tokens=cfg["evaluate"]["max_length_tokens"], sha256=weights_hash(folder),
        model=encoder,
    )  # fmt: skip
