"""Classes without training: does k-means of the vectors find them again? V-measure, as mteb does it.

``experiments`` times ``texts`` texts are drawn with replacement and clustered into as many clusters as there are classes.

Source: Rosenberg and Hirschberg 2007, D07-1043; Enevoldsen et al. 2025, arXiv:2502.13595, sec. 2.3 (the drawn samples).
"""

import random
from typing import Any

import numpy as np

from pipeline.corpus.collection import Encode, Labelled
from pipeline.evaluator.items import MeanOfItems, finite


class Clustering(MeanOfItems):
    """Items are the experiments: the interval says how far k-means and its samples scatter. They are all drawn from the same texts, so
    they are no sample of what the task is about: two models are not told apart by them. ``batch``: texts of a k-means step."""

    kind = "clustering"
    main = "v_measure"
    sampled = False

    def __init__(self, *, experiments: int, texts: int, batch: int, seed: int) -> None:
        if min(experiments, texts, batch) < 1:
            raise ValueError(
                f"experiments, texts and batch must be at least 1, got {experiments}, {texts} and {batch}; "
                "see conf/evaluator/clustering.yaml"
            )
        self.experiments = experiments
        self.texts = texts
        self.batch = batch
        self.seed = seed

    def evaluate(self, encode: Encode, collection: Labelled) -> tuple[dict[str, float], dict[str, list[Any]]]:
        """``(scores, items)``: the mean over experiments, and each experiment's V-measure."""
        from sklearn.cluster import MiniBatchKMeans  # slow, and who scores nothing builds evaluators too
        from sklearn.metrics import v_measure_score

        labels = np.asarray([label for _, _, label in collection.labelled])
        if len(set(labels)) < 2:
            raise ValueError(f"{collection.corpus}: clustering needs two classes or more, got {sorted(set(labels))}")
        vectors = finite(encode([text for _, text, _ in collection.labelled], "query", collection.task), "text")
        dice = random.Random(self.seed)
        settings: dict[str, Any] = {"init": "k-means++", "n_init": 1}
        model = MiniBatchKMeans(n_clusters=len(set(labels)), batch_size=self.batch, random_state=self.seed, **settings)
        found = []
        for _ in range(self.experiments):
            drawn = dice.choices(range(len(labels)), k=self.texts)
            found.append(float(v_measure_score(labels[drawn], model.fit_predict(vectors[drawn]))))
        return {self.main: float(np.mean(found))}, {"id": [str(i) for i in range(len(found))], self.main: found}
