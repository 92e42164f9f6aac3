import importlib
import shutil

import numpy as np
import pytest
import torch
import transformers

from pipeline.checkpoint import sha256
from pipeline.encoder import pretrained
from pipeline.encoder.encoder import Encoder
from pipeline.encoder.pretrained import InstalledBackbone, NamedBackbone, reads_ahead

TEXTS = ["the cat sat", "a dog ran in the park"]
LIMITS = {"max_length_tokens": 12, "batch_tokens": 100, "title": ""}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def saved(tiny_encoder, tmp_path):
    encoder = tiny_encoder()
    encoder.save(tmp_path / "saved")
    return encoder, tmp_path / "saved"


@pytest.fixture
def package(saved, tmp_path, monkeypatch):
    """A package that holds the encoder; importing it would fail."""
    folder = tmp_path / "packages" / "a_packed_model"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    shutil.copytree(saved[1], folder / "model")
    monkeypatch.syspath_prepend(tmp_path / "packages")
    importlib.invalidate_caches()
    return folder


def same(encoder, model):
    other = Encoder(model, max_length_tokens=12)
    np.testing.assert_array_equal(encoder.encode(TEXTS, **LIMITS), other.encode(TEXTS, **LIMITS))


def test_a_folder_gives_its_backbone_and_tokenizer(saved):
    encoder, folder = saved
    same(encoder, NamedBackbone(name=str(folder), revision=None, causal=None)([]))


def tiny_decoder(folder, tiny_encoder, kind="Mistral"):
    """A causal decoder with random weights and the tokenizer of the tiny encoder, as a folder."""
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=90, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=64, pad_token_id=0, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    torch.manual_seed(0)
    getattr(transformers, f"{kind}Model")(config).save_pretrained(folder)
    tiny_encoder().tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("kind", ["Mistral", "Llama", "Qwen2"])
def test_the_causal_mask_of_a_decoder_can_be_taken_off_and_stays_off(tiny_encoder, tmp_path, kind):
    from sentence_transformers import SentenceTransformer

    name = tiny_decoder(tmp_path / "decoder", tiny_encoder, kind)
    for causal, ahead in ((None, False), (True, False), (False, True)):
        assert reads_ahead(NamedBackbone(name=name, revision=None, causal=causal)([])[0].model) is ahead
    model = NamedBackbone(name=name, revision=None, causal=False)([])
    encoder = Encoder(model, max_length_tokens=12)
    encoder.save(tmp_path / "saved")
    loaded = Encoder.load(tmp_path / "saved")
    assert reads_ahead(loaded.backbone)
    vectors = loaded.encode(TEXTS, **LIMITS)
    np.testing.assert_allclose(vectors, encoder.encode(TEXTS, **LIMITS), atol=1e-6)
    theirs = SentenceTransformer(str(tmp_path / "saved"), device="cpu", local_files_only=True)
    np.testing.assert_allclose(theirs.encode(TEXTS, show_progress_bar=False), vectors, atol=1e-6)


def test_a_backbone_that_attends_as_before_is_refused(saved, monkeypatch):
    monkeypatch.setattr(pretrained, "reads_ahead", lambda backbone: False)
    with pytest.raises(ValueError, match=r"encoder.backbone.causal is False, but BertModel attends as before"):
        NamedBackbone(name=str(saved[1]), revision=None, causal=False)([])


def test_an_installed_package_gives_its_model_without_being_imported(saved, package):
    digest = sha256(package / "model" / "model.safetensors")
    same(saved[0], InstalledBackbone(package="a_packed_model", sha256=digest)([]))


def test_a_changed_package_is_refused_with_both_hashes(package):
    digest = sha256(package / "model" / "model.safetensors")
    with pytest.raises(ValueError, match=f"has sha256 {digest}, expected {'0' * 64}"):
        InstalledBackbone(package="a_packed_model", sha256="0" * 64)([])


def test_a_package_that_is_not_installed_is_named():
    with pytest.raises(ValueError, match="package no_such_model is not installed"):
        InstalledBackbone(package="no_such_model", sha256="0" * 64)([])


@pytest.mark.parametrize("revision", ["main", COMMIT[:39], COMMIT.upper(), COMMIT + "0", ""])
def test_a_revision_that_may_move_is_refused(revision):
    with pytest.raises(ValueError, match=f"must be a commit of 40 hex digits, got '{revision}'"):
        NamedBackbone(name="owner/model", revision=revision, causal=None)


def test_a_model_of_the_hub_without_a_revision_is_refused():
    with pytest.raises(ValueError, match="owner/model is no folder here; a model of the Hub needs `revision"):
        NamedBackbone(name="owner/model", revision=None, causal=None)


def test_a_commit_of_the_hub_is_taken_and_nothing_is_loaded_yet():
    assert NamedBackbone(name="owner/model", revision=COMMIT, causal=None).revision == COMMIT


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"config\.json"):
        NamedBackbone(name=str(tmp_path), revision=None, causal=None)([])
