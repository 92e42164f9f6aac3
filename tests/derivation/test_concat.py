import re

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from pipeline.derivation.concat import Concat
from pipeline.encoder.directory import weights_hash
from pipeline.encoder.encoder import Encoder

LIMITS = {"max_length_tokens": None, "batch_tokens": 200, "title": ""}
TEXTS = ["the cat sat on a mat", "a", "", "rolling window over rows", "sum of all numbers " * 30]


@pytest.fixture(scope="module")
def members(model_of):
    """Three of one family, with weights that differ."""
    made = [Encoder.load(model_of("Bert")) for _ in range(3)]
    for number, encoder in enumerate(made):
        torch.manual_seed(number)
        for weight in encoder.parameters():
            weight.data += 0.1 * torch.randn_like(weight)
    return made


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_a_cosine_is_the_mean_of_the_models_cosines_also_read_from_disk(members, tmp_path):
    joined, told = Concat(members=None).join(members)
    own = [unit(encoder.encode(TEXTS, **LIMITS).astype(np.float64)) for encoder in members]
    expected = np.mean([one @ one.T for one in own], axis=0)
    joined.save(tmp_path)
    for encoder in (joined, Encoder.load(tmp_path)):
        found = encoder.encode(TEXTS, **LIMITS)
        np.testing.assert_allclose(found @ found.T, expected, atol=1e-5)
        np.testing.assert_allclose(found, np.hstack(own) / 3**0.5, atol=1e-5)
    assert told == {"members": 3, "dims": 48}


def test_sentence_transformers_reads_it_with_this_package_at_hand(members, tmp_path):
    joined, _ = Concat(members=None).join(members[:2])
    joined.save(tmp_path)
    theirs = SentenceTransformer(str(tmp_path), device="cpu", trust_remote_code=True).encode(TEXTS, show_progress_bar=False)
    np.testing.assert_allclose(joined.encode(TEXTS, **LIMITS), theirs, atol=1e-5, rtol=0)


def test_copies_of_one_model_change_no_cosine(members):
    """The control: what several models gain does not come of width."""
    joined, _ = Concat(members=None).join([members[0]] * 4)
    found, own = joined.encode(TEXTS, **LIMITS), unit(members[0].encode(TEXTS, **LIMITS))
    np.testing.assert_allclose(found @ found.T, own @ own.T, atol=1e-6)


def test_equal_members_are_equal_bytes_and_the_hash_covers_every_member(members, tmp_path):
    hashes = []
    for name, chosen in (("a", members[:2]), ("b", members[:2]), ("c", [members[0], members[2]])):
        joined, _ = Concat(members=None).join(chosen)
        joined.save(tmp_path / name)
        hashes.append(weights_hash(tmp_path / name))
    assert hashes[0] == hashes[1] != hashes[2]
    files = [
        {f.relative_to(tmp_path / name): f.read_bytes() for f in (tmp_path / name).rglob("*") if f.is_file()} for name in "ab"
    ]
    assert files[0] == files[1]


def test_prompts_are_read_by_every_member(members, tmp_path):
    prompted = [Encoder.load(tmp_path / "0") for _ in range(2) if members[0].save(tmp_path / "0") is None]
    for encoder in prompted:
        encoder.prompts = {"pooled": True, "texts": {"retrieval": {"query": "sum of "}}}
    joined, _ = Concat(members=None).join(prompted)
    found = joined.encode(TEXTS[:2], **LIMITS, task="retrieval", side="query")
    np.testing.assert_allclose(found, joined.encode([f"sum of {text}" for text in TEXTS[:2]], **LIMITS), atol=1e-6)
    for encoder in prompted:
        encoder.prompts = {"pooled": False, "texts": {"retrieval": {"query": "sum of "}}}
    with pytest.raises(ValueError, match="prompts are not pooled"):
        Concat(members=None).join(prompted)


def test_the_hash_of_what_evaluates_it_covers_the_module_that_it_brings():
    from pipeline.code_hash import Code, code_of

    node = {"_target_": "pipeline.derivation.concat.Concat", "members": None}
    config = {
        "derive": {"beside": {"of": "checkpoints/experts", "derivation": node}}, "models": {"one": "checkpoints/derived/beside"},
        "experts": {}, "train": {}, "evaluate": {}, "encoder": {}, "left_out": {},
    }  # fmt: skip
    assert "encoder/side_by_side.py" in code_of(Code(), config, "evaluate", "one")


def test_models_that_do_not_read_the_same_ids_are_refused(members, tiny_encoder):
    with pytest.raises(ValueError, match="unlike tokenizers or prompts"):
        Concat(members=None).join([members[0], tiny_encoder()])
    with pytest.raises(ValueError, match=re.escape("members must name two models or more, got ['sts']")):
        Concat(members=["sts"])
