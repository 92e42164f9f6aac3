import importlib.metadata
import json
import shutil
import time

import numpy as np
import pytest
import torch

from pipeline.encoder.encoder import Encoder

STANDARD = {"_target_": "pipeline.pooling.standard.standard"}
MEAN, CLS, LAST, WEIGHTED = (STANDARD | {"mode": mode} for mode in ("mean", "cls", "lasttoken", "weightedmean"))
LATENT = {"_target_": "pipeline.pooling.latent_attention.LatentAttention", "latents": 5, "heads": 2}
PROMPTS = {
    "retrieval": {"query": "a dog ran over: ", "document": ""},
    "sts": {"query": "the sum of ", "document": "the sum of "},
}
EXACT = 1e-6  # float32 keeps about 7 digits; vectors have unit length, and padding changes the order of sums only
TEXTS = [
    "the cat sat on a mat",
    "",
    "a dog",
    "the sum of all numbers in all rows of the park, and the dog ran over a rolling mat in a window, again and again",
    "unseen wörds ☃ only",
    "The CAT sat!",
    "rolling window over rows",
    "the cat sat on a mat",
]


def encode(encoder, texts, *, max_length_tokens=12, batch_tokens=1000):
    return encoder.encode(texts, max_length_tokens=max_length_tokens, batch_tokens=batch_tokens, title="test")


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def saved(tiny_encoder, tmp_path):
    folder = tmp_path / "saved"
    folder.mkdir()
    tiny_encoder().save(folder)
    return folder


@pytest.mark.parametrize("pooling", [MEAN, CLS, LAST, WEIGHTED])
def test_sentence_transformers_gives_the_same_vectors_of_a_saved_encoder(tiny_encoder, tmp_path, pooling):
    from sentence_transformers import SentenceTransformer

    encoder = tiny_encoder(pooling)
    encoder.save(tmp_path / "saved")
    theirs = SentenceTransformer(str(tmp_path / "saved"), device="cpu", local_files_only=True)
    assert theirs.max_seq_length == 12
    assert max(len(ids) for ids in encoder.token_ids(TEXTS, 512)) == 12, "no text is longer than the limit"
    for ours in (encoder, Encoder.load(tmp_path / "saved")):
        np.testing.assert_allclose(encode(ours, TEXTS), theirs.encode(TEXTS, show_progress_bar=False), atol=EXACT, rtol=0)


def prompted(tiny_encoder, pooling, *, pooled):
    encoder = tiny_encoder(pooling)
    encoder.prompts = {"pooled": pooled, "texts": PROMPTS}
    return encoder


@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize("pooling", [MEAN, CLS, LAST, WEIGHTED])
def test_sentence_transformers_puts_the_same_prompts_before_texts(tiny_encoder, tmp_path, pooling, pooled):
    from sentence_transformers import SentenceTransformer

    encoder = prompted(tiny_encoder, pooling, pooled=pooled)
    encoder.save(tmp_path / "saved")
    loaded = Encoder.load(tmp_path / "saved")
    theirs = SentenceTransformer(str(tmp_path / "saved"), device="cpu", local_files_only=True)
    texts = [text for text in TEXTS if text]  # nothing but a prompt: theirs pools no token, or the end token
    plain = encode(encoder, texts)
    for task, sides in PROMPTS.items():
        for side, prompt in sides.items():
            found = loaded.encode(texts, max_length_tokens=12, batch_tokens=1000, title="", task=task, side=side)
            expected = theirs.encode(texts, prompt_name=f"{task}_{side}", show_progress_bar=False)
            np.testing.assert_allclose(found, expected, atol=EXACT, rtol=0)
            assert bool(np.abs(found - plain).max() > 1e-4) is bool(prompt)
    query = loaded.encode(texts, max_length_tokens=12, batch_tokens=1000, title="", task="retrieval", side="query")
    np.testing.assert_allclose(theirs.encode_query(texts, show_progress_bar=False), query, atol=EXACT, rtol=0)
    np.testing.assert_allclose(theirs.encode_document(texts, show_progress_bar=False), plain, atol=EXACT, rtol=0)


