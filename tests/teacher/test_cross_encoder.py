"""Scores of a cross-encoder, beside its own model called by hand."""

import pytest
import torch
from sentence_transformers import CrossEncoder
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertConfig, BertForSequenceClassification

from pipeline.checkpoint import sha256
from pipeline.teacher.cross_encoder import CrossEncoderTeacher

QUERIES, DOCUMENTS = ["the cat", "a dog"], ["a mat in the park", "the park", "rows"]
POSITIVE, NEGATIVE = torch.tensor([[0, 2], [1, -1]]), torch.tensor([[2, 1], [-1, 0]])


@pytest.fixture
def folder_of(tiny_encoder, tmp_path):
    """Makes the folder of a random cross-encoder with so many labels."""

    def made(labels):
        place = tmp_path / f"of{labels}"
        encoder = tiny_encoder()
        config = BertConfig.from_dict(encoder.backbone.config.to_dict() | {"num_labels": labels, "initializer_range": 0.5})
        torch.manual_seed(labels)
        BertForSequenceClassification(config).save_pretrained(place)
        encoder.tokenizer.save_pretrained(place)
        return place

    return made


def teacher_of(place, **changes):
    made = CrossEncoderTeacher(
        **{"name": str(place), "revision": None, "sha256": sha256(place), "max_length_tokens": 12, "sigmoid": False} | changes
    )
    made.load(max_length_tokens=None, batch_tokens=64)
    return made


@torch.no_grad()
def by_hand(place, query, document):
    """The logit, or the difference of two, of a pair that stands alone in its batch."""
    tokens = AutoTokenizer.from_pretrained(place)(query, document, truncation=True, max_length=12, return_tensors="pt")
    (logits,) = AutoModelForSequenceClassification.from_pretrained(place).eval()(**tokens).logits
    return float(logits[0] if len(logits) == 1 else logits[1] - logits[0])


@pytest.mark.parametrize("labels", [1, 2])
@pytest.mark.parametrize("sigmoid", [False, True])
def test_each_pair_has_the_logit_of_the_model_itself_and_what_is_not_there_0(folder_of, labels, sigmoid):
    place = folder_of(labels)
    found = teacher_of(place, sigmoid=sigmoid).scores("retrieval", QUERIES, DOCUMENTS, POSITIVE, NEGATIVE)
    assert found.shape == (2, 3)
    for i, row in enumerate(torch.cat([POSITIVE[:, :1], NEGATIVE], dim=1).tolist()):
        for c, j in enumerate(row):
            logit = torch.tensor(by_hand(place, QUERIES[i], DOCUMENTS[j])) if j >= 0 else None
            expected = 0.0 if logit is None else float(logit.sigmoid() if sigmoid else logit)
            assert float(found[i, c]) == pytest.approx(expected, abs=1e-5)
    assert len(set(found.flatten().tolist())) == 6  # the scores differ


def test_a_pair_is_read_once_in_a_training(folder_of, monkeypatch):
    teacher, read = teacher_of(folder_of(1)), []
    plain = CrossEncoder.predict
    monkeypatch.setattr(CrossEncoder, "predict", lambda self, pairs, **how: read.extend(pairs) or plain(self, pairs, **how))
    first = teacher.scores("retrieval", QUERIES, DOCUMENTS, POSITIVE, NEGATIVE)
    again = teacher.scores("retrieval", QUERIES, DOCUMENTS, POSITIVE, NEGATIVE)
    assert torch.equal(first, again)
    assert len(read) == len(set(read)) == 5


def test_a_folder_that_changed_or_is_no_reranker_is_refused_before_the_first_step(folder_of):
    with pytest.raises(ValueError, match="gives 3 scores for a pair; expected 1, or 2"):
        teacher_of(folder_of(3))
    with pytest.raises(ValueError, match=r"has sha256 .*, expected 00"):
        teacher_of(folder_of(1), sha256="00")
    with pytest.raises(ValueError, match=r"needs its `sha256`, [0-9a-f]{64} at present"):
        teacher_of(folder_of(1), sha256=None)
    with pytest.raises(ValueError, match="revision must be a commit of 40 hex digits, got 'main'"):
        CrossEncoderTeacher(name="owner/name", revision="main", sha256=None, max_length_tokens=9, sigmoid=False)
    place = folder_of(2)
    (place / "config.json").write_text('{"model_type": "bert", "auto_map": {"AutoModel": "code.Model"}}')
    with pytest.raises(ValueError, match="auto_map names code of the model's own"):
        teacher_of(place)
