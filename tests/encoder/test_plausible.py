"""Files that ask for more than they hold are told before anything of that size is made."""

import json
import time

import pytest

from pipeline.encoder.encoder import Encoder

REPLACE = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 16}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("num_hidden_layers", 10**6, "num_hidden_layers is 1,000,000, but the weights hold"),
        ("hidden_size", 10**9, "hidden_size is 1,000,000,000, but the weights hold"),
        ("vocab_size", 2**40, "vocab_size is 1,099,511,627,776, but"),
        ("text_config", {"num_hidden_layers": 10**6}, "num_hidden_layers is 1,000,000"),
    ],
)
def test_a_configuration_of_more_than_the_weights_hold_is_told_at_once(tmp_path, tiny_encoder, key, value, message):
    tiny_encoder().save(tmp_path / "model")
    file = tmp_path / "model/config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))
    start = time.process_time()
    with pytest.raises(ValueError, match=message):
        Encoder.load(tmp_path / "model")
    assert time.process_time() - start < 5


@pytest.mark.parametrize("rules", [9, 3, 2])
def test_a_tokenizer_whose_rules_grow_a_text_is_told(tmp_path, tiny_encoder, rules):
    tiny_encoder().save(tmp_path / "model")
    file = tmp_path / "model/tokenizer.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"normalizer": {"type": "Sequence", "normalizers": [REPLACE] * rules}}))
    with pytest.raises(
        ValueError, match=rf"tokenizer.json: its normalizer may make {16**rules:,} characters of one, expected at most 64"
    ):
        Encoder.load(tmp_path / "model")


def test_rules_that_replace_a_blank_pass(tmp_path, tiny_encoder):
    tiny_encoder().save(tmp_path / "model")
    file = tmp_path / "model/tokenizer.json"
    content = json.loads(file.read_text())
    blank = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
    normalizers = [content["normalizer"], blank, {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]
    file.write_text(json.dumps(content | {"normalizer": {"type": "Sequence", "normalizers": normalizers}}))
    assert Encoder.load(tmp_path / "model").width == 16
