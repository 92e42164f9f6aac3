"""Collections of ours as tasks of the MTEB package, so that its code scores them beside ours."""

from collections.abc import Sequence
from typing import Any

from pipeline.corpus.collection import Collection
from pipeline.evaluator.mteb_tasks import PROMPTED

MAIN = {
    "STS": "cosine_spearman", "PairClassification": "similarity_ap", "BitextMining": "f1", "Classification": "accuracy",
    "Clustering": "v_measure", "Reranking": "map_at_1000", "Retrieval": "ndcg_at_10",
}  # fmt: skip
TYPES = {task: kind for kind, task in PROMPTED.items()}


def local(collection: Collection, **settings: Any) -> Any:
    """``collection`` as a task of mteb with a test split. ``settings`` are attributes of its class of tasks."""
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
