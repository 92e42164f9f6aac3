"""What the page is made of: the files of a run, each read once, as plain values.

Scores, items and the verdict must be there. Whatever else a run may lack is empty, and the page has no section of it.
"""

import base64
import csv
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline._version import __version__
from pipeline.build import build
from pipeline.checkpoint import PROVENANCE, read_json, sha256
from pipeline.corpus.collection import Collection, collections
from pipeline.corpus.files import Dropped, corpora, read
from pipeline.evaluator.mteb_tasks import results
from pipeline.evaluator.scores import Entries, Scores, by_kind
from pipeline.models import called, controls, merges
from pipeline.report.sizes import Size, sizes
from pipeline.report.told import Model, told
from pipeline.weights import WEIGHTS, weight_files

METRICS, EVALUATED, CURATED = Path("data/metrics"), Path("data/evaluated"), Path("data/curated")
FINAL, MTEB = Path("checkpoints/final"), Path("data/mteb")
Points = list[dict[str, str]]  # lines of a CSV file


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The model that became final, how each merge stands against the best single model on validation rows, what each model ``kept`` of the
    model off the shelf, and which ``forgot`` too much of it. ``notices``: what the run left out, cut or did not learn."""

    model: str
    sentence: str
    rows: str
    best_single: str
    merges: Mapping[str, Any]
    refused: list[str]
    kept: Mapping[str, float]
    forgot: list[str]
    notices: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """The curation of a corpus: its `card.json`, and by reason the first of the dropped rows."""

    corpus: str
    counts: Mapping[str, Any]
    dropped: Mapping[str, list[Dropped]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """How a merge found its coefficients. ``held_out``: losses by task at the start and at what was found. ``picture``: a PNG as base64."""

    merge: str
    experts: list[str]
    held_out: Mapping[str, Mapping[str, float]]
    points: Points
    picture: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a directory was made from, as its provenance says: inputs with their hashes."""

    sha256: str
    inputs: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that a part of the page may look at. ``limits`` is section `final`; ``evaluators`` are by kind of task; ``models`` stand in the
    order of the page, baselines first; ``before`` is a `pipeline.evaluator.before.Before`; ``guards`` are corpora that are in no mean;
    texts were cut at ``evaluated_tokens``; ``gated`` is what one of those that must pass the gate is called, and all of them; ``items`` and
    ``collections`` are of test rows, by model and by label."""

    version: str
    seed: int
    examples: int
    limits: Mapping[str, Any]
    evaluators: Mapping[str, Any]
    models: Mapping[str, Model]
    gated: tuple[str, str]
    controls: Mapping[str, list[str]]
    scores: Mapping[str, Scores]
    items: Mapping[str, Entries]
    collections: Mapping[str, Collection]
    verdict: Verdict
    before: Mapping[str, Any]
    guards: list[str]
    evaluated_tokens: int | None
    forms: Mapping[str, Any]
    stress: Mapping[str, Any]
    geometry: Mapping[str, Entries]
    mteb: Mapping[str, Mapping[str, float]]
    cards: list[Card]
    curves: list[tuple[str, Points]]  # by the name of the training
    searches: list[Search]
    made: Mapping[str, Made]
    sizes: Mapping[str, Size]  # by directory
    pooling: Mapping[str, Any] | None  # that replaces the backbone's own

    @property
    def final(self) -> str:
        """The name of the model that became final."""
        return self.verdict.model


def gather(cfg: Mapping[str, Any]) -> Facts:
    examples = cfg["report"]["examples"]
    evaluators = by_kind({name: build(node) for name, node in cfg["evaluate"]["evaluators"].items() if node is not None})
    models = told(cfg)
    known = corpora(CURATED)
    scores = {name: Scores.read(METRICS / f"evaluate/{name}.json") for name in models}
    chosen = read_json(FINAL / "chosen.json")
    return Facts(
        version=__version__,
        seed=cfg["seed"],
        examples=examples,
        limits=cfg["final"],
        evaluators=evaluators,
        models=models,
        gated=called(cfg["models"]),
        controls=controls(cfg),
        scores=scores,
        items={name: read_json(EVALUATED / f"{name}.json")["test"] for name in models},
        collections={c.name: c for corpus in known for c in collections(CURATED, corpus, "test")} if examples else {},
        verdict=_verdict(chosen),
        before=chosen["before"],
        guards=cfg["evaluate"]["guards"],
        evaluated_tokens=cfg["evaluate"]["max_length_tokens"],
        forms=_if_there(METRICS / "final.json"),
        stress=_if_there(METRICS / "stress.json"),
        geometry={name: _if_there(METRICS / f"geometry/{name}.json").get("test", {}) for name in models},
        mteb={name: {file.stem: _main_score(read_json(file)) for file in results(MTEB / name)} for name in models},
        cards=[_card(corpus, examples) for corpus in known],
        curves=_curves(cfg["experts"]),
        searches=_searches(cfg["models"]),
        made=_made({*cfg["models"].values(), *cfg["experts"].values()}),
        sizes=sizes(cfg["models"].values()),
        pooling=_pooling(Path("checkpoints/base")),
    )


def _if_there(file: Path) -> dict[str, Any]:
    return read_json(file) if file.is_file() else {}


def _verdict(chosen: Mapping[str, Any]) -> Verdict:
    kept = {name: chosen[name] for name in ("model", "rows", "best_single", "merges", "refused", "kept", "forgot", "notices")}
    return Verdict(sentence=chosen["verdict"], **kept)


def _card(corpus: str, examples: int) -> Card:
    counts = read_json(CURATED / corpus / "card.json")
    rows = read(CURATED / corpus / "dropped.parquet", Dropped)
    dropped = {reason: [row for row in rows if row.reason == reason][:examples] for reason in counts["dropped"]}
    return Card(corpus=corpus, counts=counts, dropped=dropped)


def _main_score(result: Mapping[str, Any]) -> float:
    """Mean over the languages of a result in mteb's format."""
    found = [one["main_score"] for one in result["scores"]["test"]]
    return sum(found) / len(found)


