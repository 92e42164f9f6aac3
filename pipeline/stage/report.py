"""report: which model became final and why, on one page.

Reads:  data/metrics/, data/evaluated/, data/curated/, checkpoints/
Writes: data/report/{index.html,report.md}
"""

import base64
import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipeline._version import __version__
from pipeline.build import build
from pipeline.checkpoint import PROVENANCE, read_json, sha256, whole_directory
from pipeline.corpus.collection import Judged, collections
from pipeline.corpus.files import Dropped, corpora, read
from pipeline.evaluator.comparison import exchanges_needed, p_values, significant
from pipeline.evaluator.mteb_tasks import results
from pipeline.evaluator.scores import Scores, averaged, by_kind, mean
from pipeline.models import controls, merges
from pipeline.protein.report import affinity_parts
from pipeline.stage.report_pictures import behaviours, curves, graph
from pipeline.task import KINDS

METRICS, EVALUATED, CURATED = Path("data/metrics"), Path("data/evaluated"), Path("data/curated")
FINAL, MTEB = Path("checkpoints/final"), Path("data/mteb")
TEMPLATES = Path(__file__).parent / "report_templates"
MEANS = {kind.metric: kind.metric_meaning for kind in KINDS.values()}  # of main scores, for who meets them first


def run(cfg: Mapping[str, Any], runtime: Mapping[str, Any], item: str | None, out: Path) -> dict[str, float]:
    section = cfg["report"]
    evaluators = by_kind({name: build(node) for name, node in cfg["evaluate"]["evaluators"].items() if node is not None})
    merged = merges(cfg["models"])
    order = sorted(cfg["models"], key=lambda name: (name in merged, name in cfg["experts"], name))
    models = [*cfg["baseline"], *order]
    scores = {name: Scores.read(METRICS / f"evaluate/{name}.json") for name in models}
    items = {name: read_json(EVALUATED / f"{name}.json") for name in models}
    verdict = read_json(FINAL / "chosen.json")
    final = verdict["model"]
    table = _table(scores, evaluators, final, _marks(cfg, scores, items, evaluators, final), cfg["final"]["confidence"])
    browser = _browser(items, final, section["examples"])
    stress = read_json(METRICS / "stress.json")
    facts = {name: cfg["final"][name] for name in ("confidence", "task_confidence", "margin")} | {
        "version": __version__,
        "forms": read_json(METRICS / "final.json"),
    }
    limits = {name: cfg["final"][name] for name in ("resamples", "confidence")} | {"seed": cfg["seed"]}
    affinity = affinity_parts(scores, items, controls(cfg), evaluators, final, limits)
    facts |= {"corpora": corpora(CURATED), "verdict": verdict, "table": table, "affinity": affinity}
    with whole_directory(out / "data/report") as folder:
        page = _render(
            "index.html", curves=curves(_losses(cfg["experts"])), cards=_cards(section["examples"]), browser=browser,
            geometry=_geometry(order), searches=_searches(cfg), mteb=_mteb(order), means=MEANS, origins=_origins(cfg, final),
            stress=stress, stress_picture=behaviours(stress), **facts,
        )  # fmt: skip
        (folder / "index.html").write_text(page, encoding="utf-8")
        plain = _render("report.md", **facts)
        (folder / "report.md").write_text(plain.replace("|\n\n|", "|\n|"), encoding="utf-8")
    print(f"{verdict['verdict']}\nthe page: data/report/index.html   the model: checkpoints/final")
    return {f"final/{name}": value for name, value in scores[final].main().items()}


