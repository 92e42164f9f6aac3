"""Our scores beside those of mteb and of sentence-transformers, on the same vectors."""

import json
import random
from unittest.mock import Mock

import numpy as np
import pytest

from benchmarks.mteb_local import local
from pipeline.corpus.collection import Judged, Labelled, Pairs
from pipeline.evaluator import mteb_tasks
from pipeline.evaluator.bitext import Bitext
from pipeline.evaluator.classification import Classification
from pipeline.evaluator.clustering import Clustering
from pipeline.evaluator.pair_classification import PairClassification
from pipeline.evaluator.reranking import Reranking
from pipeline.evaluator.retrieval import Retrieval
from pipeline.evaluator.sts import Sts

pytestmark = pytest.mark.filterwarnings("ignore")  # mteb's own, about its own insides

CLOSE = 1e-4  # what two roads to one score may differ by
COLOURS, DEEDS = ("red", "green", "blue"), ("opened", "sold", "painted", "moved", "cleaned", "lost")
TEXTS = [f"they {deed} the {colour} door on day {day}" for deed in DEEDS for colour in COLOURS for day in range(8)]
EVALUATORS = {
    "bitext": Bitext(block=7),
    "classification": Classification(examples_per_label=4, experiments=3, iterations=100, seed=42),
    "clustering": Clustering(experiments=3, texts=100, batch=512, seed=42),
    "pair_classification": PairClassification(),
    "reranking": Reranking(),
    "retrieval": Retrieval(depth=1000),
    "sts": Sts(),
}
SETTINGS = {
    "classification": {"samples_per_label": 4, "n_experiments": 3},
    "clustering": {"n_clusters": 3, "max_documents_per_cluster": 100},
}


def encode(texts, side, task):
    """Unit vectors by words, blurred by a vector of the text's own; a query is a little off from a document."""
    rows = []
    for text in texts:
        row = sum(np.random.default_rng(sum(map(ord, word)) * len(word)).normal(size=24) for word in text.split())
        row = row + 1.5 * np.random.default_rng(sum(i * ord(c) for i, c in enumerate(text))).normal(size=24)
        rows.append(row + (0.3 if side == "document" else 0.0))
    vectors = np.stack(rows).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def collection(task):
    dice = random.Random(0)
    shuffled = dice.sample(TEXTS, len(TEXTS))
    pairs = [
        (f"p{i}", a, b, float(len(set(a.split()) & set(b.split())) - 4 + dice.randint(0, 2)))
        for i, (a, b) in enumerate(zip(TEXTS[:60], shuffled[:60], strict=True))
    ]
    labelled = [(str(i), text, text.split()[1]) for i, text in enumerate(shuffled)]
    judgements = {
        f"q{i}": {f"d{j:02d}": dice.randint(0, 2) for j in dice.sample(range(60), 9)} | {f"d{i:02d}": 2} for i in range(20)
    }
    ranked = ({f"q{i}": TEXTS[i] for i in range(20)}, {f"d{j:02d}": shuffled[j] for j in range(60)}, judgements)
    return {
        "bitext": Pairs("x", task, pairs=[(key, a, f"{a} then", 1.0) for key, a, b, _ in pairs]),
        "classification": Labelled("x", task, labelled=labelled[:80], examples=labelled[80:]),
        "clustering": Labelled("x", task, labelled=labelled),
        "pair_classification": Pairs("x", task, pairs=[(*pair[:3], float(pair[3] > 1)) for pair in pairs]),
        "reranking": Judged("x", task, *ranked),
        "retrieval": Judged("x", task, *ranked),
        "sts": Pairs("x", task, pairs=pairs),
    }[task]


@pytest.mark.parametrize("task", EVALUATORS)
def test_every_task_has_the_score_that_mteb_gives(task, tmp_path):
    given = collection(task)
    ours, _ = EVALUATORS[task].evaluate(encode, given)
    model = mteb_tasks.MtebModel(encode, name="test", revision="1")
    theirs = mteb_tasks.run([local(given, **SETTINGS.get(task, {}))], model, tmp_path / "mteb")
    (score,) = theirs.values()
    assert ours[EVALUATORS[task].main] == pytest.approx(score, abs=CLOSE)
    assert 0.05 < abs(score) < 0.999  # not a score that any mistake gives as well
    (name,) = theirs
    (file,) = mteb_tasks.results(tmp_path / "mteb")
    written = json.loads(file.read_text())
    assert written["task_name"] == name
    assert written["scores"]["test"][0]["main_score"] == pytest.approx(score, abs=1e-6)
    beside = {"pair_classification": {"accuracy": "cosine_accuracy", "f1": "cosine_f1"}, "classification": {"f1": "f1"}}
    for name, theirs_name in beside.get(task, {}).items():
        assert ours[name] == pytest.approx(written["scores"]["test"][0][theirs_name], abs=CLOSE)


def test_mteb_loads_the_results_and_they_hold_no_time(tmp_path):
    import mteb

    model = mteb_tasks.MtebModel(encode, name="test", revision="1")
    for place in ("a", "b"):
        found = mteb_tasks.run([local(collection("sts"))], model, tmp_path / place)
    loaded = mteb.ResultCache(tmp_path / "a").load_results(validate_and_filter=False)
    (one,) = loaded.model_results
    assert (one.model_name, one.model_revision) == ("tributary/test", "1")
    assert {result.task_name: result.get_score() for result in one.task_results} == pytest.approx(found, abs=1e-6)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.json"))
    assert [file.name for file in files] == ["LocalXSts.json", "model_meta.json"]
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_an_unknown_name_is_refused_with_the_nearest_one():
    with pytest.raises(ValueError, match=r"knows no task 'STSBenchmrk' \(did you mean 'STSBenchmark'\?\)"):
        mteb_tasks.named(["STSBenchmrk"])
    assert [task.metadata.name for task in mteb_tasks.named(["STSBenchmark", "SciFact"])] == ["STSBenchmark", "SciFact"]


def test_a_task_without_a_test_split_is_refused():
    with pytest.raises(ValueError, match=r"MSMARCO has no test split, only \['dev'\]"):
        mteb_tasks.named(["MSMARCO"])


def test_pairs_have_the_scores_of_sentence_transformers_evaluators():
    from sentence_transformers.evaluation import BinaryClassificationEvaluator, EmbeddingSimilarityEvaluator

    class Model:
        similarity_fn_name = "cosine"
        model_card_data = Mock()

        def encode(self, texts, **_):
            return encode(texts, "query", "sts")

    both = lambda texts, side, task: encode(texts, "query", task)  # noqa: E731  theirs knows no sides
    for task, peer in (("sts", EmbeddingSimilarityEvaluator), ("pair_classification", BinaryClassificationEvaluator)):
        pairs = collection(task).pairs
        found = peer([p[1] for p in pairs], [p[2] for p in pairs], [p[3] for p in pairs], write_csv=False)(Model())
        # At ties theirs lets the order of the rows choose a threshold; mteb does not, and is compared above.
        names = {"spearman": "spearman_cosine"} if task == "sts" else {"ap": "cosine_ap"}
        theirs = {name: found[key] for name, key in names.items()}
        ours, _ = EVALUATORS[task].evaluate(both, collection(task))
        assert {name: ours[name] for name in theirs} == {
            name: pytest.approx(value, abs=CLOSE) for name, value in theirs.items()
        }
