"""What a task is: what its rows hold, whether they are learned and scored, and by which measure.

Rows name their task, and names are free: two corpora may hold tasks `support` and `legal`. What is done with the rows is said by the
task's *kind*, one of `KINDS`. A task that is called like a kind is of that kind. No other module compares the name of a task.
"""

import re
from dataclasses import dataclass
from typing import Literal, Protocol

from pipeline.spelling import nearest

Shape = Literal["ranked", "graded", "paired", "translated", "labelled", "complexes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What tasks of one kind have in common.

    ``shape`` says how a collection of such rows is built (`pipeline.corpus.collection`):

    * ranked: documents are put in order for a query
    * graded: pairs of texts with a similarity on any scale; a low one is no answer
    * paired: pairs of texts that mean the same or not
    * translated: pairs of texts of equal meaning in two languages, neither of which leads
    * labelled: texts with the name of a class in place of a document
    * complexes: pairs of proteins with a value that a model of its own predicts
    """

    name: str
    shape: Shape
    meaning: str  # of a row
    score: Literal["none", "graded", "binary"] = "none"  # what a row must have beside its texts
    texts: Literal["prose", "residues"] = "prose"  # residues: chains of amino acids, joined by ":"
    learned: bool = True  # an expert or a phase may be trained on it
    evaluated: bool = True
    pool: bool = False  # every document of the corpus is a candidate for every query; else only those judged for it
    examples: bool = False  # whoever is scored also gets the train rows
    classmates: bool = False  # of labelled texts: those of one class answer one another
    metric: str = ""  # the main one
    metric_meaning: str = ""
    items: str = ""  # what is counted in a score
    mteb: str = ""  # the type of such tasks in the mteb package

    @property
    def answers(self) -> bool:
        """Does a row say that its document belongs to its query?"""
        return self.shape != "graded"

    @property
    def searched(self) -> bool:
        """Is a query searched among all documents of its collection?"""
        return self.pool or self.classmates


_ALL = (
    Kind(
        name="retrieval", shape="ranked", pool=True, mteb="Retrieval",
        meaning="a query and the document that answers it; where given, a grade above 0 if it is relevant",
        metric="ndcg@10", items="queries",
        metric_meaning="1 if what is relevant stands first among the documents found, 0 if none of it is in the first ten",
    ),
    Kind(
        name="sts", shape="graded", score="graded", mteb="STS", meaning="two texts and how similar they are, on any scale",
        metric="spearman", items="pairs",
        metric_meaning="1 if the model orders the pairs as their measured scores do, 0 if there is no relation",
    ),
    Kind(
        name="weak", shape="paired", evaluated=False, meaning="a cheap pair, such as a title and its text, for pretraining",
    ),
    Kind(
        name="pair_classification", shape="paired", score="binary", mteb="PairClassification",
        meaning="two texts and 1 if they mean the same, 0 if not", metric="ap", items="pairs",
        metric_meaning="1 if every pair that belongs together is nearer than every other",
    ),
    Kind(
        name="reranking", shape="ranked", score="graded", mteb="Reranking",
        meaning="a query, one of its own candidates, and a score above 0 if that is relevant", metric="map", items="queries",
        metric_meaning="1 if what is relevant stands before all else",
    ),
    Kind(
        name="bitext", shape="translated", mteb="BitextMining", meaning="a text and its translation", metric="f1", items="pairs",
        metric_meaning="1 if every text's nearest is its translation",
    ),
    Kind(
        name="classification", shape="labelled", learned=False, examples=True, mteb="Classification",
        meaning="a text and the name of its class; a probe learns from the train rows", metric="accuracy", items="texts",
        metric_meaning="share of texts whose class is told from their vector",
    ),
    Kind(
        name="same_class", shape="labelled", examples=True, classmates=True, mteb="Retrieval",
        meaning="a text and the name of its class; texts of one class answer one another, such as questions with one intent",
        metric="ndcg@10", items="queries",
        metric_meaning="1 if the ten train texts found first are all of the text's class, 0 if none is",
    ),
    Kind(
        name="clustering", shape="labelled", learned=False, mteb="Clustering",
        meaning="a text and the name of its class, which k-means is to find", metric="v_measure", items="clusterings",
        metric_meaning="1 if clusters are the classes",
    ),
    Kind(
        name="affinity", shape="complexes", score="graded", texts="residues", examples=True,
        meaning="the chains of a ligand, those of its receptor, and pKd, -log10 of the dissociation constant in mol/l",
        metric="spearman", items="complexes",
        metric_meaning="1 if the model orders the pairs as their measured scores do, 0 if there is no relation",
    ),
    Kind(
        name="partners", shape="paired", texts="residues", evaluated=False, meaning="two proteins that bind, for pretraining",
    ),
)  # fmt: skip
KINDS = {kind.name: kind for kind in _ALL}
SEARCH = KINDS["retrieval"]  # whose prompts a question and the texts searched for it get, where no task is named


class OfTask(Protocol):
    """Whatever belongs to a task: a row, a collection. ``kind`` None: the task is called like its kind."""

    @property
    def task(self) -> str: ...
    @property
    def kind(self) -> str | None: ...


def kind_of(of: OfTask) -> Kind:
    """The kind of its task; ValueError where nobody knows it."""
    return kind_named(of.task, of.kind)


def kind_named(task: str, kind: str | None = None) -> Kind:
    """The kind of ``task``, which ``kind`` names; None: the task is called like its kind. ValueError says what is known."""
    if kind is None or kind == task:
        if task in KINDS:
            return KINDS[task]
        raise ValueError(
            f"{task!r} is no kind of task{nearest(task, KINDS)}; expected one of {', '.join(KINDS)}, or a name of your own with "
            f"its kind beside it: `task: {task}`, `kind: {SEARCH.name}`"
        )
    if kind not in KINDS:
        raise ValueError(
            f"task {task!r}: {kind!r} is no kind of task{nearest(kind, KINDS)}; expected one of {', '.join(KINDS)}"
        )
    if task in KINDS:
        raise ValueError(f"a task called {task!r} is of that kind, got kind {kind!r}; call the task otherwise")
    if not re.fullmatch(r"[A-Za-z][\w-]*", task):
        raise ValueError(f"a task's name is of letters, digits, - and _, and begins with a letter, got {task!r}")
    return KINDS[kind]
