"""Off-the-shelf models score here as sentence-transformers' own evaluators score them: tiny random copies of public layouts."""

import random

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer, util
from sentence_transformers.sentence_transformer.evaluation import (
    BinaryClassificationEvaluator,
    EmbeddingSimilarityEvaluator,
    InformationRetrievalEvaluator,
)

from pipeline.corpus.collection import Judged, Pairs
from pipeline.encoder.encoder import Encoder
from pipeline.evaluator.pair_classification import PairClassification
from pipeline.evaluator.retrieval import Retrieval
from pipeline.evaluator.sts import Sts
from tests.encoder.test_any_model import KINDS, WORDS

CLOSE = 1e-5
LAYOUTS = {
    "all-MiniLM: mean": "mean",
    "BGE: first token": "cls",
    "E5: mean, prompts": "instructed",
    "RoBERTa": "roberta",
    "multilingual E5, BGE-M3: XLM-R": "xlm-r",
    "all-mpnet": "mpnet",
    "distilled": "distilbert",
    "ModernBERT": "modernbert",
    "GTR: T5 and dense": "t5",
    "Qwen3: last token, padding at the left, prompts": "qwen3",
    "EmbeddingGemma: two dense layers, prompts": "gemma3",
    "static table": "static",
    "two towers": "two towers",
}
PROMPTED = {"instructed", "qwen3", "gemma3", "two towers"}  # their two sides differ, and these evaluators know one


def texts(num, seed):
    draw = random.Random(seed)
    return [" ".join(draw.choices(sorted(set(WORDS)), k=draw.randint(2, 24))) for _ in range(num)]


@pytest.fixture(scope="module", params=LAYOUTS)
def model(request, tmp_path_factory):
    """``(kind, encode, peer)``: one directory, read here and by sentence-transformers."""
    kind = LAYOUTS[request.param]
    place = KINDS[kind](tmp_path_factory.mktemp("parity"))
    encoder = Encoder.load(place)

    def encode(some, side, task):
        return encoder.encode(some, max_length_tokens=10**6, batch_tokens=200, title="", task=task, side=side, unit=True)

    return kind, encode, SentenceTransformer(str(place), device="cpu", local_files_only=True)


def test_retrieval_scores_as_the_information_retrieval_evaluator_says(model):
    _, encode, peer = model
    draw = random.Random(2)
    queries = {f"q{i}": text for i, text in enumerate(texts(15, 0))}
    documents = {f"d{i}": text for i, text in enumerate(texts(120, 1))}
    relevant = {query: set(draw.sample(sorted(documents), 6)) for query in queries}
    judgements = {query: dict.fromkeys(sorted(found), 1) for query, found in relevant.items()}
    ours, _ = Retrieval(depth=120).evaluate(
        encode, Judged("corpus", "retrieval", queries=queries, documents=documents, judgements=judgements)
    )
    theirs = InformationRetrievalEvaluator(
        queries,
        documents,
        relevant,
        mrr_at_k=[10],
        ndcg_at_k=[10],
        accuracy_at_k=[1],
        precision_recall_at_k=[100],
        map_at_k=[10],
        score_functions={"cosine": util.cos_sim},
        write_csv=False,
    )(peer)
    expected = {name: theirs[f"cosine_{name}"] for name in ("ndcg@10", "recall@100", "mrr@10")}
    assert {name: ours[name] for name in expected} == pytest.approx(expected, abs=CLOSE)
    assert 0 < ours["ndcg@10"] < 1


def pairs(scores):
    return [(f"p{i}", *both, score) for i, (*both, score) in enumerate(zip(texts(60, 3), texts(60, 4), scores, strict=True))]


def test_similarity_scores_as_the_embedding_similarity_evaluator_says(model):
    kind, encode, peer = model
    if kind in PROMPTED:
        pytest.skip("its sides have other prompts or weights, and that evaluator asks for none")
    gold = np.random.default_rng(5).integers(0, 6, 60).astype(float).tolist()
    given = pairs(gold)
    ours, _ = Sts().evaluate(encode, Pairs("corpus", "sts", given))
    _, left, right, _ = zip(*given, strict=True)
    theirs = EmbeddingSimilarityEvaluator(list(left), list(right), gold, main_similarity="cosine", write_csv=False)(peer)
    assert ours["spearman"] == pytest.approx(theirs["spearman_cosine"], abs=CLOSE)


def test_pairs_are_parted_as_the_binary_classification_evaluator_says(model):
    kind, encode, peer = model
    if kind in PROMPTED:
        pytest.skip("its sides have other prompts or weights, and that evaluator asks for none")
    same = np.random.default_rng(6).integers(0, 2, 60).astype(float).tolist()
    given = pairs(same)
    ours, _ = PairClassification().evaluate(encode, Pairs("corpus", "pair_classification", given))
    _, left, right, _ = zip(*given, strict=True)
    theirs = BinaryClassificationEvaluator(
        list(left), list(right), [int(one) for one in same], similarity_fn_names=["cosine"], write_csv=False
    )(peer)
    expected = {"ap": theirs["cosine_ap"], "accuracy": theirs["cosine_accuracy"], "f1": theirs["cosine_f1"]}
    all_same = 2 * sum(same) / (len(same) + sum(same))  # F1 of a threshold below every cosine, which ours does not try
    assert ours | {"f1": max(ours["f1"], all_same)} == pytest.approx(expected, abs=CLOSE)
