"""Collections of ours as tasks of the MTEB package, so that its code scores them beside ours."""

from collections.abc import Sequence
from typing import Any

from pipeline.corpus.collection import Collection, Judged, Labelled, Pairs
from pipeline.task import kind_of

MAIN = {
    "STS": "cosine_spearman", "PairClassification": "similarity_ap", "BitextMining": "f1", "Classification": "accuracy",
    "Clustering": "v_measure", "Reranking": "map_at_1000", "Retrieval": "ndcg_at_10",
}  # fmt: skip


def local(collection: Collection, **settings: Any) -> Any:
    """``collection`` as a task of mteb with a test split. ``settings`` are attributes of its class of tasks."""
    from datasets import Dataset, DatasetDict
    from mteb.abstasks import AbsTaskClassification, AbsTaskClustering, AbsTaskPairClassification, AbsTaskRetrieval, AbsTaskSTS
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.abstasks.text.bitext_mining import AbsTaskBitextMining
    from mteb.types import PromptType

    kind = kind_of(collection)
    type_: Any = kind.mteb
    bases = {
        "STS": AbsTaskSTS, "PairClassification": AbsTaskPairClassification, "BitextMining": AbsTaskBitextMining,
        "Classification": AbsTaskClassification, "Clustering": AbsTaskClustering, "Reranking": AbsTaskRetrieval,
        "Retrieval": AbsTaskRetrieval,
    }  # fmt: skip
    words = "".join(part.capitalize() for part in f"{collection.corpus}_{type_}".replace("-", "_").split("_"))
    metadata = TaskMetadata(
        name=f"Local{words}", description=f"{collection.task} of corpus {collection.corpus}", reference=None, type=type_,
        category="t2t", dataset={"path": f"local/{collection.corpus}", "revision": "local"}, modalities=["text"],
        eval_splits=["test"], eval_langs=["eng-Latn"], main_score=MAIN[type_], date=None, domains=None, task_subtypes=None,
        license=None, annotations_creators=None, dialect=None, sample_creation=None, bibtex_citation=None,
    )  # fmt: skip

    def table(pairs: Sequence[Any], **columns: int) -> Any:
        return Dataset.from_dict({name: [pair[at] for pair in pairs] for name, at in columns.items()})

    def splits(**tables: Any) -> Any:
        return DatasetDict(tables)  # pyright: ignore[reportCallIssue, reportArgumentType]  as its documentation calls it

    def load_data(self: Any, *_: Any, **__: Any) -> None:
        if isinstance(collection, Judged):
            texts = [{"id": key, "title": "", "text": text} for key, text in sorted(collection.documents.items())]
            asked = [{"id": key, "text": text} for key, text in sorted(collection.queries.items())]
            own = {query: sorted(grades) for query, grades in collection.judgements.items()}
            self.dataset = {"default": {"test": {
                "corpus": Dataset.from_list(texts), "queries": Dataset.from_list(asked),
                "relevant_docs": {query: dict(grades) for query, grades in collection.judgements.items()},
                "top_ranked": None if kind.pool else own,
            }}}  # fmt: skip
        elif isinstance(collection, Labelled) and kind.examples:
            columns = {"text": 1, "label": 2}
            self.dataset = splits(train=table(collection.examples, **columns), test=table(collection.labelled, **columns))
        elif isinstance(collection, Labelled):
            self.dataset = splits(test=table(collection.labelled, sentences=1, labels=2))
        elif isinstance(collection, Pairs) and kind.score == "binary":
            split = table([(*pair[:3], int(pair[3])) for pair in collection.pairs], sentence1=1, sentence2=2, labels=3)
            self.dataset = splits(test=split)
        elif isinstance(collection, Pairs):
            self.dataset = splits(test=table(collection.pairs, sentence1=1, sentence2=2, score=3))
        self.data_loaded = True

    sides = (
        {"input1_prompt_type": PromptType.query, "input2_prompt_type": PromptType.document}
        if type_ in ("STS", "PairClassification")
        else {}
    )
    whole = {"max_fraction_of_documents_to_embed": None} if type_ == "Clustering" else {}
    return type(metadata.name, (bases[type_],), {"metadata": metadata, "load_data": load_data, **sides, **whole, **settings})()
