"""The file `encoder.yaml` of a directory that may be anybody's: values alone, nothing called, nothing resolved."""

import json
import os

import pytest
import yaml

import pipeline.__main__
from pipeline.encoder.encoder import Encoder
from pipeline.encoder.settings import settings_of

HOSTILE = {
    "a pooling that calls the program": ({"pooling": {"_target_": "pipeline.__main__.main"}}, "pooling: .*got .*nothing else"),
    "an adapter that calls the program": (
        {"adapter": {"_target_": "pipeline.__main__.main"}},
        "adapter._target_: expected a name below pipeline.adapter, got 'pipeline.__main__.main'",
    ),
    "an adapter of another package": ({"adapter": {"_target_": "os.system"}}, "expected a name below pipeline.adapter"),
    "a secret of the environment": (
        {"adapter": {"_target_": "pipeline.adapter.lora.LoRA", "targets": "${oc.env:MY_SECRET}"}},
        "expected plain values, found",
    ),
    "a node in a node": ({"adapter": {"_target_": "pipeline.adapter.lora.LoRA", "rank": {"_target_": "os.system"}}}, "adapter.rank"),
    "a limit of a text": ({"max_length_tokens": "all"}, "max_length_tokens: expected a whole number, got 'all'"),
    "a limit below nothing": ({"max_length_tokens": -1}, "max_length_tokens: expected more than 2, got '-1'"),
    "a prompt of a third side": ({"prompts": {"pooled": True, "texts": {"sts": {"answer": "a"}}}}, "prompts.texts.sts.answer"),
    "a list": (["max_length_tokens"], "the file: expected lines of `name: value`"),
    "nothing": (None, "the file: expected lines of `name: value`"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_no_setting_is_told_and_nothing_is_called(tmp_path, monkeypatch, case):
    content, message = HOSTILE[case]
    monkeypatch.setenv("MY_SECRET", "of a secret value")
    called = []
    monkeypatch.setattr(pipeline.__main__, "main", lambda *_: called.append(1))
    monkeypatch.setattr(os, "system", lambda *_: called.append(2))
    (tmp_path / "encoder.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ValueError, match=message) as error:
        settings_of(tmp_path)
    assert "of a secret value" not in str(error.value)
    assert str(tmp_path / "encoder.yaml") in str(error.value)
    assert called == []


def test_what_a_saved_encoder_says_comes_back(tmp_path, tiny_encoder):
    encoder = tiny_encoder()
    encoder.prompts = {"pooled": False, "texts": {"retrieval": {"query": "find: "}}}
    encoder.adapter = {"_target_": "pipeline.adapter.lora.LoRA", "rank": 2, "alpha": 4, "dropout": 0.1, "targets": "all-linear"}
    encoder.save(tmp_path / "saved")
    assert settings_of(tmp_path / "saved") == {
        "max_length_tokens": 12, "prompts": encoder.prompts, "adapter": encoder.adapter,
    }  # fmt: skip
    assert Encoder.load(tmp_path / "saved").prompts == encoder.prompts
    (tmp_path / "saved/encoder.yaml").unlink()
    assert settings_of(tmp_path / "saved") == {}


MODULES = {
    "a function of this package": "pipeline.__main__.main",
    "what is no pooling": "pipeline.distributed.disband",
    "a source": "pipeline.protein.source.fasta.Fasta",
    "a function beside a pooling": "pipeline.pooling.standard.standard",
    "what a pooling's module imports": "pipeline.pooling.latent_attention.Module",
    "a name of points": "pipeline.pooling...LatentAttention",
    "what is no module of theirs": "sentence_transformers.util.misc.import_from_string",
    "a trainer of theirs": "sentence_transformers.SentenceTransformerTrainer",
}


@pytest.mark.parametrize("case", MODULES)
def test_only_classes_on_the_list_become_modules(tmp_path, tiny_encoder, case, monkeypatch):
    monkeypatch.setattr(pipeline.__main__, "main", lambda *_: pytest.fail("it was called"))
    tiny_encoder().save(tmp_path / "saved")
    file = tmp_path / "saved/modules.json"
    modules = json.loads(file.read_text())
    modules[1]["type"] = MODULES[case]
    file.write_text(json.dumps(modules))
    with pytest.raises(ValueError, match=r"modules.json: .*(expected modules of|is no module of)"):
        Encoder.load(tmp_path / "saved")


@pytest.mark.parametrize(
    "name", ["modules.json", "config_sentence_transformers.json", "config.json", "model.safetensors", "more"]
)
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_pipe_or_a_device_in_a_model_is_told_and_not_waited_for(tmp_path, tiny_encoder, name, kind):
    tiny_encoder().save(tmp_path / "saved")
    file = tmp_path / "saved" / name
    file.unlink(missing_ok=True)
    os.mkfifo(file) if kind == "pipe" else file.symlink_to("/dev/zero")
    with pytest.raises(ValueError, match=f"{name}: expected a file, found a pipe or a device"):
        Encoder.load(tmp_path / "saved")
