"""Prompts that stand around a text: what stands behind it is kept, and may be left out of the vector."""

import json

import numpy as np
import pytest

from pipeline.encoder.encoder import Encoder
from pipeline.encoder.prompts import around, beginnings, marked
from pipeline.shape import Prompts

AROUND = {
    "retrieval": {"query": "the cat: {text} in a park", "document": "{text} over rows"},
    "sts": {"query": "the ", "document": ""},
}
LIMITS = {"max_length_tokens": 12, "batch_tokens": 64, "title": ""}
LONG = "a dog ran over a rolling mat and sat on all numbers"


def with_prompts(tiny_encoder, pooled, texts=AROUND, **further):
    encoder = tiny_encoder(**further).eval()
    encoder.prompts = {"pooled": pooled, "texts": texts}
    return encoder


def words(encoder, ids):
    return encoder.tokenizer.convert_ids_to_tokens([i if i >= 0 else ~i for i in ids])


def test_a_prompt_is_what_stands_before_and_behind():
    assert around("query: ") == ("query: ", "")
    assert around("a {text} b") == ("a ", " b")
    assert around("{text} b") == ("", " b")


@pytest.mark.parametrize(("side", "written"), [("query", "the cat: a dog ran in a park"), ("document", "a dog ran over rows")])
def test_a_text_is_read_between_them(tiny_encoder, side, written):
    encoder = with_prompts(tiny_encoder, True)
    assert encoder.token_ids(["a dog ran"], 12, task="retrieval", side=side) == encoder.token_ids([written], 12)
    found = encoder.encode(["a dog ran"], **LIMITS, task="retrieval", side=side)
    np.testing.assert_allclose(found, encoder.encode([written], **LIMITS), atol=1e-6)


def test_a_long_text_is_cut_and_what_stands_behind_it_is_not(tiny_encoder):
    encoder = with_prompts(tiny_encoder, True)
    short, long, none = encoder.token_ids(["a dog", LONG, ""], 12, task="retrieval", side="query")
    assert words(encoder, long)[-4:] == words(encoder, short)[-4:] == ["in", "a", "park", "[SEP]"]
    assert words(encoder, none)[-4:-1] == ["in", "a", "park"]
    assert len(long) == 12
    assert words(encoder, long)[:7] == ["[CLS]", "the", "cat", *words(encoder, encoder.plain_ids([": a dog ran"])[0])[:4]]
    assert encoder.token_ids([LONG], 11, task="retrieval", side="query")[0][-4:] == long[-4:]


def test_beginnings_are_the_longest_that_fit():
    def count(texts):
        return [len(text) // 3 for text in texts]

    assert beginnings(["x" * 100, "y" * 7, "z" * 21], count, 6) == ["x" * 20, "y" * 7, "z" * 20]


def test_what_is_not_pooled_is_marked_before_and_behind_and_special_tokens_at_the_end_are_pooled(tiny_encoder):
    encoder = with_prompts(tiny_encoder, False)
    query, document = (encoder.token_ids(["a dog ran"], 12, task="retrieval", side=side)[0] for side in ("query", "document"))
    plain = encoder.token_ids(["a dog ran"], 12)[0]
    assert [i for i in query if i >= 0] == plain[1:]  # [CLS] stands before the prompt
    assert words(encoder, [i for i in document if i < 0]) == words(encoder, encoder.plain_ids([" over rows"])[0])
    assert [i for i in document if i >= 0] == plain
    assert marked([5, 6, 7, 8, 2], before=1, behind=2, special={2, 5}) == [~5, 6, ~7, ~8, 2]
    ids, mask = encoder.padded([document])
    hidden, kept = encoder.tokens(ids, mask)
    expected = (hidden * kept[..., None]).sum(1) / kept.sum()
    found = encoder.encode(["a dog ran"], **LIMITS, task="retrieval", side="document")
    np.testing.assert_allclose(found, (expected / expected.norm()).detach().numpy(), atol=1e-6)


def test_a_directory_keeps_such_prompts_for_this_package_and_says_so(tiny_encoder, tmp_path, capsys):
    encoder = with_prompts(tiny_encoder, True)
    encoder.save(tmp_path / "saved")
    told = capsys.readouterr().out
    assert (
        f"{tmp_path / 'saved'}: the prompts document, query, retrieval_document, retrieval_query have words behind {{text}}"
        in told
    )
    theirs = json.loads((tmp_path / "saved/config_sentence_transformers.json").read_text())["prompts"]
    assert theirs == {"query": "", "document": "", "sts_query": "the ", "sts_document": ""}
    loaded = Encoder.load(tmp_path / "saved")
    for side in ("query", "document"):
        asked = {"task": "retrieval", "side": side}
        assert loaded.token_ids([LONG, "a"], 12, **asked) == encoder.token_ids([LONG, "a"], 12, **asked)
    with_prompts(tiny_encoder, True, {"sts": AROUND["sts"]}).save(tmp_path / "plain")
    assert capsys.readouterr().out == ""


def test_a_prompt_that_leaves_no_token_or_holds_two_texts_is_refused(tiny_encoder):
    encoder = with_prompts(tiny_encoder, True)
    with pytest.raises(ValueError, match=r"the prompt 'the cat: \{text\} in a park' takes \d+ of 8 tokens and leaves none"):
        encoder.token_ids(["a"], 8, task="retrieval", side="query")
    with pytest.raises(ValueError, match=r"expected \{text\} at most once"):
        Prompts.model_validate({"pooled": True, "texts": {"sts": {"query": "{text} {text}"}}})