def _marks(
    cfg: Mapping[str, Any], scores: Mapping[str, Scores], items: Mapping[str, Any], evaluators: Mapping[str, Any], final: str
) -> dict[tuple[str, str], str]:
    """Of every model and collection: better or worse than ``final`` on test, by permutation test with Holm's correction."""
    own, confidence = items[final]["test"], cfg["final"]["confidence"]
    asked = {
        model: {name: at["test"][name] for name in at["test"] if name in own} for model, at in items.items() if model != final
    }
    cells = sum(evaluators[one["kind"]].sampled for at in asked.values() for one in at.values())
    exchanges = max(cfg["final"]["resamples"], exchanges_needed(cells, confidence=confidence))
    found: dict[tuple[str, str], float] = {}
    for model, at in asked.items():
        found |= {(model, name): p for name, p in p_values(evaluators, at, own, exchanges=exchanges, seed=cfg["seed"]).items()}
    marked = significant(found, confidence=confidence)
    return {
        (model, name): "better" if scores[model].test[name]["value"] > scores[final].test[name]["value"] else "worse"
        for (model, name), sure in marked.items()
        if sure
    }


def _browser(items: Mapping[str, Any], final: str, examples: int) -> list[dict[str, Any]]:
    """Test queries at which the final model and another differ most in the main score, with the texts that each found first."""
    found = []
    for name, own in sorted(items[final]["test"].items()):
        kind = KINDS[own["kind"]]
        if not kind.pool or own["deal"] is not None:
            continue
        (collection,) = (c for c in collections(CURATED, own["corpus"], "test") if c.name == name)
        assert isinstance(collection, Judged)
        for model, at in items.items():
            other = at["test"].get(name)
            if model == final or other is None:
                continue
            gain = [a - b for a, b in zip(own[kind.metric], other[kind.metric], strict=True)]
            order = sorted(range(len(gain)), key=lambda i: (gain[i], own["id"][i]))
            rows = []
            for i in [*order[::-1][:examples], *order[:examples]]:
                query, value = own["id"][i], gain[i]
                if value == 0:
                    continue
                right = [collection.documents[d] for d, grade in sorted(collection.judgements[query].items()) if grade > 0]
                first = [collection.documents.get(one["first"][i], "") for one in (own, other)]
                rows.append(
                    {"query": collection.queries[query], "gain": value, "right": right[0], "own": first[0], "other": first[1]}
                )
            counts = {"queries": len(gain), "better": sum(g > 0 for g in gain), "worse": sum(g < 0 for g in gain)}
            found.append({"name": name, "model": model, "metric": kind.metric, "rows": rows, **counts})
    return found


def _geometry(models: Iterable[str]) -> dict[str, Any]:
    """Per collection a row per model, of what `evaluate` measured on test texts."""
    files = {model: METRICS / f"geometry/{model}.json" for model in models}
    measured = {model: read_json(file)["test"] for model, file in files.items() if file.is_file()}
    names = sorted({name for at in measured.values() for name in at if at[name]})
    heads = ("alignment", "uniformity", "rankme", "singular_entropy", "condition_number", "isotropy")
    rows = {
        name: {model: [at[name].get(head) for head in heads] for model, at in measured.items() if at.get(name)}
        for name in names
    }
    return {"heads": heads, "rows": rows}


def _table(
    scores: Mapping[str, Scores],
    evaluators: Mapping[str, Any],
    final: str,
    marks: Mapping[tuple[str, str], str],
    confidence: float,
) -> dict[str, Any]:
    """Test scores: a row per model, a column per collection; ``shade`` from 0 (worst of the column) to 1 (best). ``markless``: columns
    of so few groups that no exchange of them could give a mark."""
    known = {name: one for score in scores.values() for name, one in score.test.items()}
    columns, counted = sorted(known), averaged(evaluators, known)
    compared = sum(len(score.test) for model, score in scores.items() if model != final)
    rows = []
    for model, score in scores.items():
        cells = [_cell(score.test.get(c), marks.get((model, c), "")) for c in columns]
        whole = counted and all(name in score.test for name in counted)
        rows.append(
            {"model": model, "cells": cells, "mean": mean(score.test, counted) if whole else None, "final": model == final}
        )
    for i in range(len(columns)):
        values = [row["cells"][i]["value"] for row in rows if row["cells"][i]]
        low, high = min(values), max(values)
        for row in rows:
            if row["cells"][i]:
                row["cells"][i]["shade"] = (row["cells"][i]["value"] - low) / (high - low) if high > low else 1.0
                row["cells"][i]["best"] = row["cells"][i]["value"] == high
    heads = [
        {
            "name": c,
            "metric": known[c]["metric"],
            "task": known[c]["task"],
            "of": " @ ".join(filter(None, (known[c]["corpus"], known[c]["deal"]))),
            "noun": KINDS[known[c]["kind"]].items,
            **next({k: s.test[c][f"num_{k}"] for k in ("items", "groups")} for s in scores.values() if c in s.test),
        }
        for c in columns
    ]
    markless = [head["name"] for head in heads if 2.0 ** (1 - head["groups"]) * compared > 1 - confidence]
    return {"heads": heads, "rows": rows, "markless": markless}