def test_a_prompt_that_is_not_pooled_is_read_and_marked_in_the_ids(tiny_encoder):
    encoder = prompted(tiny_encoder, MEAN, pooled=False).eval()
    ids = encoder.token_ids(["the cat"], 12, task="retrieval", side="query")[0]
    plain = encoder.tokenizer("a dog ran over: the cat")["input_ids"]
    marked = len(encoder.tokenizer("a dog ran over:")["input_ids"]) - 1  # with the start, without the end
    assert ids == [~i for i in plain[:marked]] + plain[marked:]
    hidden = encoder.backbone(input_ids=torch.tensor([plain])).last_hidden_state[0, marked:].mean(0)
    found, layers = encoder(*encoder.padded([ids]), layers=True)
    torch.testing.assert_close(found[0], hidden / hidden.norm(), rtol=0, atol=EXACT)
    torch.testing.assert_close(layers[-1], found, rtol=0, atol=0)


def test_a_prompt_that_leaves_no_token_for_the_text_is_refused(tiny_encoder):
    encoder = prompted(tiny_encoder, MEAN, pooled=True)
    with pytest.raises(ValueError, match=r"the prompt 'a dog ran over: ' takes \d+ of 6 tokens and leaves none"):
        encoder.token_ids(["text"], 6, task="retrieval", side="query")


def latent(tiny_encoder):
    encoder = tiny_encoder(LATENT)
    torch.manual_seed(5)
    for weight in encoder.pooling.parameters():
        torch.nn.init.normal_(weight)
    return encoder


@pytest.mark.parametrize("pooled", [True, False])
def test_a_pooling_with_weights_comes_back_and_others_are_told_what_it_takes(tiny_encoder, tmp_path, pooled):
    from sentence_transformers import SentenceTransformer

    encoder = latent(tiny_encoder)
    encoder.prompts = {"pooled": pooled, "texts": PROMPTS}
    encoder.save(tmp_path / "saved")
    where = {"device": "cpu", "local_files_only": True}
    loaded = Encoder.load(tmp_path / "saved")
    np.testing.assert_array_equal(encode(loaded, TEXTS), encode(encoder, TEXTS))
    with pytest.raises(ValueError, match=r"pipeline.pooling.latent_attention.LatentAttention.*(.|\n)*trust_remote_code=True"):
        SentenceTransformer(str(tmp_path / "saved"), **where)
    theirs = SentenceTransformer(str(tmp_path / "saved"), trust_remote_code=True, **where)  # it is this package's own code
    np.testing.assert_allclose(theirs.encode(TEXTS, show_progress_bar=False), encode(loaded, TEXTS), atol=EXACT, rtol=0)
    found = loaded.encode(["a mat"], max_length_tokens=12, batch_tokens=100, title="", task="retrieval", side="query")
    np.testing.assert_allclose(theirs.encode_query(["a mat"], show_progress_bar=False), found, atol=EXACT, rtol=0)


def test_a_pooling_with_weights_is_saved_again_to_the_byte_and_its_weights_must_fit(tiny_encoder, tmp_path):
    for name in ("saved", "again"):
        (tmp_path / name).mkdir()
    latent(tiny_encoder).save(tmp_path / "saved")
    Encoder.load(tmp_path / "saved").save(tmp_path / "again")
    assert files(tmp_path / "again") == files(tmp_path / "saved")
    config = tmp_path / "saved/1_LatentAttention/config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"latents": 6}))
    with pytest.raises(ValueError, match=r"cannot load model .*(.|\n)*size mismatch for latents"):
        Encoder.load(tmp_path / "saved")


def test_the_two_poolings_differ(tiny_encoder):
    assert np.abs(encode(tiny_encoder(MEAN), TEXTS) - encode(tiny_encoder(CLS), TEXTS)).max() > 0.01


def test_saved_loaded_and_saved_again_is_the_same_to_the_byte(saved, tmp_path):
    shutil.move(saved, tmp_path / "elsewhere")
    again = tmp_path / "again"
    again.mkdir()
    Encoder.load(tmp_path / "elsewhere").save(again)
    assert files(again) == files(tmp_path / "elsewhere")


def test_the_limit_of_the_last_call_leaves_no_trace_in_the_directory(tiny_encoder, saved, tmp_path):
    encoder = Encoder.load(saved)
    encode(encoder, TEXTS, max_length_tokens=5)
    (tmp_path / "again").mkdir()
    encoder.save(tmp_path / "again")
    assert files(tmp_path / "again") == files(saved)


