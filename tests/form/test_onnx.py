import importlib

import numpy as np
import pytest

from pipeline.form.int8 import Int8
from pipeline.form.onnx import Onnx, export, session

TEXTS = ["the cat sat on a mat", "a", "", "a dog ran in the park " * 5, "rolling window over rows", "sum of all numbers"]


def own(encoder, texts=TEXTS, task=None, side=None):
    return encoder.encode(texts, max_length_tokens=12, batch_tokens=64, title="", task=task, side=side)


@pytest.fixture(scope="module")
def made(tiny_encoder, tmp_path_factory):
    encoder = tiny_encoder({"_target_": "pipeline.pooling.standard.standard", "mode": "weightedmean"})
    encoder.prompts = {"pooled": False, "texts": {"retrieval": {"query": "sum of "}}}
    folder = tmp_path_factory.mktemp("made")
    return encoder, folder, Onnx(tolerance=1e-4).make(encoder, folder, None, max_length_tokens=12)


def test_the_file_gives_the_model_s_vectors_for_any_number_of_texts_and_length(made):
    encoder, _, encode = made
    np.testing.assert_allclose(encode(TEXTS, "document", "sts"), own(encoder), atol=1e-6, rtol=0)
    for text in TEXTS:
        np.testing.assert_allclose(encode([text], "document", "sts"), own(encoder, [text]), atol=1e-6, rtol=0)


def test_a_prompt_that_is_not_pooled_is_read_by_the_file_too(made):
    encoder, _, encode = made
    expected = own(encoder, task="retrieval", side="query")
    assert np.abs(expected - own(encoder)).max() > 1e-3
    np.testing.assert_allclose(encode(TEXTS, "query", "retrieval"), expected, atol=1e-6, rtol=0)


def test_what_the_card_says_how_to_use_it_gives_those_vectors(made):
    encoder, folder, _ = made
    encoder.tokenizer.save_pretrained(folder)
    use = Onnx.use.format(
        path=folder, file=Onnx.file, pad_id=encoder.pad_id, pad_token=encoder.tokenizer.pad_token, max_length_tokens=12
    )
    names = {"texts": TEXTS}
    exec(use, names)  # noqa: S102  our own text
    np.testing.assert_allclose(names["vectors"], own(encoder), atol=1e-6, rtol=0)


def test_equal_weights_give_equal_bytes_that_name_no_place(made, tmp_path, root):
    encoder, folder, _ = made
    export(encoder, tmp_path / "again.onnx")
    content = (folder / Onnx.file).read_bytes()
    assert (tmp_path / "again.onnx").read_bytes() == content
    for word in (str(root), "site-packages", ".py", str(folder)):
        assert word.encode() not in content


def test_exporting_leaves_the_encoder_as_it_was(made, tmp_path):
    encoder, _, _ = made
    before, training = own(encoder), encoder.training
    export(encoder, tmp_path / "again.onnx")
    assert encoder.training == training
    assert np.array_equal(own(encoder), before)


def test_8_bit_matrices_are_smaller_and_near(made):
    encoder, folder, _ = made
    encode = Int8(per_channel=True, reduce_range=True).make(encoder, folder, None, max_length_tokens=12)
    found, expected = encode(TEXTS, "document", "sts"), own(encoder)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert 0 < np.abs(found - expected).max() < 0.1
    assert (found * expected).sum(1).min() > 0.99
    assert (folder / Int8.file).read_bytes().count(b"MatMulInteger") >= 4
    assert np.array_equal(session(encoder, folder / Int8.file, max_length_tokens=12)(TEXTS, "document", "sts"), found)


def test_8_bits_need_no_other_form(tiny_encoder, tmp_path):
    encoder = tiny_encoder()
    Int8(per_channel=True, reduce_range=True).make(encoder, tmp_path, None, max_length_tokens=12)
    assert sorted(file.name for file in tmp_path.rglob("*.onnx")) == ["model_int8.onnx", "model_quantized.onnx"]


def test_without_the_package_it_says_what_to_install_or_leave_out(tiny_encoder, tmp_path, monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ValueError, match=r"need the package onnx, .*pip install 'tributary\[onnx\]', or set final.forms.onnx"):
        export(tiny_encoder(), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []
