"""Where an encoder is to cut texts, said by the data."""

import pytest

from pipeline.corpus.row import Row
from pipeline.encoder.encoder import Encoder
from pipeline.encoder.length import cut_at, cut_for


@pytest.fixture
def encoder(tiny_encoder):
    return tiny_encoder()


def test_without_a_quantile_the_encoder_cuts_where_it_did_and_the_share_of_longer_texts_is_told(encoder):
    limit = encoder.max_length_tokens
    given = [Row("retrieval", f"q{i}", f"q {i}", f"d{i}", "b " * n) for i, n in enumerate([1, 2, limit, limit + 9])]
    cut = cut_for(encoder, given, quantile=None, at_least=8)
    assert (cut.tokens, cut.texts, cut.longer) == (limit, 8, 2 / 8)
    assert cut.told == f"texts are cut at {limit} tokens; 25.0 % of 8 train texts fill these or are longer"


def test_at_a_quantile_of_the_lengths_rounded_up_and_never_below_the_least(encoder, monkeypatch):
    monkeypatch.setattr("pipeline.encoder.length.STEP", 4)
    given = [Row("retrieval", f"q{i}", "q", f"d{i}", "b " * n + str(i % 10)) for i, n in enumerate([3] * 8 + [9, 20])]
    most = max(len(ids) for ids in encoder.token_ids(["b " * 3 + "0"], None))
    found = cut_for(encoder, given, quantile=0.5, at_least=3).tokens
    assert found == -(-most // 4) * 4
    assert cut_for(encoder, given, quantile=0.5, at_least=found + 5).tokens == min(found + 5, encoder.max_length_tokens)
    assert cut_for(encoder, given, quantile=1.0, at_least=3).tokens <= encoder.max_length_tokens
    assert cut_for(encoder, [], quantile=0.5, at_least=3).longer == 0.0


def test_the_cut_is_kept_with_the_model(encoder, tmp_path):
    cut_at(encoder, 6)
    assert len(encoder.token_ids(["b " * 50], None)[0]) == 6
    encoder.save(tmp_path / "model")
    loaded = Encoder.load(tmp_path / "model")
    assert loaded.max_length_tokens == 6
    assert len(loaded.token_ids(["b " * 50], None)[0]) == 6
    assert loaded.model.max_seq_length == 6
    cut_at(loaded, 99)
    assert loaded.max_length_tokens == 6
