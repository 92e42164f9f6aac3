import random

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from pipeline.form.merged_words import MergedWords, means, vectors, words_of

WHOLE = ["the cat sat on a mat", "a", "", "sum of all numbers"]
SPLIT = ["mat catmatdogrun rowsofnumbers", "parkwindow sum"]  # words that the vocabulary holds in parts alone


def plain_of(encoder, texts, **how):
    return encoder.encode(texts, max_length_tokens=40, batch_tokens=200, title="", unit=True, **how)


def made(encoder):
    return MergedWords().make(encoder, None, None, max_length_tokens=40)


@pytest.fixture
def encoder(tiny_encoder):
    made = tiny_encoder(max_length_tokens=40)
    torch.manual_seed(0)
    for weight in made.parameters():  # wide enough for attention not to be flat
        torch.nn.init.normal_(weight, std=0.3) if weight.ndim > 1 else None
    return made.eval()


def test_words_are_numbered_and_a_special_token_stands_alone():
    assert words_of([None, 0, 0, 1, 2, 2, 2, None, None]) == [0, 1, 1, 2, 3, 3, 3, 4, 5]
    assert words_of([]) == []


def test_texts_whose_words_are_tokens_are_read_as_by_the_model(encoder):
    np.testing.assert_allclose(made(encoder)(WHOLE, "document", "retrieval"), plain_of(encoder, WHOLE), atol=1e-5)
    encoder.prompts = {"pooled": True, "texts": {"retrieval": {"query": "sum of "}}}
    expected = plain_of(encoder, WHOLE, task="retrieval", side="query")
    np.testing.assert_allclose(made(encoder)(WHOLE, "query", "retrieval"), expected, atol=1e-5)


def test_sub_tokens_are_the_mean_of_their_rows_and_fewer_steps(encoder):
    """By a loop over words, and by torch's own count of multiplications."""
    rows = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    found, length = means(rows, [[0, 1, 1, 1, 2], [0, 0]])
    assert length.tolist() == [3, 1]
    torch.testing.assert_close(found[0], torch.stack([rows[0, 0], rows[0, 1:4].mean(0), rows[0, 4]]))
    torch.testing.assert_close(found[1], torch.stack([rows[1, :2].mean(0), torch.zeros(3), torch.zeros(3)]))
    assert np.abs(made(encoder)(SPLIT, "document", "retrieval") - plain_of(encoder, SPLIT)).max() > 1e-3
    counted = []
    for encode in (lambda: made(encoder)(SPLIT, "document", "retrieval"), lambda: plain_of(encoder, SPLIT)):
        with FlopCounterMode(display=False) as counter:
            encode()
        counted.append(counter.get_total_flops())
    assert counted[0] < 0.9 * counted[1]


def test_random_groups_of_as_many_tokens_lie_farther_from_the_model(encoder):
    """The control: what is kept does not come of any grouping whatever."""
    texts = [
        " ".join(random.Random(i).sample(["catmat", "dogpark", "rowssum", "window", "overrolling", "ranin"], 4))
        for i in range(12)
    ]
    ids = encoder.token_ids(texts, None)
    units = [words_of(encoder.tokenizer(text).word_ids()) for text in texts]
    plain = plain_of(encoder, texts)

    def shuffled(of, seed):
        sizes = [of.count(unit) for unit in range(of[-1] + 1)]
        random.Random(seed).shuffle(sizes)
        return [number for number, size in enumerate(sizes) for _ in range(size)]

    def distance(groups):
        return float(1 - (vectors(encoder, ids, groups).numpy() * plain).sum(1).mean())

    own = distance(units)
    assert own < np.mean([distance([shuffled(of, seed) for of in units]) for seed in range(10)])


def test_the_card_s_use_gives_those_vectors_and_what_cannot_be_merged_is_refused(encoder, tmp_path):
    encoder.save(tmp_path)
    for text in ("the cat sat", SPLIT[0]):
        names = {"text": text}
        exec(MergedWords.use.format(path=tmp_path, max_length_tokens=40), names)  # noqa: S102  our own text
        found = names["vector"].detach().numpy()
        np.testing.assert_allclose(found, made(encoder)([text], "document", "retrieval")[0], atol=1e-5)
    encoder.prompts = {"pooled": False, "texts": {"retrieval": {"query": "sum of "}}}
    with pytest.raises(ValueError, match="prompts that are not pooled"):
        made(encoder)
