"""Any embedding model is taken as it is: tiny random ones of every kind give what sentence-transformers gives of them, as they come,
after a step of training, and after a merge."""

import json
import shutil

import numpy as np
import pytest
import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import (
    Dense,
    LayerNorm,
    Normalize,
    Pooling,
    Router,
    StaticEmbedding,
    Transformer,
)
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from pipeline.checkpoint import sha256
from pipeline.encoder.encoder import Encoder
from pipeline.encoder.pretrained import NamedBackbone
from pipeline.stage.merge import merge_directories
from pipeline.training.checks import check_end_token
from pipeline.weights import Weights

CLOSE = 1e-5  # float32 in batches of other shapes
LINE = "the cat sat on a mat dog ran in park rolling window over rows sum of all numbers query passage search for :"
WORDS = LINE.split()
TEXTS = [
    "the cat sat on a mat",
    "a dog",
    "sum of all numbers in all rows of the park over the rolling window",
    "cat",
    "words unseen",
]
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", "<mask>"]
TINY = {"vocab_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 32}
PAD = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


def tokenizer(*, ends="<s> $A </s>", pad="<pad>", side="right", **further):
    """Of whole words; ``ends``: what stands around a text."""
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, *dict.fromkeys(WORDS)])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single=ends, special_tokens=[(token, vocabulary[token]) for token in ("<s>", "</s>") if token in ends]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token=pad, bos_token="<s>", eos_token="</s>", unk_token="<unk>", mask_token="<mask>",
        padding_side=side, **further,
    )  # fmt: skip


def plain(folder, kind, config=None, *, words=None, architecture=None, **values):
    """A directory of transformers alone: random weights, wide enough for texts to differ."""
    torch.manual_seed(0)
    made = getattr(transformers, f"{config or kind}Config")(**TINY | PAD | values)
    model = getattr(transformers, architecture or f"{kind}Model")(made)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3) if weight.ndim > 1 else None
    model.save_pretrained(folder)
    (words or tokenizer()).save_pretrained(folder)
    return folder


def bert(folder, **values):
    return plain(folder / "bert", "Bert", max_position_embeddings=40, **values)


def of(folder, *modules, **settings):
    """The directory of a model of these modules."""
    torch.manual_seed(1)
    SentenceTransformer(modules=list(modules), device="cpu", **settings).save(str(folder / "model"), create_model_card=False)
    return folder / "model"


def trunk(place, **values):
    return Transformer(str(place), **values)


def pooled(mode):
    return lambda folder: of(folder, trunk(bert(folder)), Pooling(16, mode), Normalize())


def family(kind, mode="mean", **values):
    return lambda folder: of(folder, trunk(plain(folder / "trunk", kind, **values)), Pooling(16, mode))


def dense(folder):
    heads = Dense(16, 24, activation_function=torch.nn.Tanh()), LayerNorm(24)
    return of(
        folder,
        trunk(bert(folder)),
        Pooling(16, ("cls", "mean"), include_prompt=False),
        Dense(32, 16),
        *(Dense(16, 24), heads[1]),
    )


def t5(folder):
    plain(
        folder / "trunk", "T5", architecture="T5EncoderModel", d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2,
        words=tokenizer(ends="$A </s>"),
    )  # fmt: skip
    return of(
        folder,
        trunk(folder / "trunk"),
        Pooling(16, "mean"),
        Dense(16, 8, bias=False, activation_function=torch.nn.Identity()),
        Normalize(),
    )


def qwen3(folder):
    words = tokenizer(ends="$A </s>", side="left")
    plain(folder / "trunk", "Qwen3", num_key_value_heads=1, head_dim=8, max_position_embeddings=64, words=words)
    prompts = {"query": "search for : ", "document": "", "passage": "not asked for"}
    return of(folder, trunk(folder / "trunk"), Pooling(16, "lasttoken"), Normalize(), prompts=prompts)


