"""What the model card says to programs: its front matter, as the Hub and MTEB read it, and where base and data came from."""

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCardData

from pipeline.checkpoint import SEEN
from pipeline.manifest import on_disk, read_json
from pipeline.task import KINDS

UNKNOWN = "not stated"


def front_matter(cfg: Mapping[str, Any], model: str, test: Mapping[str, Any], data: Sequence[Mapping[str, Any]]) -> str:
    """The YAML between the dashes. ``test``: the model's scores by label; ``data``: corpora, with what `source_of` says.

    The licence is `other`, since those of base and data hold for what is derived from them, and the table of the card names these.
    """
    backbone = cfg["encoder"]["backbone"]
    base = {"base_model": backbone["name"], "base_model_relation": "finetune"} if backbone.get("revision") else {}
    by_corpus = {one["name"]: one for one in data}
    results = [
        EvalResult(
            task_type=KINDS[one["kind"]].mteb or one["kind"],
            task_name=one["task"],
            dataset_name=one["corpus"],
            dataset_type=by_corpus.get(one["corpus"], {}).get("repo") or one["corpus"],
            dataset_revision=by_corpus.get(one["corpus"], {}).get("revision"),
            dataset_split="test",
            metric_type=one["metric"],
            metric_value=round(float(one["value"]), 6),
        )
        for _, one in sorted(test.items())
    ]
    card = ModelCardData(
        library_name="sentence-transformers",
        pipeline_tag="sentence-similarity",
        tags=["sentence-transformers", "feature-extraction", "embeddings", "tributary"],
        license="other",
        license_name="of-base-and-data",
        license_link="README.md",
        datasets=sorted({one["repo"] for one in data if one["repo"]}) or None,
        model_name=model,
        eval_results=results or None,
        **base,
    )
    return card.to_yaml()


def began_as(backbone: Mapping[str, Any]) -> str:
    """Which weights the training began with."""
    given = backbone.get("package") or backbone.get("name")
    if not given:
        return "weights drawn at random, trained from scratch here"
    at = f" at revision {backbone['revision']}" if backbone.get("revision") else ""
    return f"the weights of {given}{at} (licence: {licence_of(backbone)})"


def licence_of(backbone: Mapping[str, Any]) -> str:
    """The licence that the card of the base states; ours states none of its own."""
    place = None
    if package := backbone.get("package"):
        spec = importlib.util.find_spec(package)
        place = Path(spec.origin).parent / "model" if spec is not None and spec.origin else None
    elif name := backbone.get("name"):
        place = on_disk(name, backbone.get("revision"))
    file = place / "README.md" if place else None
    if file is None or not file.is_file():
        return UNKNOWN
    parts = file.read_text(encoding="utf-8", errors="replace").split("---\n")
    try:
        stated = yaml.safe_load(parts[1]) if len(parts) > 2 and not parts[0].strip() else {}
    except yaml.YAMLError:
        return UNKNOWN
    found = stated if isinstance(stated, Mapping) else {}
    return str(found.get("license_name") or found.get("license") or UNKNOWN)


def trained(experts: Mapping[str, str]) -> list[dict[str, Any]]:
    """By expert and task, how many rows a training saw; nothing of experts that were not trained on rows of tasks."""
    return [
        {"expert": expert, "task": task, **one}
        for expert, place in sorted(experts.items())
        for task, one in sorted(read_json(Path(place) / SEEN).get("tasks", {}).items())
    ]


def source_of(cfg: Mapping[str, Any], corpus: str) -> dict[str, str | None]:
    """Where the rows of a corpus came from, the Hub's data set at a commit or a path, and under which licence."""
    known = cfg["ingest"]["corpora"].get(corpus, {})
    node = known.get("source", {})
    place = node.get("path") or node.get("folder") or node.get("package")
    repo, revision = node.get("repo"), node.get("revision")
    told = f"`{repo}` at `{revision}`" if repo else (f"`{place}`" if place else UNKNOWN)
    return {"repo": repo, "revision": revision, "from": told, "licence": known.get("licence", UNKNOWN)}
