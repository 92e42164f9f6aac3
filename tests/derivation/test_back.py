"""A part of the way back, weight by weight."""

import pytest
import torch
from sentence_transformers.sentence_transformer.modules import Dense, Normalize

from pipeline.derivation.back import SHELF, Back
from pipeline.encoder.encoder import Encoder


@pytest.fixture
def shelf(model_of, tmp_path, monkeypatch):
    """The directory of a model off the shelf, in its place in the working directory."""
    monkeypatch.chdir(tmp_path)
    encoder = Encoder.load(model_of("Bert"))
    encoder.save(tmp_path / SHELF)
    return tmp_path / SHELF


def moved(directory, by=0.1, seed=1):
    """The model in ``directory``, every weight moved at random."""
    encoder = Encoder.load(directory)
    torch.manual_seed(seed)
    with torch.no_grad():
        for weight in encoder.weights().values():
            weight += by * torch.randn_like(weight)
    return encoder


@pytest.mark.parametrize("weight", [0.25, 0.5, 0.9])
def test_every_weight_lies_on_the_line_between_the_two(shelf, weight):
    encoder = moved(shelf)
    trained = {name: one.detach().clone() for name, one in encoder.weights().items()}
    found = Back(weight=weight, towards=SHELF).derive(encoder, [], batch_tokens=100)
    other = Encoder.load(shelf).weights()
    for name, one in encoder.weights().items():
        torch.testing.assert_close(one.data, weight * trained[name] + (1 - weight) * other[name].data, rtol=0, atol=1e-6)
    between = sum(float(((trained[name] - other[name].data) ** 2).sum()) for name in other)
    length = sum(float((one.data**2).sum()) for one in other.values())
    assert found == {"weight": weight, "distance": pytest.approx((between / length) ** 0.5, rel=1e-5), "kept_as_they_are": 0}


def test_a_model_that_has_not_moved_stays_bit_for_bit(shelf):
    encoder = Encoder.load(shelf)
    Back(weight=0.3, towards=SHELF).derive(encoder, [], batch_tokens=100)
    for name, one in Encoder.load(shelf).weights().items():
        assert torch.equal(one, encoder.weights()[name])


def test_what_the_other_model_lacks_stays_as_it_is(shelf):
    encoder = moved(shelf)
    encoder.model.append(Dense(16, 16, bias=True))
    encoder.model.append(Normalize())
    dense = {name: one.detach().clone() for name, one in encoder.weights().items() if "Dense" in name}
    found = Back(weight=0.5, towards=SHELF).derive(encoder, [], batch_tokens=100)
    assert found["kept_as_they_are"] == len(dense) == 2
    assert all(torch.equal(encoder.weights()[name], one) for name, one in dense.items())


def test_a_model_of_another_shape_has_no_way_back(shelf, model_of):
    with pytest.raises(ValueError, match="which is missing here; only a model that was trained from it has a way back"):
        Back(weight=0.5, towards=SHELF).derive(Encoder.load(model_of("ModernBert")), [], batch_tokens=100)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"weight": 1.0}, "weight must lie between 0"),
        ({"weight": 50}, "write 0.5 for half way back"),
        ({"towards": "joint"}, "towards must be checkpoints/backbone"),
    ],
)
def test_what_cannot_be_asked_for_is_told(changes, told):
    with pytest.raises(ValueError, match=told):
        Back(**{"weight": 0.5, "towards": SHELF} | changes)
