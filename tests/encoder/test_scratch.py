import os
import random
import subprocess
import sys

import pytest
import torch

from pipeline.checkpoint import sha256
from pipeline.encoder.scratch import ScratchBackbone

SETTINGS = {"vocabulary": 300, "width": 16, "layers": 1, "heads": 2, "intermediate": 32, "dropout": 0.1}
PROGRAM = """
import sys, torch
sys.path.insert(0, sys.argv[1])
from pipeline.encoder.scratch import ScratchBackbone
torch.manual_seed(0)
ScratchBackbone(**eval(sys.argv[2]))(open(sys.argv[3]).read().splitlines()).save(sys.argv[4], create_model_card=False)
"""


def corpus():
    """Many words that occur equally often, so that every choice of the vocabulary is a tie."""
    draw = random.Random(0)
    words = ["".join(draw.choice("aeioubcdfg") for _ in range(draw.randint(2, 7))) for _ in range(200)]
    return [" ".join(draw.choice(words) for _ in range(8)) for _ in range(150)]


def test_another_process_with_other_hashes_gives_the_same_bytes(tmp_path, root):
    (tmp_path / "texts").write_text("\n".join(corpus()))
    other = {"PYTHONHASHSEED": "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"}
    arguments = [sys.executable, "-c", PROGRAM, str(root), repr(SETTINGS), str(tmp_path / "texts"), str(tmp_path / "there")]
    there = subprocess.Popen(arguments, env=os.environ | other, cwd=tmp_path, stderr=subprocess.PIPE)
    torch.manual_seed(0)
    ScratchBackbone(**SETTINGS)(corpus()).save(str(tmp_path / "here"), create_model_card=False)
    _, errors = there.communicate(timeout=120)
    assert there.returncode == 0, errors.decode()
    files = {
        side: {file.name: sha256(file) for file in (tmp_path / side).rglob("*") if file.is_file()} for side in ("here", "there")
    }
    assert files["here"] == files["there"]
    assert {"tokenizer.json", "model.safetensors"} <= set(files["here"])


def test_the_vocabulary_is_the_corpuss_own_and_as_large_as_asked():
    torch.manual_seed(0)
    model = ScratchBackbone(**SETTINGS)(corpus())
    backbone, tokenizer = model[0].model, model.tokenizer
    assert len(tokenizer) == backbone.config.vocab_size == 300
    assert backbone.embeddings.word_embeddings.weight.shape == (300, 16)
    for text in corpus()[:20]:
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.unk_token_id not in ids
        assert (ids[0], ids[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)
        assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_letter_case_and_accents_make_no_difference():
    tokenizer = ScratchBackbone(**SETTINGS)(corpus()).tokenizer
    assert tokenizer("ABÉ bàd")["input_ids"] == tokenizer("abe bad")["input_ids"]
    assert tokenizer("ж")["input_ids"][1] == tokenizer.unk_token_id


def test_padding_is_token_zero_in_tokenizer_and_backbone():
    model = ScratchBackbone(**SETTINGS)(corpus())
    backbone, tokenizer = model[0].model, model.tokenizer
    assert tokenizer.pad_token_id == backbone.config.pad_token_id == 0


def test_the_seed_of_torch_draws_the_weights():
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(ScratchBackbone(**SETTINGS)(corpus())[0].model.embeddings.word_embeddings.weight)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_a_width_that_heads_do_not_divide_is_refused():
    with pytest.raises(ValueError, match="width must be a multiple of heads, got 16 and 3"):
        ScratchBackbone(**SETTINGS | {"heads": 3})