def test_no_file_of_a_directory_names_a_place_or_a_version(saved, tmp_path):
    folder = tmp_path / "again"
    folder.mkdir()
    Encoder.load(saved).save(folder)
    versions = [
        importlib.metadata.version(name).split("+")[0] for name in ("transformers", "torch", "tokenizers", "safetensors")
    ]
    texts = {name: content.decode() for name, content in files(folder).items() if not name.endswith(".safetensors")}
    assert {"config.json", "tokenizer.json", "tokenizer_config.json", "modules.json", "encoder.yaml"} <= set(texts)
    for name, text in texts.items():
        assert not [word for word in (str(tmp_path), str(saved), "/tmp", "/root", *versions) if word in text], name  # noqa: S108
    header = (folder / "model.safetensors").read_bytes()
    assert json.loads(header[8 : 8 + int.from_bytes(header[:8], "little")])["__metadata__"] == {"format": "pt"}


def test_the_pooling_and_the_limit_come_back(tiny_encoder, tmp_path):
    tiny_encoder(CLS, max_length_tokens=9).save(tmp_path / "saved")
    loaded = Encoder.load(tmp_path / "saved")
    assert loaded.pooling.pooling_mode == "cls"
    assert loaded.max_length_tokens == 9
    assert loaded.width == 16


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_directory_that_lacks_a_file_is_refused_by_name(saved, name):
    (saved / name).unlink()
    with pytest.raises(ValueError, match=f"saved is no encoder directory: {name} is missing"):
        Encoder.load(saved)


def test_a_directory_cannot_name_code_outside_the_package(saved):
    layout = json.loads((saved / "modules.json").read_text())
    for kind, message in (
        ("os.getcwd", "the module os.getcwd is code of the model's own, which is not run"),
        ("pipeline.checkpoint.sha256", "expected modules of sentence_transformers .*got pipeline.checkpoint.sha256"),
        ("pipeline.pooling.no_such.Module", "pipeline.pooling.no_such.Module is no module of this package"),
    ):
        layout[1]["type"] = kind
        (saved / "modules.json").write_text(json.dumps(layout))
        with pytest.raises(ValueError, match=message):
            Encoder.load(saved)


def test_vectors_have_unit_length_and_stand_in_the_order_of_the_texts(tiny_encoder):
    encoder = tiny_encoder()
    vectors = encode(encoder, TEXTS)
    assert vectors.shape == (len(TEXTS), 16)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=EXACT)
    for text, vector in zip(TEXTS, vectors, strict=True):  # one by one: no padding, no sorting
        ids = torch.tensor(encoder.token_ids([text], 12))
        with torch.inference_mode():
            hidden = encoder.eval().backbone(input_ids=ids).last_hidden_state[0]
        mean = hidden.mean(0)
        np.testing.assert_allclose(vector, (mean / mean.norm()).numpy(), atol=EXACT)


@pytest.mark.parametrize("batch_tokens", [1, 13, 24, 50, 10_000])
def test_vectors_do_not_depend_on_what_is_encoded_together(tiny_encoder, batch_tokens):
    encoder = tiny_encoder()
    expected = encode(encoder, TEXTS)
    np.testing.assert_allclose(encode(encoder, TEXTS, batch_tokens=batch_tokens), expected, atol=EXACT, rtol=0)
    order = np.random.default_rng(0).permutation(len(TEXTS))
    shuffled = encode(encoder, [TEXTS[i] for i in order], batch_tokens=batch_tokens)
    np.testing.assert_allclose(shuffled, expected[order], atol=EXACT, rtol=0)


def test_a_batch_stays_within_its_tokens_unless_one_text_alone_is_longer(tiny_encoder, monkeypatch):
    encoder = tiny_encoder()
    shapes = []
    padded = encoder.padded
    monkeypatch.setattr(encoder, "padded", lambda ids: shapes.append((len(ids), max(map(len, ids)))) or padded(ids))
    encode(encoder, TEXTS * 3, batch_tokens=24)
    assert sum(count for count, _ in shapes) == 3 * len(TEXTS)
    assert all(count * length <= 24 for count, length in shapes)
    shapes.clear()
    encode(encoder, TEXTS, batch_tokens=5)
    assert all(count == 1 or count * length <= 5 for count, length in shapes)


def test_encoding_is_without_dropout_and_leaves_the_mode_as_it_was(tiny_encoder):
    encoder = tiny_encoder(dropout=0.5)
    for mode in (True, False):
        encoder.train(mode)
        np.testing.assert_array_equal(encode(encoder, TEXTS), encode(encoder, TEXTS))
        assert encoder.training is encoder.backbone.training is mode


