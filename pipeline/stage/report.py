"""report: which model became final and why, on one page.

Reads:  data/metrics/, data/evaluated/, data/curated/, checkpoints/
Writes: data/report/{index.html,report.md}, checkpoints/final/
"""

import base64
import csv
import io
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipeline import __version__
from pipeline.checkpoint import read_json, sha256, whole_directory, write_json
from pipeline.corpus.collection import collections
from pipeline.corpus.files import Dropped, corpora, read
from pipeline.evaluator.comparison import Difference, accepted, differences, significant
from pipeline.params import build

METRICS, EVALUATED, CURATED = Path("data/metrics"), Path("data/evaluated"), Path("data/curated")
TEMPLATES = Path(__file__).parent / "report_templates"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The model that becomes final, the best single one, and how each merge stands against that."""

    final: str
    best_single: str
    merges: dict[str, dict[str, Difference]]
    refused: list[str]
    sentence: str


def run(cfg: Mapping[str, Any], runtime: Mapping[str, Any], item: str | None, out: Path) -> dict[str, float]:
    section = cfg["report"]
    evaluators = {e.task: e for e in (build(node) for node in cfg["evaluate"]["evaluators"].values())}
    order = sorted(cfg["models"], key=lambda name: (name in cfg["merge"], name in cfg["experts"], name))
    models = ["bm25", *order]
    scores = {name: read_json(METRICS / f"evaluate/{name}.json") for name in models}
    items = {name: read_json(EVALUATED / f"{name}.json") for name in models}
    mains = {task: evaluator.main for task, evaluator in evaluators.items()}
    verdict = judge(cfg, scores, items, evaluators, mains)
    table = _table(scores, mains, verdict.final, _marks(cfg, items, evaluators, verdict.final))
    browser = _browser(items, verdict.final, section["examples"])
    with whole_directory(out / "checkpoints/final") as folder:
        source = Path(cfg["models"][verdict.final])
        shutil.copytree(source, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("snapshots"))
        summary = {"model": verdict.final, "verdict": verdict.sentence, "test": scores[verdict.final]["test"]}
        write_json(folder / "chosen.json", {**summary, "sha256": sha256(source / "model.safetensors")})
        (folder / "README.md").write_text(_render("card.md", verdict=verdict, table=table, **_facts(cfg)), encoding="utf-8")
    with whole_directory(out / "data/report") as folder:
        page = _render(
            "index.html", verdict=verdict, table=table, curves=_curves(cfg["experts"]), cards=_cards(section["examples"]),
            browser=browser, geometry=_geometry(order), version=__version__, confidence=section["confidence"],
            searches=_searches(cfg), **_facts(cfg),
        )  # fmt: skip
        (folder / "index.html").write_text(page, encoding="utf-8")
        plain = _render(
            "report.md", verdict=verdict, table=table, version=__version__, confidence=section["confidence"], **_facts(cfg)
        )
        (folder / "report.md").write_text(plain.replace("|\n\n|", "|\n|"), encoding="utf-8")
    print(f"{verdict.sentence}\nthe page: data/report/index.html   the model: checkpoints/final")
    return {f"final/{name}": score[mains[name.split("/")[0]]] for name, score in scores[verdict.final]["test"].items()}


def judge(
    cfg: Mapping[str, Any],
    scores: Mapping[str, Any],
    items: Mapping[str, Any],
    evaluators: Mapping[str, Any],
    mains: Mapping[str, str],
) -> Verdict:
    """Decided on validation alone; test scores are only shown."""
    section = cfg["report"]
    singles = [name for name in section["candidates"] if name in cfg["models"] and name not in cfg["merge"]]
    candidates = [*singles, *sorted(name for name in cfg["models"] if name in cfg["merge"])]
    if not singles:
        raise ValueError(
            f"report.candidates names no single model that is evaluated: {section['candidates']}; add one to `models` in params.yaml"
        )
    means = {name: _mean(scores[name]["validation"], mains) for name in candidates}
    best = max(singles, key=lambda name: means[name])
    limits = {"resamples": section["resamples"], "confidence": section["confidence"], "seed": cfg["seed"]}
    merges = {
        name: differences(evaluators, items[name]["validation"], items[best]["validation"], **limits)
        for name in candidates
        if name in cfg["merge"]
    }
    passed = [name for name, against in merges.items() if accepted(against)]
    final = max([best, *passed], key=lambda name: means[name])
    refused = [name for name in merges if name not in passed]
    if final == best:
        sentence = (
            f"{best}, the best single model, is final: no merge was better on the mean without losing a task (validation)."
        )
    else:
        gain = means[final] - means[best]
        sentence = (
            f"{final} is final: on validation its mean is {gain:.4f} above {best}, the best single model, "
            "and it loses no task significantly."
        )
    return Verdict(final, best, merges, refused, sentence)


def _mean(scores: Mapping[str, Any], mains: Mapping[str, str]) -> float:
    return sum(score[mains[name.split("/")[0]]] for name, score in scores.items()) / len(scores)


def _marks(
    cfg: Mapping[str, Any], items: Mapping[str, Any], evaluators: Mapping[str, Any], final: str
) -> dict[tuple[str, str], str]:
    """Of every model and collection: better or worse than ``final`` on test, by permutation test with Holm's correction."""
    limits = {name: cfg["report"][name] for name in ("resamples", "confidence")} | {"seed": cfg["seed"]}
    own = items[final]["test"]
    compared = {
        model: differences(evaluators, {name: at["test"][name] for name in at["test"] if name in own}, own, **limits)
        for model, at in items.items()
        if model != final
    }
    marked = significant(compared, confidence=limits["confidence"])
    return {
        (model, name): ("better" if compared[model][name].value > 0 else "worse")
        for (model, name), sure in marked.items()
        if sure
    }