def _cell(score: Mapping[str, Any] | None, mark: str) -> dict[str, Any] | None:
    if score is None:
        return None
    return {"value": score["value"], **score["interval"], "others": score["others"], "mark": mark}


def _cards(examples: int) -> list[dict[str, Any]]:
    """Per corpus: the funnel, and a few dropped rows for every reason."""
    found = []
    for corpus in corpora(CURATED):
        card = read_json(CURATED / corpus / "card.json")
        dropped = read(CURATED / corpus / "dropped.parquet", Dropped)
        shown = {reason: [row for row in dropped if row.reason == reason][:examples] for reason in card["dropped"]}
        found.append(
            {"name": corpus, **card, "examples": shown, "read": sum(card["raw"]["rows"].values()) + card["raw"]["rejected"]}
        )
    return found


def _losses(experts: Iterable[str]) -> list[tuple[str, list[dict[str, str]]]]:
    """Name and points of every training that left a curve."""
    files = (METRICS / "pretrain.csv", *(METRICS / f"train/{name}.csv" for name in sorted(experts)))
    return [(file.stem, points) for file in files if file.is_file() and (points := _points(file))]


def _origins(cfg: Mapping[str, Any], final: str) -> str:
    """What every model was made from, as its provenance says, with hashes."""
    folders = sorted({*cfg["models"].values(), *cfg["experts"].values()})
    known = {name: Path(name) for name in folders if (Path(name) / PROVENANCE).is_file()}
    hashes = {name: sha256(path / "model.safetensors") for name, path in known.items()}
    edges = []
    for name, path in known.items():
        for source, hashed in read_json(path / PROVENANCE)["inputs"].items():
            edges.append((source, name))
            hashes.setdefault(source, hashed)
    chosen = cfg["models"][final]
    edges.append((chosen, str(FINAL)))
    return graph(edges, hashes | {str(FINAL): hashes[chosen]}, final=str(FINAL))


def _mteb(models: Iterable[str]) -> dict[str, Any]:
    """Main scores of the tasks of MTEB that were run, a row for each model."""
    rows = {model: {file.stem: _main_score(read_json(file)) for file in results(MTEB / model)} for model in models}
    tasks = sorted({task for row in rows.values() for task in row})
    return {"tasks": tasks, "rows": {model: [row.get(task) for task in tasks] for model, row in rows.items() if row}}


def _main_score(result: Mapping[str, Any]) -> float:
    """Mean over the languages of a result in mteb's format."""
    found = [one["main_score"] for one in result["scores"]["test"]]
    return sum(found) / len(found)


def _searches(cfg: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of each merge whose coefficients were searched: what was found, its way there, and the picture."""
    found = []
    for name in merges(cfg["models"]):
        folder = Path(cfg["models"][name])
        if not (folder / "trajectory.csv").is_file():
            continue
        points, record = _points(folder / "trajectory.csv"), read_json(folder / "merge.json")
        picture = folder / "landscape.png"
        columns = [column for column in points[0] if column.startswith(("coefficient/", "norm"))]
        found.append({
            "name": name, "held_out": record["search"]["held_out_loss"], "columns": columns, "experts": record["experts"],
            "points": [points[i] for i in sorted({round(i * (len(points) - 1) / 4) for i in range(5)})],
            "picture": base64.b64encode(picture.read_bytes()).decode() if picture.is_file() else None,
        })  # fmt: skip
    return found


def _points(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def _render(name: str, **values: Any) -> str:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        autoescape=name.endswith(".html"),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name).render(**values)
