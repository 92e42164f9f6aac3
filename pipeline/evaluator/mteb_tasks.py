"""Tasks of the MTEB package: any of its own by name, and collections of ours in its form, scored by its code in its format.

The package is an extra (``pip install tributary[mteb]``); it fetches the data of named tasks from the Hub.

Source: Muennighoff et al. 2023, arXiv:2210.07316; Enevoldsen et al. 2025, arXiv:2502.13595.
"""

import difflib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.checkpoint import whole_directory, write_json
from pipeline.corpus.collection import Collection, Encode

# mteb's type -> the task whose prompts our encoder puts before a text
PROMPTED = {
    "STS": "sts", "PairClassification": "pair_classification", "BitextMining": "bitext", "Classification": "classification",
    "Clustering": "clustering", "Reranking": "reranking", "Retrieval": "retrieval",
}  # fmt: skip
MAIN = {
    "STS": "cosine_spearman", "PairClassification": "similarity_ap", "BitextMining": "f1", "Classification": "accuracy",
    "Clustering": "v_measure", "Reranking": "map_at_1000", "Retrieval": "ndcg_at_10",
}  # fmt: skip
TYPES = {task: kind for kind, task in PROMPTED.items()}


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
        return self.of(texts, side, PROMPTED.get(task_metadata.type, "retrieval"))

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
            close = difflib.get_close_matches(name, _TASKS_REGISTRY, n=1, cutoff=0.5)
            nearest = f" (did you mean {close[0]!r}?)" if close else ""
            raise ValueError(f"evaluate.mteb: mteb {mteb.__version__} knows no task {name!r}{nearest}")
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


def local(collection: Collection, **settings: Any) -> Any:
    """``collection`` as a task of mteb with a test split. ``settings`` are attributes of its class of tasks."""
    package()
    from datasets import Dataset, DatasetDict
    from mteb.abstasks import AbsTaskClassification, AbsTaskClustering, AbsTaskPairClassification, AbsTaskRetrieval, AbsTaskSTS
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.abstasks.text.bitext_mining import AbsTaskBitextMining
    from mteb.types import PromptType

    kind: Any = TYPES[collection.task]
    bases = {
        "STS": AbsTaskSTS, "PairClassification": AbsTaskPairClassification, "BitextMining": AbsTaskBitextMining,
        "Classification": AbsTaskClassification, "Clustering": AbsTaskClustering, "Reranking": AbsTaskRetrieval,
        "Retrieval": AbsTaskRetrieval,
    }  # fmt: skip
    words = "".join(part.capitalize() for part in f"{collection.corpus}_{kind}".replace("-", "_").split("_"))
    metadata = TaskMetadata(
        name=f"Local{words}", description=f"{collection.task} of corpus {collection.corpus}", reference=None, type=kind,
        category="t2t", dataset={"path": f"local/{collection.corpus}", "revision": "local"}, modalities=["text"],
        eval_splits=["test"], eval_langs=["eng-Latn"], main_score=MAIN[kind], date=None, domains=None, task_subtypes=None,
        license=None, annotations_creators=None, dialect=None, sample_creation=None, bibtex_citation=None,
    )  # fmt: skip

    def table(pairs: Sequence[Any], **columns: int) -> Any:
        return Dataset.from_dict({name: [pair[at] for pair in pairs] for name, at in columns.items()})

    def splits(**tables: Any) -> Any:
        return DatasetDict(tables)  # pyright: ignore[reportCallIssue, reportArgumentType]  as its documentation calls it

    def load_data(self: Any, *_: Any, **__: Any) -> None:
        if collection.task in ("retrieval", "reranking"):
            texts = [{"id": key, "title": "", "text": text} for key, text in sorted(collection.documents.items())]
            asked = [{"id": key, "text": text} for key, text in sorted(collection.queries.items())]
            own = {query: sorted(grades) for query, grades in collection.judgements.items()}
            self.dataset = {"default": {"test": {
                "corpus": Dataset.from_list(texts), "queries": Dataset.from_list(asked),
                "relevant_docs": {query: dict(grades) for query, grades in collection.judgements.items()},
                "top_ranked": own if collection.task == "reranking" else None,
            }}}  # fmt: skip
        elif collection.task == "classification":
            columns = {"text": 1, "label": 2}
            self.dataset = splits(train=table(collection.examples, **columns), test=table(collection.labelled, **columns))
        elif collection.task == "clustering":
            self.dataset = splits(test=table(collection.labelled, sentences=1, labels=2))
        elif collection.task == "pair_classification":
            split = table([(*pair[:3], int(pair[3])) for pair in collection.pairs], sentence1=1, sentence2=2, labels=3)
            self.dataset = splits(test=split)
        else:
            self.dataset = splits(test=table(collection.pairs, sentence1=1, sentence2=2, score=3))
        self.data_loaded = True

    sides = (
        {"input1_prompt_type": PromptType.query, "input2_prompt_type": PromptType.document}
        if kind in ("STS", "PairClassification")
        else {}
    )
    whole = {"max_fraction_of_documents_to_embed": None} if kind == "Clustering" else {}
    return type(metadata.name, (bases[kind],), {"metadata": metadata, "load_data": load_data, **sides, **whole, **settings})()
