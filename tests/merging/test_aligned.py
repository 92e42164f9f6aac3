"""Experts of one base that other libraries saved: tensors are matched where that is exact, and refused in these words where not."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.encoder.encoder import Encoder
from tests.encoder.test_any_model import bert, merge, only_a_decoder, ours, plain, pooled, tokenizer


def weights(place, change):
    found = change(load_file(place / "model.safetensors"))
    save_file({n: x.contiguous() for n, x in found.items()}, place / "model.safetensors", metadata={"format": "pt"})


def settings(place, file, **values):
    content = json.loads((place / file).read_text()) if (place / file).is_file() else {}
    (place / file).write_text(json.dumps(content | values))


def noise(found):
    return {n: x + 0.01 * torch.randn_like(x) if x.is_floating_point() else x for n, x in found.items()}


def trio(folder, make, *, saved=True):
    """``base``, and ``one`` and ``two`` with a little noise on every weight."""
    (folder / "made").mkdir()
    place = make(folder / "made")
    Encoder.load(place).save(folder / "base") if saved else shutil.copytree(place, folder / "base")
    torch.manual_seed(3)
    for name in ("one", "two"):
        shutil.copytree(folder / "base", folder / name)
        weights(folder / name, noise)
    merge(folder, "base", "one", "two")
    expected = ours(Encoder.load(folder / "merged"))
    shutil.rmtree(folder / "merged")
    return expected


TABLE = "embeddings.word_embeddings.weight"


def more_rows(folder):
    weights(folder / "one", lambda w: w | {TABLE: torch.cat([w[TABLE], torch.full((8, 16), 9.0)])})
    settings(folder / "one", "config.json", vocab_size=72)


def fewer_rows(folder):
    weights(folder / "one", lambda w: w | {TABLE: w[TABLE][:30]})
    settings(folder / "one", "config.json", vocab_size=30)


CUT = {"direction": "Right", "max_length": 9, "strategy": "LongestFirst", "stride": 0}

ALIGNED = {
    "one expert with a prefix": (
        lambda f: weights(f / "one", lambda w: {f"bert.{n}": x for n, x in w.items()}),
        "one: its tensors are matched without the prefix 'bert.'",
    ),
    "a base with a prefix": (
        lambda f: weights(f / "base", lambda w: {f"bert.{n}": x for n, x in w.items()}),
        "two: its tensors are matched with the prefix 'bert.'",
    ),
    "a prefix and a head": (
        lambda f: weights(
            f / "one", lambda w: {f"model.{n}": x for n, x in w.items()} | {"lm_head.weight": torch.ones(64, 16)}
        ),
        "lm_head.weight, which the base has not and no vector depends on, are left out",
    ),
    "a head that the base has not": (
        lambda f: weights(f / "one", lambda w: w | {"cls.predictions.bias": torch.zeros(64)}),
        "cls.predictions.bias, which the base has not",
    ),
    "an expert without the pooler": (
        lambda f: weights(f / "two", lambda w: {n: x for n, x in w.items() if not n.startswith("pooler")}),
        "pooler.dense.bias, pooler.dense.weight, which it lacks and no vector depends on, stay the base's",
    ),
    "numbers of positions": (
        lambda f: weights(f / "one", lambda w: w | {"embeddings.position_ids": torch.arange(40)[None]}),
        "embeddings.position_ids, which the base has not",
    ),
    "more rows than tokens": (more_rows, "has 72 rows, the base 64, and only 28 stand for tokens"),
    "fewer rows, enough for all tokens": (fewer_rows, "has 30 rows, the base 64, and only 28 stand for tokens"),
    "a tokenizer that was asked for shorter texts": (
        lambda f: settings(f / "one", "tokenizer.json", truncation=CUT),
        "",
    ),
}


@pytest.mark.parametrize("kind", ALIGNED)
def test_tensors_are_matched_where_that_is_exact_and_a_line_says_so(kind, tmp_path, capsys):
    change, said = ALIGNED[kind]
    expected = trio(tmp_path, pooled("mean"))
    change(tmp_path)
    capsys.readouterr()
    merge(tmp_path, "base", "one", "two")
    assert said in capsys.readouterr().out
    np.testing.assert_allclose(ours(Encoder.load(tmp_path / "merged")), expected, atol=1e-5, rtol=0)


def test_a_decoder_is_merged_with_experts_saved_without_its_head(tmp_path, capsys):
    expected = trio(tmp_path, only_a_decoder, saved=False)
    for name in ("one", "two"):
        weights(tmp_path / name, lambda w: {n.removeprefix("model."): x for n, x in w.items() if n != "lm_head.weight"})
    merge(tmp_path, "base", "one", "two")
    assert "with the prefix 'model.'; lm_head.weight, which it lacks" in capsys.readouterr().out
    np.testing.assert_allclose(ours(Encoder.load(tmp_path / "merged")), expected, atol=1e-5, rtol=0)


def test_a_tied_output_table_is_the_expert_s_own_words(tmp_path):
    def tied(folder):
        values = {"num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 64, "tie_word_embeddings": True}
        return plain(folder / "m", "Qwen3", architecture="Qwen3ForCausalLM", words=tokenizer(ends="$A </s>"), **values)

    trio(tmp_path, tied, saved=False)
    weights(tmp_path / "base", lambda w: w | {"lm_head.weight": w["model.embed_tokens.weight"].clone()})
    merge(tmp_path, "base", "one", "two")
    found = load_file(tmp_path / "merged/model.safetensors")
    torch.testing.assert_close(found["lm_head.weight"], found["model.embed_tokens.weight"], rtol=0, atol=0)


def infinite(found):
    return found | {"encoder.layer.0.output.dense.bias": found["encoder.layer.0.output.dense.bias"] / 0}


REFUSED = {
    "a layer is missing": (
        lambda f: weights(f / "one", lambda w: {n: x for n, x in w.items() if "layer.1." not in n}),
        r"one and .*base hold different tensors: missing \['encoder.layer.1",
    ),
    "a layer too many": (
        lambda f: weights(f / "one", lambda w: w | {"encoder.layer.2.output.dense.bias": torch.zeros(16)}),
        r"hold different tensors: unknown \['encoder.layer.2.output.dense.bias'\]",
    ),
    "a prefix and a layer too few": (
        lambda f: weights(f / "one", lambda w: {f"bert.{n}": x for n, x in w.items() if "layer.1." not in n}),
        r"hold different tensors: missing \['encoder.layer.1",
    ),
    "fewer rows than tokens": (
        lambda f: weights(f / "one", lambda w: w | {TABLE: w[TABLE][:20]}),
        r"shape \(20, 16\), the base has \(64, 16\), and the tokenizer has 28 tokens: rows of words are missing",
    ),
    "another width": (
        lambda f: weights(f / "one", lambda w: w | {TABLE: w[TABLE][:, :8]}),
        r"shape \(64, 8\), the base has \(64, 16\); same architecture\?",
    ),
    "another number of positions": (
        lambda f: weights(f / "one", lambda w: w | {"embeddings.position_embeddings.weight": torch.zeros(50, 16)}),
        r"embeddings.position_embeddings.weight: shape \(50, 16\), the base has \(40, 16\)",
    ),
    "infinity": (
        lambda f: weights(f / "one", infinite),
        r"one/model.safetensors, tensor encoder.layer.0.output.dense.bias holds NaN",
    ),
    "infinity in the base": (
        lambda f: weights(f / "base", infinite),
        r"base/model.safetensors, tensor .* holds NaN or infinity",
    ),
    "another number of heads": (
        lambda f: settings(f / "one", "config.json", num_attention_heads=1),
        r"one/config.json: num_attention_heads is 1, the base's is 2",
    ),
    "another activation": (
        lambda f: settings(f / "two", "config.json", hidden_act="relu"),
        r"hidden_act is 'relu', the base's is 'gelu'",
    ),
    "another mask": (lambda f: settings(f / "two", "config.json", is_causal=False), r"is_causal is False, the base's is None"),
    "another pooling": (
        lambda f: settings(f / "one", "1_Pooling/config.json", pooling_mode="cls"),
        r"the module in 1_Pooling is Pooling .*'cls'",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_exact_is_refused_with_file_and_values(kind, tmp_path):
    change, said = REFUSED[kind]
    trio(tmp_path, pooled("mean"))
    change(tmp_path)
    with pytest.raises(ValueError, match=said):
        merge(tmp_path, "base", "one", "two")
    assert not (tmp_path / "merged").exists()


READ_OTHERWISE = {
    "prompts": ("config_sentence_transformers.json", {"prompts": {"query": "x: ", "document": ""}}),
    "similarity_fn_name": ("config_sentence_transformers.json", {"similarity_fn_name": "dot"}),
    "max_seq_length": ("sentence_bert_config.json", {"max_seq_length": 9}),
    "unk_token": ("tokenizer_config.json", {"unk_token": "<mask>"}),
}


@pytest.mark.parametrize("key", READ_OTHERWISE)
def test_settings_by_which_an_expert_reads_otherwise_are_told(key, tmp_path, capsys):
    trio(tmp_path, pooled("mean"))
    file, values = READ_OTHERWISE[key]
    settings(
        tmp_path / "base",
        file,
        **{key: {"prompts": {"query": ""}, "similarity_fn_name": "cosine", "max_seq_length": 40}.get(key, "<unk>")},
    )
    settings(tmp_path / "one", file, **values)
    capsys.readouterr()
    merge(tmp_path, "base", "one", "two")
    told = [line for line in capsys.readouterr().out.splitlines() if f"one/{file}: {key} is {values[key]!r}" in line]
    assert len(told) == 1
    assert "which the merged model takes" in told[0]


def test_an_expert_that_learned_nothing_is_told(tmp_path, capsys):
    (tmp_path / "made").mkdir()
    for name in ("base", "one", "two"):
        Encoder.load(bert(tmp_path / "made" / name)).save(tmp_path / name)
    weights(tmp_path / "two", noise)
    merge(tmp_path, "base", "one", "two")
    out = capsys.readouterr().out
    assert "one: its weights are equal to the base's" in out
    assert "two: its weights are equal" not in out