def _curves(experts: Iterable[str]) -> list[tuple[str, Points]]:
    """Of every training that left one."""
    files = (METRICS / "pretrain.csv", *(METRICS / f"train/{name}.csv" for name in sorted(experts)))
    return [(file.stem, points) for file in files if file.is_file() and (points := _points(file))]


def _searches(models: Mapping[str, str]) -> list[Search]:
    """Of each merge whose coefficients were searched."""
    found = []
    for name in merges(models):
        folder = Path(models[name])
        if (folder / "trajectory.csv").is_file():
            record, picture = read_json(folder / "merge.json"), folder / "landscape.png"
            found.append(
                Search(
                    merge=name,
                    experts=record["experts"],
                    held_out=record["search"]["held_out_loss"],
                    points=_points(folder / "trajectory.csv"),
                    picture=base64.b64encode(picture.read_bytes()).decode() if picture.is_file() else None,
                )
            )
    return found


def _made(folders: Iterable[str]) -> dict[str, Made]:
    return {
        name: Made(sha256=_weights(Path(name)), inputs=read_json(Path(name) / PROVENANCE)["inputs"])
        for name in sorted(folders)
        if (Path(name) / PROVENANCE).is_file()
    }


def _weights(folder: Path) -> str:
    """The hash of the model's own file of weights, or over those of its modules' files where it has none."""
    own = folder / WEIGHTS
    return sha256(own) if own.is_file() else hashlib.sha256("".join(map(sha256, weight_files(folder))).encode()).hexdigest()


def _pooling(base: Path) -> dict[str, Any] | None:
    return _if_there(base / PROVENANCE).get("config", {}).get("encoder", {}).get("pooling")


def _points(file: Path) -> Points:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))
