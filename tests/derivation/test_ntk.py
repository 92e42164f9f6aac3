import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from pipeline.derivation.ntk import Ntk
from pipeline.encoder.encoder import Encoder

LIMITS = {"max_length_tokens": None, "batch_tokens": 500, "title": ""}
TEXTS = ["the cat sat on a mat", "a", "rolling window over rows " * 30]


def files(folder):
    return {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def inverse(encoder):
    """The angles of the layers that see the whole text, one a pair of numbers."""
    buffers = dict(encoder.backbone.named_buffers())
    (name,) = [one for one in buffers if one.endswith("inv_freq") and "original" not in one and "sliding" not in one]
    return buffers[name].double()


@pytest.mark.parametrize("kind", ["Qwen3", "ModernBert"])
def test_angles_are_those_of_the_larger_base_and_every_loader_reads_longer_texts_alike(model_of, tmp_path, kind):
    encoder = Encoder.load(model_of(kind))
    plain, before, limit = encoder.encode(TEXTS, **LIMITS), inverse(encoder), encoder.max_length_tokens
    told = Ntk(factor=2, base=3.0).derive(encoder, [], batch_tokens=64)
    share = torch.arange(len(before)).double() / len(before)
    torch.testing.assert_close(inverse(encoder), before * 3.0**-share, rtol=1e-6, atol=0)
    assert told["max_length_tokens"] == encoder.max_length_tokens == 2 * limit
    encoder.save(tmp_path / "out")
    again = Encoder.load(tmp_path / "out")
    ours = again.encode(TEXTS, **LIMITS)
    np.testing.assert_allclose(ours, encoder.encode(TEXTS, **LIMITS), atol=1e-6)
    theirs = SentenceTransformer(str(tmp_path / "out"), device="cpu").encode(TEXTS, show_progress_bar=False)
    np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=0)
    assert np.abs(ours - plain).max() > 1e-4
    assert (again.max_length_tokens, len(again.token_ids([TEXTS[2]], None)[0])) == (2 * limit, min(2 * limit, 122))


@pytest.mark.parametrize("kind", ["Qwen3", "ModernBert"])
def test_a_factor_and_a_base_of_1_are_the_bytes_of_the_source(model_of, tmp_path, kind):
    for name in ("plain", "derived"):
        encoder = Encoder.load(model_of(kind))
        if name == "derived":
            Ntk(factor=1, base=1.0).derive(encoder, [], batch_tokens=64)
        encoder.save(tmp_path / name)
    assert files(tmp_path / "plain") == files(tmp_path / "derived")


def test_a_model_without_rotary_positions_is_refused_by_name(model_of):
    with pytest.raises(ValueError, match=r"BertModel: expected rotary positions .* found none; .*derivation `positions`"):
        Ntk(factor=2, base=3.0).derive(Encoder.load(model_of("Bert")), [], batch_tokens=64)
    with pytest.raises(ValueError, match=r"factor and base must be 1 .* got 0 and 3"):
        Ntk(factor=0, base=3)