def gemma3(folder):
    values = {"num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 64, "use_bidirectional_attention": True}
    plain(folder / "trunk", "Gemma3Text", words=tokenizer(side="left"), query_pre_attn_scalar=8, sliding_window=8, **values)
    heads = [
        Dense(16, 32, bias=False, activation_function=torch.nn.Identity()),
        Dense(32, 16, bias=False, activation_function=torch.nn.Identity()),
    ]
    prompts = {"query": "query : ", "document": "passage : "}
    return of(folder, trunk(folder / "trunk"), Pooling(16, "mean"), *heads, Normalize(), prompts=prompts)


def static(folder):
    torch.manual_seed(2)
    return of(folder, StaticEmbedding(tokenizer(), embedding_dim=16), Normalize())


def two_towers(folder):
    shutil.copytree(bert(folder), folder / "other")
    other = trunk(folder / "other")
    torch.nn.init.normal_(other.model.embeddings.word_embeddings.weight)
    return of(
        folder,
        Router.for_query_document([trunk(folder / "bert"), Pooling(16, "cls")], [other, Pooling(16, "mean")]),
        Normalize(),
    )


def table_and_tower(folder):
    torch.manual_seed(2)
    queries = [StaticEmbedding(tokenizer(), embedding_dim=16)]
    documents = [trunk(bert(folder)), Pooling(16, "mean")]
    return of(folder, Router.for_query_document(queries, documents), Dense(16, 8))


def instructed(folder):
    prompts = {"query": "search for : ", "document": "passage : ", "search": "sum of : "}
    return of(folder, trunk(bert(folder)), Pooling(16, "weightedmean", include_prompt=False), prompts=prompts)


def default_prompt(folder):
    return of(
        folder,
        trunk(bert(folder)),
        Pooling(16, "mean"),
        prompts={"all": "search for : "},
        default_prompt_name="all",
        similarity_fn_name="dot",
    )


def only_transformers(folder):
    return bert(folder)


def only_a_decoder(folder):
    values = {"num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 64}
    return plain(folder / "m", "Qwen3", architecture="Qwen3ForCausalLM", words=tokenizer(ends="$A </s>"), **values)


CHAT = "{% for message in messages %}: {{ message['content'] }}{% endfor %}"


def chat(folder):
    """Texts are rendered by a template; the prompt is a message of its own."""
    values = {"num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 64}
    words = tokenizer(ends="$A </s>", side="left", chat_template=CHAT)
    plain(folder / "m", "Qwen3", architecture="Qwen3ForCausalLM", words=words, **values)
    return of(folder, trunk(folder / "m"), Pooling(16, "lasttoken"), prompts={"query": "search for"})


def clip(folder):
    text = {**TINY, **PAD, "max_position_embeddings": 40, "projection_dim": 12}
    vision = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 8,
        "patch_size": 4,
    }
    torch.manual_seed(0)
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)
    transformers.CLIPModel(config).save_pretrained(folder / "m")
    images = image_processor(transformers.CLIPImageProcessor)
    transformers.CLIPProcessor(images, tokenizer()).save_pretrained(folder / "m")
    return folder / "m"


def image_processor(kind):
    return kind(size={"height": 8, "width": 8}, crop_size={"height": 8, "width": 8})


KINDS = {
    **{mode: pooled(mode) for mode in ("mean", "cls", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")},
    "dense and norm": dense,
    "roberta": family("Roberta", pad_token_id=0, max_position_embeddings=41),
    "xlm-r": family("XLMRoberta", "cls", max_position_embeddings=41),
    "mpnet": family("MPNet", max_position_embeddings=41),
    "distilbert": family("DistilBert", dim=16, hidden_dim=32, n_layers=2, n_heads=2, max_position_embeddings=40),
    "modernbert": family("ModernBert", max_position_embeddings=64, local_attention=8, cls_token_id=1, sep_token_id=2),
    "t5": t5,
    "qwen3": qwen3,
    "gemma3": gemma3,
    "static": static,
    "two towers": two_towers,
    "table and tower": table_and_tower,
    "instructed": instructed,
    "default prompt": default_prompt,
    "only transformers": only_transformers,
    "only a decoder": only_a_decoder,
    "chat template": chat,
    "clip": clip,
}


@pytest.fixture(params=KINDS)
def model(request, tmp_path):
    return KINDS[request.param](tmp_path)


def ours(encoder, texts=TEXTS, side=None):
    return encoder.encode(texts, max_length_tokens=10**6, batch_tokens=60, title="", task="retrieval", side=side)


def theirs(directory, side, batch_size):
    peer = SentenceTransformer(str(directory), device="cpu", local_files_only=True)
    encode = {"query": peer.encode_query, "document": peer.encode_document, None: peer.encode}[side]
    return encode(TEXTS, batch_size=batch_size, show_progress_bar=False)


def same(encoder, directory):
    """For queries, documents and texts of no side; theirs alone and in one batch, ours alone and in several."""
    for side in ("query", "document", None):
        found = ours(encoder, side=side)
        assert found.shape == (len(TEXTS), encoder.width)
        assert len(np.unique(found.round(4), axis=0)) == len(TEXTS)
        for batch_size in (1, len(TEXTS)):
            np.testing.assert_allclose(found, theirs(directory, side, batch_size), atol=CLOSE, rtol=0)
        np.testing.assert_allclose(found[1:2], ours(encoder, TEXTS[1:2], side), atol=CLOSE, rtol=0)


def trained(encoder):
    """One step on queries and documents in one batch."""
    ids = [row for side in ("query", "document") for row in encoder.token_ids(TEXTS, 64, task="retrieval", side=side)]
    encoder.train()
    query, document = encoder.unit(encoder(*encoder.padded(ids))).split(len(TEXTS))
    torch.nn.functional.cross_entropy(query @ document.T * 20, torch.arange(len(TEXTS))).backward()
    torch.optim.SGD(encoder.parameters(), lr=0.05).step()
    return encoder


def test_a_model_is_read_trained_saved_and_merged_as_sentence_transformers_reads_it(model, tmp_path):
    encoder = Encoder.load(model)
    same(encoder, model)
    before = {name: weight.detach().clone() for name, weight in encoder.weights().items()}
    trained(encoder).save(tmp_path / "expert")
    moved = [name for name, weight in encoder.weights().items() if not weight.equal(before[name])]
    assert {name.rpartition("/")[0] for name in moved} == {name.rpartition("/")[0] for name in before}, "a module did not learn"
    expert = Encoder.load(tmp_path / "expert")
    np.testing.assert_allclose(ours(expert), ours(encoder), atol=CLOSE, rtol=0)
    same(expert, tmp_path / "expert")
    expert.save(tmp_path / "again")
    assert sha256(tmp_path / "again") == sha256(tmp_path / "expert")
    assert set(Weights(tmp_path / "expert").places) <= set(encoder.weights()) | {
        name for name, _ in encoder.model.named_buffers()
    }
    shutil.copytree(tmp_path / "expert", tmp_path / "twin")
    Encoder.load(model).save(tmp_path / "base")
    merge(tmp_path, "base", "expert", "twin")
    np.testing.assert_allclose(ours(Encoder.load(tmp_path / "merged")), ours(expert), atol=CLOSE, rtol=0)
    same(Encoder.load(tmp_path / "merged"), tmp_path / "merged")


def merge(place, base, *experts):
    section = {
        "method": {"_target_": "pipeline.merging.soup.Soup", "weights": []},
        "probe": None,
        "snapshots": False,
        "max_distance": 9.0,
    }
    folders = [place / name for name in (base, *experts)]
    merge_directories(folders[0], folders[1:], [base, *experts], section, place / "merged", runtime={}, seed=0)


def test_what_a_model_says_of_itself_is_kept(tmp_path):
    Encoder.load(default_prompt(tmp_path)).save(tmp_path / "saved")
    kept = SentenceTransformer(str(tmp_path / "saved"), device="cpu")
    assert (kept.default_prompt_name, kept.prompts["all"], kept.similarity_fn_name) == ("all", "search for : ", "dot")
    assert kept.max_seq_length == 40


@pytest.mark.parametrize(
    ("kind", "positions", "tokens"), [("Roberta", 41, 40), ("XLMRoberta", 41, 40), ("MPNet", 41, 39), ("Bert", 40, 40)]
)
def test_positions_that_stand_for_padding_are_no_place_for_a_token(tmp_path, kind, positions, tokens):
    encoder = Encoder.load(family(kind, max_position_embeddings=positions)(tmp_path))
    assert encoder.max_length_tokens == tokens
    assert ours(encoder, ["cat " * 100]).shape == (1, 16)
    with pytest.raises(ValueError, match=f"max_length_tokens is {tokens + 1}, but the backbone has {tokens} positions"):
        Encoder(encoder.model, max_length_tokens=tokens + 1)


def test_another_pooling_is_taken_only_where_it_is_said(tmp_path):
    place = pooled("cls")(tmp_path)
    own, mean = (
        Encoder(NamedBackbone(name=str(place), revision=None, causal=None)([]), pooling=node)
        for node in (None, {"_target_": "pipeline.pooling.standard.standard", "mode": "mean"})
    )
    np.testing.assert_array_equal(ours(own), ours(Encoder.load(place)))
    assert np.abs(ours(own) - ours(mean)).max() > 0.01
    wide = Encoder.load(dense(tmp_path / "dense"))
    with pytest.raises(ValueError, match="makes vectors of 16 numbers, but the modules behind it expect 32"):
        Encoder(wide.model, pooling={"_target_": "pipeline.pooling.standard.standard", "mode": "mean"})
    with pytest.raises(ValueError, match=r"encoder.pooling replaces the pooling of a model, and this one has 0"):
        Encoder(
            Encoder.load(static(tmp_path / "static")).model,
            pooling={"_target_": "pipeline.pooling.standard.standard", "mode": "mean"},
        )


def test_a_model_that_names_no_pooling_is_told_of(tmp_path, capsys):
    NamedBackbone(name=str(bert(tmp_path)), revision=None, causal=None)([])
    assert (
        "says nothing of a pooling (modules.json is missing): mean, as sentence-transformers takes it"
        in capsys.readouterr().out
    )
    NamedBackbone(name=str(only_a_decoder(tmp_path)), revision=None, causal=None)([])
    assert "(modules.json is missing): lasttoken" in capsys.readouterr().out


def test_weights_in_half_precision_are_made_single_before_they_are_trained(tmp_path):
    place = bert(tmp_path)
    transformers.AutoModel.from_pretrained(place).half().save_pretrained(place)
    assert Encoder.load(place).backbone.dtype == torch.float16
    encoder = Encoder(NamedBackbone(name=str(place), revision=None, causal=None)([]))
    encoder.save(tmp_path / "saved")
    assert {weight.dtype for weight in Encoder.load(tmp_path / "saved").parameters()} == {torch.float32}


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_a_model_with_code_of_its_own_is_refused_by_its_name(tmp_path, file):
    place = bert(tmp_path)
    content = json.loads((place / file).read_text()) | {"auto_map": {"AutoModel": "owner/code--modeling.Model"}}
    (place / file).write_text(json.dumps(content))
    with pytest.raises(
        ValueError, match=rf"bert/{file}: auto_map names code of the model's own \(AutoModel\), which is not run"
    ):
        Encoder.load(place)


def test_an_activation_that_is_code_of_somebody_is_refused(tmp_path):
    file = dense(tmp_path) / "2_Dense/config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"activation_function": "owner.Silly"}))
    with pytest.raises(ValueError, match=r"expected an activation_function of torch, got owner.Silly"):
        Encoder.load(file.parents[1])


def test_models_of_other_modules_are_not_merged(tmp_path):
    for name, mode in (("base", "mean"), ("one", "mean"), ("two", "cls")):
        (tmp_path / f"{name} made").mkdir()
        shutil.copytree(pooled(mode)(tmp_path / f"{name} made"), tmp_path / name)
    with pytest.raises(ValueError, match=r"two: the module in 1_Pooling is Pooling .*'cls'.*, the base's is Pooling .*'mean'"):
        merge(tmp_path, "base", "one", "two")


def test_last_token_pooling_without_an_end_token_is_told_with_the_remedy(tmp_path):
    def decoder(name, ends, **further):
        words = tokenizer(ends=ends, **further)
        place = plain(tmp_path / name, "Qwen3", num_key_value_heads=1, head_dim=8, max_position_embeddings=64, words=words)
        (tmp_path / f"{name} made").mkdir()
        return Encoder.load(of(tmp_path / f"{name} made", trunk(place), Pooling(16, "lasttoken")))

    check_end_token("train-x", decoder("with", "$A </s>"))
    with pytest.warns(
        UserWarning, match=r"train-x: .*last token.*ends texts with no special token.*t.add_eos_token = True; t.save"
    ):
        check_end_token("train-x", decoder("without", "$A"))
    check_end_token("train-x", decoder("asked for", "$A", add_eos_token=True))
    place = plain(
        tmp_path / "mended", "Qwen3", num_key_value_heads=1, head_dim=8, max_position_embeddings=64, words=tokenizer(ends="$A")
    )
    mended = transformers.AutoTokenizer.from_pretrained(place)
    mended.add_eos_token = True  # the remedy
    mended.save_pretrained(place)
    check_end_token("train-x", Encoder.load(of(tmp_path, trunk(place), Pooling(16, "lasttoken"))))


def test_token_vectors_and_layers_come_out_of_one_call(tmp_path):
    encoder = Encoder.load(dense(tmp_path)).eval()
    ids, mask = encoder.padded(encoder.token_ids(TEXTS, 64))
    hidden, counted = encoder.tokens(ids, mask)
    layers, _ = encoder.tokens(ids, mask, layers=True)
    assert (
        (encoder.trunk_width, encoder.width, encoder.blocks)
        == (16, 24, 2)
        == (hidden.shape[2], ours(encoder).shape[1], len(layers) - 1)
    )
    assert counted.equal(mask)
    torch.testing.assert_close(layers[0], encoder.backbone.embeddings(ids), rtol=0, atol=0)
    torch.testing.assert_close(layers[-1], hidden, rtol=0, atol=0)
    table = Encoder.load(static(tmp_path / "table"))
    ids, mask = table.padded(table.token_ids(TEXTS, 64))
    hidden, mask = table.tokens(ids, mask)
    mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    np.testing.assert_allclose(torch.nn.functional.normalize(mean, dim=-1).detach(), ours(table), atol=CLOSE)


def test_a_text_of_no_token_has_a_vector_of_zeros_in_a_table(tmp_path):
    encoder = Encoder.load(static(tmp_path))
    np.testing.assert_array_equal(ours(encoder, ["", "cat"])[0], 0)
    np.testing.assert_array_equal(ours(encoder, [""]), 0)


def test_one_text_is_another_input_on_the_other_side_of_a_router(tmp_path):
    encoder = Encoder.load(two_towers(tmp_path))
    assert encoder.reading("retrieval", "query") != encoder.reading("retrieval", "document")
    query, document = (encoder.token_ids(["cat"], 9, side=side)[0] for side in ("query", "document"))
    assert query != document


def images(folder):
    Image = pytest.importorskip("PIL.Image")
    draw = np.random.default_rng(0)
    return [Image.fromarray(draw.integers(0, 255, (8, 8, 3), dtype=np.uint8)) for _ in range(3)]


def vit(folder):
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=8, patch_size=4
    )
    transformers.ViTModel(config).save_pretrained(folder / "m")
    transformers.ViTImageProcessor(size={"height": 8, "width": 8}).save_pretrained(folder / "m")
    return folder / "m"


@pytest.mark.parametrize("kind", [clip, vit])
def test_images_are_read_by_the_model_s_own_processor(tmp_path, kind):
    place, given = kind(tmp_path), images(tmp_path)
    encoder = Encoder.load(place)
    encoder.save(tmp_path / "saved")
    for directory in (place, tmp_path / "saved"):
        peer = SentenceTransformer(str(directory), device="cpu").encode(given, show_progress_bar=False)
        for one in (encoder, Encoder.load(directory)):
            np.testing.assert_allclose(ours(one, given), peer, atol=CLOSE, rtol=0)
