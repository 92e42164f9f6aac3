import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertConfig, BertForSequenceClassification

from pipeline.baseline.bm25 import Bm25
from pipeline.baseline.reranked import Reranked
from pipeline.checkpoint import sha256
from pipeline.corpus.collection import Judged
from pipeline.evaluator.retrieval import Retrieval

DOCUMENTS = ["cat sat mat", "dog ran park ran", "cat cat dog", "rolling window rows", "mat", "cat park"]


@pytest.fixture(scope="module")
def made(tiny_encoder, tmp_path_factory):
    """``(folder, makes the baseline)`` of a random cross-encoder."""
    place = tmp_path_factory.mktemp("reranker")
    encoder = tiny_encoder()
    torch.manual_seed(1)
    config = BertConfig.from_dict(encoder.backbone.config.to_dict() | {"num_labels": 1, "initializer_range": 0.5})
    BertForSequenceClassification(config).save_pretrained(place)
    encoder.tokenizer.save_pretrained(place)
    first = Bm25(k1=0.9, b=0.4, language="en", stem=False)
    rest = {"name": str(place), "revision": None, "sha256": sha256(place), "max_length_tokens": 20}
    return place, lambda number: Reranked(first=first, number=number, **rest)


@torch.no_grad()
def by_hand(place, query, document):
    tokens = AutoTokenizer.from_pretrained(place)(query, document, return_tensors="pt")
    return float(AutoModelForSequenceClassification.from_pretrained(place).eval()(**tokens).logits)


def test_what_the_search_finds_is_ordered_by_the_cross_encoder_and_nothing_else_is_read(made):
    place, baseline = made
    scores, rows = baseline(5).search(["cat", "dog", "unseen"], DOCUMENTS, 100)
    for query, found, logit in zip(["cat", "dog"], rows, scores, strict=False):
        there = [i for i, text in enumerate(DOCUMENTS) if query in text.split()]
        expected = sorted(there, key=lambda i: -by_hand(place, query, DOCUMENTS[i]))
        assert found[: len(there)].tolist() == expected
        assert set(found[len(there) :].tolist()) <= {-1}
        np.testing.assert_allclose(logit[: len(there)], [by_hand(place, query, DOCUMENTS[i]) for i in expected], atol=1e-5)
    assert set(rows[2].tolist()) == {-1}


def test_no_more_than_the_number_are_ordered(made):
    _, baseline = made
    first = baseline(2).first.search(["cat"], DOCUMENTS, 2)[1][0]
    assert set(baseline(2).search(["cat"], DOCUMENTS, 100)[1][0].tolist()) == set(first.tolist())


def test_the_number_that_is_read_is_not_bound_to_what_is_told(made):
    _, baseline = made
    scores, rows = baseline(5).search(["cat"], DOCUMENTS, 100)
    fewer = baseline(5).search(["cat"], DOCUMENTS, 1)
    assert [one.tolist() for one in fewer] == [scores[:, :1].tolist(), rows[:, :1].tolist()]


def test_it_answers_a_search_and_leaves_what_is_none(made):
    _, baseline = made
    documents = {f"d{i}": text for i, text in enumerate(DOCUMENTS)}
    collection = Judged("one", "retrieval", queries={"q": "dog"}, documents=documents, judgements={"q": {"d1": 1, "d2": 1}})
    scores, items = baseline(5).answer(Retrieval(depth=100), collection)
    assert scores["ndcg@10"] == pytest.approx(1)  # both hold the word, whatever their order
    assert items["id"] == ["q"]


def test_a_folder_without_its_hash_is_refused(made):
    place, _ = made
    with pytest.raises(ValueError, match=r"needs its `sha256`, [0-9a-f]{64} at present"):
        Reranked(first=None, number=5, name=str(place), revision=None, sha256=None, max_length_tokens=20)
