"""Tasks of the MTEB package: any of its own by name, scored by its code in its format.

The package is an extra (``pip install tributary[mteb]``); it fetches the data of named tasks from the Hub.

Source: Muennighoff et al. 2023, arXiv:2210.07316; Enevoldsen et al. 2025, arXiv:2502.13595.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.checkpoint import whole_directory, write_json
from pipeline.corpus.collection import Encode
from pipeline.spelling import nearest
from pipeline.task import KINDS, SEARCH

PROMPTED = {kind.mteb: kind.name for kind in KINDS.values() if kind.mteb}  # mteb's type -> whose prompts a text gets


def package() -> Any:
    """The module mteb; ValueError where the extra is not installed."""
    try:
        import mteb
    except ImportError as error:
        raise ValueError(f"MTEB tasks need the package mteb ({error}): pip install 'tributary[mteb]'") from error
    return mteb


class MtebModel:
    """``encode(texts, side, task)`` as mteb calls a model. Symmetric tasks are encoded as queries."""

    def __init__(self, encode: Encode, *, name: str, revision: str) -> None:
        from mteb.models.model_meta import ModelMeta

        self.of = encode
        self.mteb_model_meta = ModelMeta.create_empty({"name": f"tributary/{name}", "revision": revision})

    def encode(self, inputs: Iterable[Any], *, task_metadata: Any, prompt_type: Any = None, **_: Any) -> np.ndarray:
        texts = [text for batch in inputs for text in batch["text"]]
        side = "query" if prompt_type is None else str(getattr(prompt_type, "value", prompt_type))
        return self.of(texts, side, PROMPTED.get(task_metadata.type, SEARCH.name))

    def similarity(self, embeddings1: Any, embeddings2: Any) -> np.ndarray:
        return np.asarray(embeddings1) @ np.asarray(embeddings2).T

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> np.ndarray:
        return (np.asarray(embeddings1) * np.asarray(embeddings2)).sum(-1)


def named(names: Sequence[str]) -> list[Any]:
    """Tasks of mteb; ValueError with the nearest name where one is unknown, or where it has no test split."""
    mteb = package()
    from mteb.get_tasks import _TASKS_REGISTRY

    found = []
    for name in names:
        if name not in _TASKS_REGISTRY:
            raise ValueError(f"evaluate.mteb: mteb {mteb.__version__} knows no task {name!r}{nearest(name, _TASKS_REGISTRY)}")
        task = mteb.get_task(name)
        if "test" not in task.eval_splits:
            raise ValueError(f"evaluate.mteb: {name} has no test split, only {sorted(task.eval_splits)}; take it out")
        found.append(mteb.get_task(name, eval_splits=["test"]))
    return found


def run(tasks: Sequence[Any], model: MtebModel, folder: Path) -> dict[str, float]:
    """Main scores by task. ``folder`` becomes a cache of results as mteb lays it out, which ``mteb.ResultCache(folder)`` loads and
    from which a model is submitted. No time stands in it, so equal runs are equal."""
    mteb = package()
    meta = model.mteb_model_meta
    with whole_directory(folder) as partial:
        cache = mteb.ResultCache(partial)
        scores = {}
        for task in tasks:
            result = mteb.evaluate(model, task, cache=None, co2_tracker=False, show_progress_bar=False, encode_kwargs={})
            (one,) = result.task_results
            file = cache.get_task_result_path(one.task_name, meta)
            file.parent.mkdir(parents=True, exist_ok=True)
            one.model_copy(update={"date": None, "evaluation_time": None, "evaluation_phases": None}).to_disk(file)
            write_json(file.parent / "model_meta.json", json.loads(json.dumps(meta.to_dict(), default=str)))
            scores[one.task_name] = float(one.get_score())
    return scores


def results(folder: Path) -> list[Path]:
    """The files that `run` wrote there, one for each task."""
    return sorted(file for file in folder.glob("results/*/*/*.json") if file.name != "model_meta.json")