def _browser(items: Mapping[str, Any], final: str, examples: int) -> list[dict[str, Any]]:
    """Test queries at which the final model and another differ most in nDCG@10, with the texts that each found first."""
    found = []
    for name, own in sorted(items[final]["test"].items()):
        if not name.startswith("retrieval/"):
            continue
        corpus = name.partition("/")[2]
        (collection,) = (c for c in collections(CURATED, corpus, "test") if c.task == "retrieval")
        for model, at in items.items():
            other = at["test"].get(name)
            if model == final or other is None:
                continue
            gains = sorted(range(len(own["id"])), key=lambda i: (own["ndcg@10"][i] - other["ndcg@10"][i], own["id"][i]))
            rows = []
            for i in [*gains[::-1][:examples], *gains[:examples]]:
                query, value = own["id"][i], own["ndcg@10"][i] - other["ndcg@10"][i]
                if value == 0:
                    continue
                right = [collection.documents[d] for d, grade in sorted(collection.judgements[query].items()) if grade > 0]
                first = [collection.documents.get(one["first"][i], "") for one in (own, other)]
                rows.append(
                    {"query": collection.queries[query], "gain": value, "right": right[0], "own": first[0], "other": first[1]}
                )
            found.append({"name": name, "model": model, "rows": rows})
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
    scores: Mapping[str, Any], mains: Mapping[str, str], final: str, marks: Mapping[tuple[str, str], str]
) -> dict[str, Any]:
    """Test scores: a row per model, a column per collection; ``shade`` from 0 (worst of the column) to 1 (best)."""
    columns = sorted({name for score in scores.values() for name in score["test"]})
    main = {column: mains[column.split("/")[0]] for column in columns}
    rows = []
    for model, score in scores.items():
        cells = [_cell(score["test"].get(c), main[c], marks.get((model, c), "")) for c in columns]
        whole = [cell["value"] for cell in cells if cell]
        mean = sum(whole) / len(whole) if len(whole) == len(columns) else None
        rows.append({"model": model, "cells": cells, "mean": mean, "final": model == final})
    for i in range(len(columns)):
        values = [row["cells"][i]["value"] for row in rows if row["cells"][i]]
        low, high = min(values), max(values)
        for row in rows:
            if row["cells"][i]:
                row["cells"][i]["shade"] = (row["cells"][i]["value"] - low) / (high - low) if high > low else 1.0
                row["cells"][i]["best"] = row["cells"][i]["value"] == high
    heads = [
        {"name": c, "metric": main[c], "items": next(s["test"][c]["num_items"] for s in scores.values() if c in s["test"])}
        for c in columns
    ]
    return {"heads": heads, "rows": rows}


def _cell(score: Mapping[str, Any] | None, main: str, mark: str) -> dict[str, Any] | None:
    if score is None:
        return None
    others = {key: value for key, value in score.items() if key not in (main, "low", "high", "num_items")}
    return {"value": score[main], "low": score["low"], "high": score["high"], "others": others, "mark": mark}


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


def _curves(experts: Iterable[str]) -> str:
    """Loss of every training over its steps, as SVG without date or random ids."""
    mpl.use("svg")
    from matplotlib import pyplot as plt

    files = [
        file
        for file in (METRICS / "pretrain.csv", *(METRICS / f"train/{name}.csv" for name in sorted(experts)))
        if file.is_file()
    ]
    tables = [(file.stem, points) for file in files if (points := _points(file))]
    with mpl.rc_context({"svg.hashsalt": "tributary", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure, axes = plt.subplots(
            1, max(1, len(tables)), figsize=(3.1 * max(1, len(tables)), 2.3), squeeze=False, layout="constrained"
        )
        for axis, (name, table) in zip(axes[0], tables, strict=False):
            for column in sorted(c for c in table[0] if c.startswith("loss/")):
                points = [(int(point["step"]), float(point[column])) for point in table if point[column]]
                axis.plot(*zip(*points, strict=True), ".-", linewidth=1, markersize=3, label=column.removeprefix("loss/"))
            axis.set(title=name, xlabel="step", ylabel="loss")
            axis.legend(frameon=False, fontsize=8)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
        plt.close(figure)
    return text.getvalue().partition("<svg")[1] + text.getvalue().partition("<svg")[2]


def _searches(cfg: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of each merge whose coefficients were searched: what was found, its way there, and the picture."""
    found = []
    for name in sorted(name for name in cfg["models"] if name in cfg["merge"]):
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


def _facts(cfg: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "corpora": corpora(CURATED),
        "encoder": cfg["encoder"],
        "models": cfg["models"],
    }


def _render(name: str, **values: Any) -> str:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        autoescape=name.endswith(".html"),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name).render(**values)
