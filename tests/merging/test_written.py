"""What a merge of directories writes and says beside the weights."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.stage.merge import merge_directories

SECTION = {
    "snapshots": False,
    "probe": None,
    "max_distance": 1.0,
    "method": {"_target_": "pipeline.merging.soup.Soup", "weights": []},
}


@pytest.fixture
def merged(tmp_path):
    """Merges experts whose every weight is ``changes`` times noise beside that of a base of ``dtype``; folder of the result."""

    def made(dtype, *changes):
        draw = torch.Generator().manual_seed(0)
        base = torch.randn(32, 16, generator=draw).to(dtype)
        for name, change in zip(("base", "x", "y"), (0.0, *changes), strict=True):
            (tmp_path / name).mkdir()
            config = {"model_type": "bert", "dtype": str(dtype).removeprefix("torch.")}
            (tmp_path / name / "config.json").write_text(json.dumps(config), encoding="utf-8")
            weights = base.float() + change * torch.randn(32, 16, generator=draw)
            save_file({"w": weights.to(dtype) if name == "base" else weights}, tmp_path / name / "model.safetensors")
        paths = [tmp_path / name for name in ("base", "x", "y")]
        merge_directories(paths[0], paths[1:], ["base", "x", "y"], SECTION, tmp_path / "out", runtime={}, seed=0)
        return tmp_path / "out"

    return made


def test_a_widened_merge_says_so_and_is_loaded_as_it_was_written(merged, capsys):
    out = merged(torch.bfloat16, 1e-4, 2e-4)
    assert "written in float32" in capsys.readouterr().out
    assert load_file(out / "model.safetensors")["w"].dtype == torch.float32
    assert json.loads((out / "config.json").read_text(encoding="utf-8"))["dtype"] == "float32"


def test_a_merge_that_half_precision_holds_stays_in_it_and_says_nothing(merged, capsys):
    out = merged(torch.bfloat16, 0.5, 0.5)
    assert "float32" not in capsys.readouterr().out
    assert json.loads((out / "config.json").read_text(encoding="utf-8"))["dtype"] == "bfloat16"


def test_an_expert_that_did_not_move_is_told(merged, capsys):
    merged(torch.float32, 0.0, 0.1)
    told = capsys.readouterr().out
    assert "x: its weights are equal to the base's" in told
    assert "y: its weights" not in told
