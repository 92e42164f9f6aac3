"""Classes by a linear probe: how well does logistic regression on a few vectors of each class name the others?

As mteb does it: ``experiments`` draws of ``examples_per_label`` training texts of each class, drawn one after another from one
shuffled order; accuracy is the mean over them.
"""

import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.corpus.collection import Encode, Labelled
from pipeline.evaluator.items import MeanOfItems, finite


class Classification(MeanOfItems):
    """``iterations``: of the solver at most; ``seed``: of the draws of training texts."""

    kind = "classification"
    main = "accuracy"

    def __init__(self, *, examples_per_label: int, experiments: int, iterations: int, seed: int) -> None:
        if min(examples_per_label, experiments, iterations) < 1:
            raise ValueError(
                f"examples_per_label, experiments and iterations must be at least 1, got {examples_per_label}, {experiments} and "
                f"{iterations}; see conf/evaluator/classification.yaml"
            )
        self.examples_per_label = examples_per_label
        self.experiments = experiments
        self.iterations = iterations
        self.seed = seed

    def evaluate(self, encode: Encode, collection: Labelled) -> tuple[dict[str, float], dict[str, list[Any]]]:
        """``(scores, items)``; an item is a text: in which share of the experiments its class was found, and the
        class that most of them named."""
        from sklearn.exceptions import ConvergenceWarning  # slow, and who scores nothing builds evaluators too
        from sklearn.linear_model import LogisticRegression

        known = [label for _, _, label in collection.examples]
        wanted = np.asarray([label for _, _, label in collection.labelled])
        if len(set(known)) < 2:
            raise ValueError(
                f"{collection.corpus}: a probe learns from training rows of two classes or more, got {sorted(set(known))}; "
                f"give the corpus a train split of task {collection.task}"
            )
        chosen = few_of_each(known, self.examples_per_label, self.experiments, self.seed)
        rows = sorted(set().union(*chosen))
        place = {row: i for i, row in enumerate(rows)}
        taught = finite(encode([collection.examples[row][1] for row in rows], "query", collection.task), "training text")
        asked = finite(encode([text for _, text, _ in collection.labelled], "query", collection.task), "text")
        found = []
        for one in chosen:
            probe = LogisticRegression(max_iter=self.iterations, random_state=self.seed)
            with warnings.catch_warnings():  # whether or not the solver is done after so many steps, the score is this one
                warnings.simplefilter("ignore", ConvergenceWarning)
                probe.fit(taught[[place[row] for row in one]], [known[row] for row in one])
            found.append(probe.predict(asked))
        right = np.stack(found) == wanted
        f1 = float(np.mean([macro_f1(wanted, named) for named in found]))
        items = {
            "id": [key for key, _, _ in collection.labelled],
            self.main: right.mean(0).tolist(),
            "first": [most_frequent(names) for names in np.stack(found).T.tolist()],
        }
        return {self.main: float(right.mean()), "f1": f1}, items


def few_of_each(labels: Sequence[str], number: int, experiments: int, seed: int) -> list[list[int]]:
    """For each experiment the rows of ``number`` examples of each label: the order is shuffled on from experiment to experiment,
    with the same random numbers each time, as mteb does."""
    order = list(range(len(labels)))
    chosen: list[list[int]] = []
    for _ in range(experiments):
        np.random.RandomState(seed).shuffle(order)
        count: Counter[str] = Counter()
        taken = []
        for row in order:
            if count[labels[row]] < number:
                taken.append(row)
                count[labels[row]] += 1
        chosen.append(taken)
    return chosen


def most_frequent(names: Sequence[str]) -> str:
    """Of several equally frequent ones, the first by name."""
    return max(sorted(set(names)), key=names.count)


def macro_f1(wanted: np.ndarray, named: np.ndarray) -> float:
    """Mean F1 over the classes that either side names."""
    classes = np.union1d(wanted, named)
    right = np.array([((wanted == c) & (named == c)).sum() for c in classes])
    both = np.array([(wanted == c).sum() + (named == c).sum() for c in classes])
    return float((2 * right / both).mean())