def test_no_texts_give_no_vectors(tiny_encoder):
    assert encode(tiny_encoder(), []).shape == (0, 16)


def test_texts_are_cut_at_the_smaller_limit_and_keep_their_end_token(tiny_encoder):
    encoder = tiny_encoder()
    long = TEXTS[3]
    assert [len(encoder.token_ids([long], limit)[0]) for limit in (5, 12, 99)] == [5, 12, 12]
    full = encoder.tokenizer(long)["input_ids"]
    assert encoder.token_ids([long], 5)[0] == [*full[:4], encoder.tokenizer.sep_token_id]
    assert np.abs(encode(encoder, [long], max_length_tokens=5) - encode(encoder, [long])).max() > 1e-3


def test_padding_stands_at_the_right_and_is_masked(tiny_encoder):
    encoder = tiny_encoder()
    ids, mask = encoder.padded([[5, 6, 7], [8]])
    pad = encoder.tokenizer.pad_token_id
    assert ids.tolist() == [[5, 6, 7], [8, pad, pad]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]


def test_gradients_reach_every_weight_that_makes_the_vectors(tiny_encoder):
    encoder = tiny_encoder()
    encoder(*encoder.padded(encoder.token_ids(TEXTS, 12)))[:, 0].sum().backward()
    without = [name for name, weight in encoder.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert [name for name in without if "pooler" not in name] == []  # BERT's own pooler is kept, not used


def test_the_vectors_after_each_block_are_pooled_like_the_last(tiny_encoder):
    encoder = tiny_encoder().eval()
    ids, mask = encoder.padded(encoder.token_ids(TEXTS, 12))
    vectors, layers = encoder(ids, mask, layers=True)
    torch.testing.assert_close(vectors, encoder(ids, mask), rtol=0, atol=0)
    assert len(layers) == 2
    torch.testing.assert_close(layers[-1], vectors, rtol=0, atol=0)
    hidden = encoder.backbone.embeddings(ids)
    added = torch.where(mask[:, None, None, :] == 1, 0.0, torch.finfo(torch.float32).min)
    after_first = encoder.backbone.encoder.layer[0](hidden, added.expand(-1, 1, ids.shape[1], -1))
    weight = mask[:, :, None].float()
    expected = torch.nn.functional.normalize((after_first * weight).sum(1) / weight.sum(1), dim=-1)
    torch.testing.assert_close(layers[0], expected, rtol=0, atol=EXACT)


@pytest.mark.parametrize("pooling", [MEAN, CLS])
def test_tokens_left_out_of_pooling_are_still_read(tiny_encoder, pooling):
    encoder = tiny_encoder(pooling).eval()
    ids, mask = encoder.padded(encoder.token_ids(TEXTS[:1] + TEXTS[5:7], 12))
    left_out = ids.clone()
    left_out[:, :3] = ~ids[:, :3]
    hidden = encoder.backbone(input_ids=ids, attention_mask=mask).last_hidden_state
    weight = mask[:, 3:, None].float() if pooling is MEAN else torch.eye(ids.shape[1] - 3)[None, 0, :, None]
    expected = torch.nn.functional.normalize((hidden[:, 3:] * weight).sum(1), dim=-1)
    torch.testing.assert_close(encoder(left_out, mask), expected, rtol=0, atol=EXACT)
    assert (encoder(left_out, mask) - encoder(ids, mask)).abs().max() > 0.01


def test_a_limit_beyond_the_backbones_positions_is_refused(tiny_encoder):
    with pytest.raises(ValueError, match="max_length_tokens is 513, but the backbone has 512 positions"):
        tiny_encoder(max_length_tokens=513)


def test_devices_share_the_batches_and_give_the_same_vectors(tiny_encoder):
    one = tiny_encoder()
    alone = encode(one, TEXTS, batch_tokens=20)
    one.spread([torch.device("cpu"), torch.device("cpu"), torch.device("cpu")])
    read = []

    def slowly(backbone, args):
        read.append(backbone)
        time.sleep(0.02)  # so that the others take the next

    for other in one.copies:
        other.backbone.register_forward_pre_hook(slowly)
    np.testing.assert_array_equal(encode(one, TEXTS, batch_tokens=20), alone)
    assert set(read) == {other.backbone for other in one.copies}
    one.copies[1].backbone.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # told, not waited for
        encode(one, TEXTS, batch_tokens=20)
    one.spread([])
    np.testing.assert_array_equal(encode(one, TEXTS, batch_tokens=20), alone)
