"""The ONNX files as others read them: by the names of their files and outputs, and by what the card says of pooling."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling

from pipeline.encoder.encoder import Encoder
from pipeline.form import onnx
from pipeline.form.elsewhere import elsewhere, pooling_of
from pipeline.form.int8 import Int8
from pipeline.form.onnx import Onnx
from tests.encoder.test_any_model import TEXTS, bert, dense, family, of, only_a_decoder, pooled, qwen3, trunk

CLOSE = 1e-4  # what is asked of others; kernels differ by 1e-6


def projected(folder):
    return of(folder, trunk(bert(folder)), Pooling(16, "mean"), Dense(16, 8), Normalize())


def hidden_prompt(folder):
    return of(folder, trunk(bert(folder)), Pooling(16, "mean", include_prompt=False), prompts={"query": "sum of : "})


MODELS = {
    "mean": (pooled("mean"), ("mean", True)),
    "cls": (pooled("cls"), ("cls", True)),
    "lasttoken": (qwen3, ("lasttoken", True)),
    "not at unit length": (family("Roberta", pad_token_id=0, max_position_embeddings=41), ("mean", False)),
    "max": (pooled("max"), None),
    "weightedmean": (pooled("weightedmean"), None),
    "dense": (projected, None),
    "two poolings": (dense, None),
    "prompt that is not pooled": (hidden_prompt, None),
    "decoder without modules": (only_a_decoder, ("lasttoken", False)),
}


@pytest.fixture(scope="module", params=MODELS)
def made(request, tmp_path_factory):
    """``(encoder, its directory with the file, the pooling that others must take)``."""
    folder = tmp_path_factory.mktemp("elsewhere")
    model, pooling = MODELS[request.param]
    encoder = Encoder.load(model(folder))
    place = folder / "out"
    encoder.save(place)
    Onnx(tolerance=CLOSE).make(encoder, place, lambda *_: np.empty(0), max_length_tokens=40)
    return encoder, place, pooling


def own(encoder):
    return encoder.encode(TEXTS, max_length_tokens=40, batch_tokens=60, title="")


def run(place, file, *outputs):
    """Outputs of a file for `TEXTS` in one batch, and its mask, padded by the tokenizer in the directory alone."""
    tokenizer = Encoder.load(place).tokenizer
    found = tokenizer(TEXTS, padding=True, padding_side="right", return_tensors="np")
    session = onnxruntime.InferenceSession(str(place / file))
    given = {name: found[name].astype(np.int64) for name in ("input_ids", "attention_mask")}
    assert [one.name for one in session.get_inputs()] == list(given)
    return *session.run(list(outputs), given), given["attention_mask"]


def test_both_outputs_have_the_names_and_numbers_that_others_look_for(made):
    encoder, place, _ = made
    hidden, vectors, mask = run(place, "onnx/model.onnx", "last_hidden_state", "sentence_embedding")
    np.testing.assert_allclose(vectors, own(encoder), atol=CLOSE, rtol=0)
    with torch.no_grad():
        ids, _ = encoder.padded(encoder.token_ids(TEXTS, 40))
        expected = encoder.eval().tokens(ids, torch.from_numpy(mask))[0]
    there = mask.astype(bool)
    np.testing.assert_allclose(hidden[there], expected.numpy()[there], atol=CLOSE, rtol=0)


def test_the_pooling_that_the_card_names_makes_the_model_s_vectors(made):
    encoder, place, pooling = made
    assert pooling_of(encoder) == pooling
    told = elsewhere(encoder, "out", "onnx/model.onnx", "fp32")
    if pooling is None:
        assert "no pooling of `last_hidden_state` makes these vectors" in told
        assert "it cannot make these vectors" in told
        return
    mode, unit = pooling
    hidden, mask = run(place, "onnx/model.onnx", "last_hidden_state")
    last = mask.sum(1) - 1
    by_hand = {
        "mean": (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdims=True),
        "cls": hidden[:, 0],
        "lasttoken": hidden[np.arange(len(last)), last],
    }[mode]
    by_hand = by_hand / np.linalg.norm(by_hand, axis=1, keepdims=True) if unit else by_hand
    np.testing.assert_allclose(by_hand, own(encoder), atol=CLOSE, rtol=0)
    assert ("`--pooling cls`" in told, "`--pooling mean`" in told) == (mode == "cls", mode == "mean")


def test_transformers_js_gives_these_vectors_by_what_the_card_says(made, tmp_path):
    """NODE_PATH names a folder with @huggingface/transformers, where the checkout has no node_modules."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    asked = subprocess.run(["node", "-e", "require('@huggingface/transformers')"], capture_output=True, text=True, check=False)
    if asked.returncode:
        pytest.skip("npm package @huggingface/transformers is not installed (npm install; NODE_PATH=.../node_modules)")
    encoder, place, _ = made
    shutil.copytree(place, tmp_path / "out")
    (tmp_path / "texts.json").write_text(json.dumps(TEXTS))
    told = re.search(
        r"transformers\.js: .*?`((?:const \{|\(await pipeline).*)`\.$",
        elsewhere(encoder, "out", "onnx/model.onnx", "fp32"),
        re.M,
    )
    assert told is not None
    script = told[1] if told[1].startswith("const") else f"return {told[1]}"
    script += "; return sentence_embedding" if script.startswith("const") else ""
    ran = subprocess.run(
        ["node", str(Path(__file__).with_name("elsewhere.cjs")), str(tmp_path), "out", script],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    np.testing.assert_allclose(json.loads(ran.stdout), own(encoder), atol=CLOSE, rtol=0)


BACKEND = """
import json, sys
from sentence_transformers import SentenceTransformer
model = SentenceTransformer(sys.argv[1], backend="onnx", device="cpu", model_kwargs={"file_name": sys.argv[3], "export": False})
print(json.dumps(model.encode(json.loads(sys.argv[2])).tolist()))
"""


def test_sentence_transformers_own_backend_gives_these_vectors(made):
    """TRIBUTARY_OPTIMUM names a folder with optimum-onnx and the versions that it works with, where these are others than ours."""
    path = os.pathsep.join(filter(None, [os.environ.get("TRIBUTARY_OPTIMUM"), os.environ.get("PYTHONPATH")]))
    env = os.environ | {"PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}
    asked = subprocess.run(
        [sys.executable, "-c", "import optimum.onnxruntime, sentence_transformers.base"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode:
        pytest.skip(f"optimum-onnx does not import beside this transformers: {asked.stderr.strip().splitlines()[-1]}")
    encoder, place, _ = made
    ran = subprocess.run(
        [sys.executable, "-c", BACKEND, str(place), json.dumps(TEXTS), "onnx/model.onnx"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    np.testing.assert_allclose(json.loads(ran.stdout.splitlines()[-1]), own(encoder), atol=CLOSE, rtol=0)


def test_quantised_files_have_both_names_and_the_same_outputs(tmp_path):
    encoder = Encoder.load(projected(tmp_path))
    encoder.save(tmp_path / "out")
    Int8(per_channel=True, reduce_range=True).make(encoder, tmp_path / "out", lambda *_: np.empty(0), max_length_tokens=40)
    files = [tmp_path / "out/onnx" / name for name in ("model_int8.onnx", "model_quantized.onnx")]
    assert files[0].read_bytes() == files[1].read_bytes()
    hidden, vectors, _ = run(tmp_path / "out", "onnx/model_quantized.onnx", "last_hidden_state", "sentence_embedding")
    assert (hidden.shape[2], vectors.shape[1]) == (16, 8)
    assert np.abs(vectors - own(encoder)).max() < 0.1


def test_weights_that_one_file_cannot_hold_stand_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx, "LARGEST_BYTES", 2000)
    encoder = Encoder.load(pooled("mean")(tmp_path))
    place = tmp_path / "out"
    encoder.save(place)
    for _ in range(2):  # a second time over the first
        Onnx(tolerance=CLOSE).make(encoder, place, lambda *_: np.empty(0), max_length_tokens=40)
        Int8(per_channel=True, reduce_range=True).make(encoder, place, lambda *_: np.empty(0), max_length_tokens=40)
        names = {file.name: file.stat().st_size for file in (place / "onnx").iterdir()}
        kinds = ("model.onnx", "model_int8.onnx", "model_quantized.onnx")
        assert set(names) == {name + more for name in kinds for more in ("", "_data")}
    assert names["model.onnx_data"] > 8000
    for name in kinds:
        (place / name).mkdir()
        for part in (name, f"{name}_data"):
            shutil.copy(place / "onnx" / part, place / name / part)  # alone: a file names no other's weights
        (vectors, _) = run(place, f"{name}/{name}", "sentence_embedding")
        np.testing.assert_allclose(vectors, own(encoder), atol=CLOSE if name == "model.onnx" else 0.1, rtol=0)


def test_sentence_transformers_still_reads_the_directory(made):
    encoder, place, _ = made
    peer = SentenceTransformer(str(place), device="cpu", local_files_only=True)
    np.testing.assert_allclose(peer.encode(TEXTS), own(encoder), atol=CLOSE, rtol=0)
