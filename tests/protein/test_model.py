import numpy as np
import pytest
import torch

from pipeline.protein.model import AffinityModel

SHORT, LONG = ("MKV:GHT", "ACDEF"), ("MKVLAAGWCC:ACDEFGHIKL", "ACDEFGHIKLMNPQRSTVWYACDEFGHIKL")
MANY = [SHORT, LONG, ("GHT:MKV", "ACDEF"), ("MKV:GHT", "ACDEFGHIKL"), SHORT]
HEADS = pytest.mark.parametrize("headed", [True, False], ids=["convbert", "no head"])


def made(model, architecture, headed):
    return model(architecture) if headed else model(architecture, None)


@HEADS
def test_padding_and_company_change_nothing(model, architecture, headed):
    one = made(model, architecture, headed)
    with torch.no_grad():
        alone = torch.cat([one([complex_]) for complex_ in MANY])
        together = one(MANY)
    assert (alone[0] - alone[1]).abs() > 1e-3  # complexes differ
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=1e-6)


def test_chains_change_places_without_effect_in_hp_alone(model, architecture):
    with torch.no_grad():
        found = model(architecture)([MANY[0], MANY[2]])
    moved = float((found[0] - found[1]).abs())
    assert moved < 1e-6 if architecture["_target_"].endswith("HP") else moved > 1e-4


@HEADS
def test_gradients_reach_every_part_that_learns(model, architecture, headed):
    one = made(model, architecture, headed).train()
    one(MANY).square().sum().backward()
    silent = {name for name, weight in one.named_parameters() if weight.grad is None or not weight.grad.any()}
    # A softmax does not see what is added to all its scores; ESM's contact head is no part of a token's vector.
    assert {name for name in silent if not name.endswith(("key.bias", "conv_kernel_layer.bias"))} <= {
        name for name in silent if "contact_head" in name
    }


def test_token_vectors_that_are_given_serve_as_those_of_the_backbone(model, architecture):
    one = model(architecture)

    def tokens(text):
        ids = one.ids(text)[None]
        return one.encoder.backbone(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0]

    with torch.no_grad():
        torch.testing.assert_close(one(MANY, tokens), one(MANY), atol=1e-6, rtol=1e-6)


def test_a_directory_predicts_the_same_and_its_encoder_loads_elsewhere(model, architecture, tmp_path):
    one = model(architecture)
    limits = {"batch_tokens": 100, "title": ""}
    expected = one.predict(MANY, **limits)
    one.save(tmp_path / "saved")
    np.testing.assert_allclose(AffinityModel.load(tmp_path / "saved").predict(MANY, **limits), expected, atol=1e-12)
    sentence_transformers = pytest.importorskip("sentence_transformers")
    vectors = sentence_transformers.SentenceTransformer(str(tmp_path / "saved"), device="cpu").encode(["MKV:GHT"])
    ours = one.encoder.encode(["MKV:GHT"], max_length_tokens=64, **limits)
    np.testing.assert_allclose(vectors, ours, atol=1e-6)


def test_predictions_keep_their_order_and_take_any_budget(model, architecture):
    one = model(architecture)
    np.testing.assert_allclose(
        one.predict(MANY, batch_tokens=5, title=""), one.predict(MANY, batch_tokens=10_000, title=""), atol=1e-6
    )
    assert len(one.predict([], batch_tokens=5, title="")) == 0


def test_a_chain_of_many_complexes_goes_through_the_backbone_once(model, architecture, monkeypatch):
    one = model(architecture)
    read: list[int] = []
    one.encoder.backbone.register_forward_pre_hook(
        lambda module, args, given: read.append(int(given["attention_mask"].sum())), with_kwargs=True
    )
    remembered = one.predict(MANY, batch_tokens=50, title="")
    assert sum(read) == sum(len(one.ids(text)) for text in one.texts(MANY))
    monkeypatch.setattr("pipeline.protein.model.REMEMBERED", 0)
    read.clear()
    np.testing.assert_allclose(one.predict(MANY, batch_tokens=50, title=""), remembered, atol=1e-6)
    assert sum(read) > sum(len(one.ids(text)) for text in one.texts(MANY))


def test_a_plain_encoder_or_weights_of_another_architecture_are_told(model, architecture, encoder, tmp_path):
    encoder().save(tmp_path / "plain")
    with pytest.raises(ValueError, match="it predicts no affinity"):
        AffinityModel.load(tmp_path / "plain")
    model(architecture).save(tmp_path / "one")
    settings = (tmp_path / "one/architecture.yaml").read_text().replace("layers: 1", "layers: 2")
    (tmp_path / "one/architecture.yaml").write_text(settings)
    with pytest.raises(ValueError, match=r"holds weights .* architecture.yaml wants"):
        AffinityModel.load(tmp_path / "one")
