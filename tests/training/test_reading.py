import itertools
import random
from dataclasses import replace

import pytest
import torch

from pipeline.corpus.classmates import paired
from pipeline.corpus.row import Row
from pipeline.training.reading import Known, Reader, code_of, text_hash

PROMPTS = {"retrieval": {"query": "a ", "document": "the "}, "sts": {"query": "the ", "document": "the "}}
WORDS = ["cat", "Cat", "dog", "mat", "park", "sat", "ran", "over", "rows", "sum"]


@pytest.fixture
def encoder(tiny_encoder):
    made = tiny_encoder()
    made.prompts = {"pooled": True, "texts": PROMPTS}
    return made


@pytest.fixture
def reader(encoder):
    return Reader(encoder, 6)


def read(encoder, prompt, text):
    """What the encoder is given: the ids of prompt and text, cut at 6."""
    return tuple(encoder.tokenizer(prompt + text, truncation=True, max_length=6)["input_ids"])


def test_texts_are_read_with_the_prompt_and_cut(encoder, reader):
    for task, side in (("retrieval", "query"), ("retrieval", "document"), ("weak", "query")):
        prompt = reader.prompt(task, side)
        assert reader.ids(prompt, "cat sat over rows of all").tolist() == list(
            read(encoder, prompt, "cat sat over rows of all")
        )


def test_codes_are_equal_where_and_only_where_ids_are(encoder, reader):
    prompt = reader.prompt("retrieval", "query")
    texts = [" ".join(words) for n in (1, 2, 4) for words in itertools.product(WORDS[:5], repeat=n)]
    ids = [read(encoder, prompt, text) for text in texts]
    codes = reader.codes(prompt, texts).tolist()
    assert len(set(codes)) == len(set(ids)) < len(texts)
    assert all((codes[i] == codes[j]) == (ids[i] == ids[j]) for i in range(0, len(texts), 7) for j in range(len(texts)))
    assert codes[3] == code_of(torch.tensor(ids[3]))
    assert reader.codes(prompt, ["cat"]) != reader.codes(reader.prompt("retrieval", "document"), ["cat"])


def test_a_text_is_tokenised_once_under_each_prompt(encoder, reader, monkeypatch):
    asked, tokenise = [], encoder.token_ids

    def seen(texts, limit, *, task, side):
        asked.extend((task, text) for text in texts)
        return tokenise(texts, limit, task=task, side=side)

    monkeypatch.setattr(encoder, "token_ids", seen)
    one, other = reader.prompt("retrieval", "query"), reader.prompt("retrieval", "document")
    assert reader.prompt("sts", "query") == other
    reader.codes(one, ["cat", "dog", "cat"])
    reader.ids(one, "dog")
    reader.codes(reader.prompt("sts", "document"), ["cat"])
    reader.codes(other, ["cat", "mat"])
    assert sorted(asked) == [("retrieval", "cat"), ("retrieval", "cat"), ("retrieval", "dog"), ("retrieval", "mat")]


def test_hashes_of_texts_differ_where_letters_do():
    assert text_hash(["cat", "Cat", "cat"]).unique().numel() == 2


def some_rows(seed):
    draw = random.Random(seed)

    def text():
        return " ".join(draw.choices(WORDS, k=draw.choice([1, 1, 5])))

    return [Row("retrieval", str(i), text(), str(i), text()) for i in range(40)]


@pytest.mark.parametrize("seed", range(4))
def test_the_pairs_of_a_batch_are_those_of_a_loop_over_all_rows(encoder, reader, seed):
    rows, draw = some_rows(seed), random.Random(seed)
    texts = sorted({text for row in rows for text in (row.query, row.document)} | {"numbers", "Numbers"})
    one, other = reader.prompt("retrieval", "query"), reader.prompt("retrieval", "document")
    asked = {one: draw.sample(texts, 12), other: draw.sample(texts, 15)}
    present = [(prompt, text) for prompt, of_prompt in asked.items() for text in of_prompt]

    def same(prompt, a, b):
        return read(encoder, prompt, a) == read(encoder, prompt, b)

    expected = set()
    for (p, a), (q, b) in itertools.product(present, repeat=2):
        belong = any(
            (same(p, a, x) and same(q, b, y)) or (same(p, a, y) and same(q, b, x))
            for x, y in ((r.query, r.document) for r in rows)
        )
        if belong or (p != q and (same(q, a, b) or same(p, a, b))):
            expected.add(tuple(code_of(torch.tensor(read(encoder, *one))) for one in ((p, a), (q, b))))
    found = Known(rows, reader).among(asked).tolist()
    assert found == sorted(map(list, expected))
    assert expected


def test_what_is_barred_for_a_text_is_itself_and_all_that_belongs_to_what_reads_like_it(encoder, reader):
    rows = some_rows(9)
    one, other = reader.prompt("retrieval", "query"), reader.prompt("retrieval", "document")
    for text, found in zip(WORDS, Known(rows, reader).barred(WORDS, one, other), strict=True):
        mine = {text}
        for row in rows:
            mine |= {row.document} if read(encoder, one, row.query) == read(encoder, one, text) else set()
            mine |= {row.query} if read(encoder, one, row.document) == read(encoder, one, text) else set()
        assert found == {code_of(torch.tensor(read(encoder, other, each))) for each in mine}


def test_without_a_row_nothing_is_known(reader):
    prompt = reader.prompt("weak", "query")
    assert Known([], reader).among({prompt: ["cat", "dog"]}).shape == (0, 2)
    assert Known([], reader).barred(["cat"], prompt, prompt) == [set(reader.codes(prompt, ["cat"]).tolist())]


def test_any_two_texts_of_a_class_belong_together_whichever_pairs_were_drawn(encoder, reader):
    """Against all pairs of each class, written out as rows of their own."""
    named = [Row("retrieval", f"{i}", text, name, name) for i, (text, name) in enumerate(zip(WORDS, "aabbbccdda", strict=True))]
    classed = [replace(row, task="intent", kind="same_class") for row in named]
    alike = [(a, b) for a, b in itertools.permutations(named, 2) if a.document == b.document]
    whole = Known([replace(a, document=b.query) for a, b in alike], reader)
    prompts = reader.prompt("retrieval", "query"), reader.prompt("retrieval", "document")
    asked = {prompts[0]: WORDS[:7], prompts[1]: WORDS[2:]}
    for rows in (classed, [*classed, *paired(classed, "seed")], paired(classed, "seed")):
        found = Known(rows, reader)
        assert torch.equal(apart(found.among(asked)), apart(whole.among(asked)))
        assert found.barred(WORDS, *prompts) == whole.barred(WORDS, *prompts)
    assert len(whole.among(asked)) > 10


def apart(pairs):
    """Without those of a text and itself, which is no negative of itself in any case."""
    return pairs[pairs[:, 0] != pairs[:, 1]]
