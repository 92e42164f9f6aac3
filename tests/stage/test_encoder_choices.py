import shutil

import yaml
from safetensors.torch import load_file

from pipeline.encoder.encoder import Encoder


def test_prompts_an_adapter_and_a_pooling_with_weights_go_through_every_training(finished, workspace, run):
    choices = {"experiment": "tiny", "encoder": "scratch", "pooling": "latent_attention", "prompt": "e5", "adapter": "lora"}
    folder = workspace(choose=choices)
    page = yaml.safe_load((folder / "params.yaml").read_text())
    page["set"] |= {"encoder.prompts.pooled": False, "encoder.pooling.heads": 2, "mine.miner.max_ratio": None}
    (folder / "params.yaml").write_text(yaml.safe_dump(page))
    shutil.copytree(finished / "data/curated", folder / "data/curated")
    for words in (("compose",), ("pretrain",), ("mine",), ("train", "retrieval"), ("evaluate", "retrieval")):
        assert run(folder, *words) == 0, words
    base, expert = (
        load_file(folder / f"checkpoints/{name}/model.safetensors")
        | {
            f"pooling.{key}": value
            for key, value in load_file(folder / f"checkpoints/{name}/1_LatentAttention/model.safetensors").items()
        }
        for name in ("base", "experts/retrieval")
    )
    assert not [name for name in expert if "lora" in name]
    assert not (folder / "checkpoints/backbone/1_LatentAttention").exists()  # it is as it came
    backbone = load_file(folder / "checkpoints/backbone/model.safetensors")
    assert {name for name in backbone if not backbone[name].equal(base[name])} == {
        name for name in backbone if "attention" in name and name.endswith("weight") and "LayerNorm" not in name
    } | {name for name in backbone if name.endswith(("intermediate.dense.weight", "output.dense.weight"))}
    for before, after in ((base, expert),):
        assert {name: value.shape for name, value in before.items()} == {name: value.shape for name, value in after.items()}
        moved = {name for name in before if not before[name].equal(after[name])}
        assert "pooling.to_out.weight" in moved
        assert "encoder.layer.0.attention.self.query.weight" in moved
        assert "embeddings.word_embeddings.weight" not in moved  # the adapter is on linear layers alone
    loaded = Encoder.load(folder / "checkpoints/experts/retrieval")
    assert loaded.prompt("retrieval", "query") == "query: "
    assert loaded.adapter is not None


def test_an_adapter_that_nobody_knows_is_refused_when_composing(workspace, run, capsys):
    folder = workspace(choose={"experiment": "tiny", "encoder": "scratch", "adapter": "lorra"})
    assert run(folder, "compose") == 1
    assert "no conf/adapter/lorra.yaml (did you mean 'lora'?)" in capsys.readouterr().err
