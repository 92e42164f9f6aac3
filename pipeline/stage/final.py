"""final: the model that validation prefers, in every form it can be used in, with a card.

Reads:  data/metrics/evaluate/, data/evaluated/, data/curated/, checkpoints/
Writes: checkpoints/final/, data/metrics/final.json (what each form loses on test rows), data/metrics/summary.json (what
        `dvc exp show` and `dvc metrics diff` show)
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipeline import manifest
from pipeline._version import __version__
from pipeline.behaviour.free_embedding import holds
from pipeline.build import build
from pipeline.checkpoint import ARCHITECTURE, PROVENANCE, SEEN, read_json, whole_directory, write_json
from pipeline.copying import copy_model
from pipeline.corpus.collection import collections
from pipeline.corpus.files import corpora
from pipeline.encoder.directory import weights_hash
from pipeline.encoder.encoder import Encoder
from pipeline.evaluator.before import Before, before_and_after, table
from pipeline.evaluator.scores import Scores, by_kind
from pipeline.evaluator.verdict import Verdict, judge
from pipeline.models import off_the_shelf
from pipeline.report.markdown import lettered
from pipeline.stage.card_facts import began_as, front_matter, source_of, trained
from pipeline.stage.forms import forms_of, measured
from pipeline.stage.in_other_words import in_other_words
from pipeline.stage.notices import notices
from pipeline.training.prepare import prepare

METRICS, EVALUATED, CURATED = Path("data/metrics/evaluate"), Path("data/evaluated"), Path("data/curated")
TEMPLATES = Path(__file__).parent / "final_templates"
ENVIRONMENT = Environment(
    loader=FileSystemLoader(TEMPLATES),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    autoescape=False,  # noqa: S701  Markdown
    finalize=lettered,
)


def run(cfg: Mapping[str, Any], runtime: Mapping[str, Any], item: str | None, out: Path) -> dict[str, float]:
    prepare(runtime, cfg["seed"])
    evaluators = by_kind({name: build(node) for name, node in cfg["evaluate"]["evaluators"].items() if node is not None})
    models = [*cfg["baseline"], *cfg["models"]]
    scores = {name: Scores.read(METRICS / f"{name}.json") for name in models}
    items = {name: read_json(EVALUATED / f"{name}.json") for name in models}
    verdict = judge(cfg, scores, items, evaluators)
    before = _before(cfg, scores, items, evaluators, verdict)
    print(verdict.sentence, before.sentence, sep="\n")
    source = Path(cfg["models"][verdict.final])
    with whole_directory(out / "checkpoints/final") as folder:
        copy_model(source, folder)
        encoder = Encoder.load(folder)
        told = _notices(cfg, scores[verdict.final], encoder)
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
                "kept": verdict.kept,
                "forgot": verdict.forgot,
                "before": asdict(before),
                "notices": told,
            },
        )
        forms = forms_of(cfg, runtime, folder, encoder, evaluators, path="checkpoints/final")
        card = _card(cfg, verdict, before, scores, forms, folder, encoder, told)
        (folder / "README.md").write_text(card, encoding="utf-8")
    write_json(out / "data/metrics/final.json", measured(forms))
    write_json(out / "data/metrics/summary.json", _summary(before, verdict))
    return {f"final/{name}": value for name, value in scores[verdict.final].main().items()}


def _summary(before: Before, verdict: Verdict) -> dict[str, Any]:
    """The final model in a few numbers: its score on each collection, their mean over tasks, what it gained on the model off the shelf
    and how far it agrees with it on general texts; null where that was not measured."""
    own = before.rows[before.final]
    return {
        "final": before.final,
        "mean": own["mean"],
        "gain": None if before.difference is None else before.difference["mean"]["value"],
        "retention": verdict.kept.get(before.final),
        "test": {name: one["value"] for name, one in own["test"].items()},
    }


def _notices(cfg: Mapping[str, Any], scores: Scores, encoder: Encoder) -> list[str]:
    cards = {corpus: read_json(CURATED / corpus / "card.json") for corpus in corpora(CURATED)}
    test = [c for corpus in cards for c in collections(CURATED, corpus, "test") if c.name in scores.test]
    found = notices(cfg, cards, list(scores.test), encoder, test) + in_other_words(CURATED, cfg["final"]["paraphrases"])
    for line in found:
        print(line)
    return found


def _before(
    cfg: Mapping[str, Any],
    scores: Mapping[str, Scores],
    items: Mapping[str, Any],
    evaluators: Mapping[str, Any],
    verdict: Verdict,
) -> Before:
    limits = {name: cfg["final"][name] for name in ("resamples", "confidence", "margin")}
    return before_and_after(
        evaluators,
        scores,
        {name: of["test"] for name, of in items.items()},
        final=verdict.final,
        shelf=off_the_shelf(cfg["models"]),
        baselines=list(cfg["baseline"]),
        guards=cfg["evaluate"]["guards"],
        train_rows=sum(read_json(CURATED / corpus / "card.json")["splits"]["train"] for corpus in corpora(CURATED)),
        seen=_seen(cfg["experts"].values()),
        kept=verdict.kept.get(verdict.final),
        limits=limits | {"seed": cfg["seed"]},
    )


def _seen(experts: Iterable[str]) -> float | None:
    """Of the rows of all trainings the share that they looked at; None where none kept count."""
    counts = [one for place in experts for one in manifest.read_json(Path(place) / SEEN).get("tasks", {}).values()]
    rows = sum(one["rows"] for one in counts)
    return sum(one["seen"] for one in counts) / rows if rows else None


def _card(
    cfg: Mapping[str, Any],
    verdict: Verdict,
    before: Before,
    scores: Mapping[str, Scores],
    forms: Mapping[str, Any],
    folder: Path,
    encoder: Encoder,
    told: Sequence[str],
) -> str:
    own = scores[verdict.final].test
    names = sorted(own)
    provenance = read_json(folder / PROVENANCE)
    kept = {corpus: read_json(CURATED / corpus / "card.json")["splits"] for corpus in corpora(CURATED)}
    data = [{"name": corpus, "kept": splits, **source_of(cfg, corpus)} for corpus, splits in kept.items()]
    return ENVIRONMENT.get_template("card.md").render(
        verdict=verdict,
        before=before,
        lines=table(asdict(before), cfg["final"]["confidence"]),
        names=names,
        metric={name: own[name]["metric"] for name in names},
        forms=forms,
        data=data,
        trained=trained(cfg["experts"]),
        scores={model: one.test for model, one in scores.items()},
        encoder=cfg["encoder"],
        front=front_matter(cfg, verdict.final, own, data),
        came_from=began_as(cfg["encoder"]["backbone"]),
        affinity=(folder / ARCHITECTURE).is_file(),
        confidence=cfg["final"]["confidence"],
        inputs=provenance["inputs"],
        version=__version__,
        evaluated_tokens=cfg["evaluate"]["max_length_tokens"] or encoder.max_length_tokens,
        sha256=weights_hash(folder),
        model=encoder,
        holds=holds(encoder.width),
        notices=told,
    )
