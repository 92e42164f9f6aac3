import csv

from safetensors.torch import load_file


def test_the_backbone_is_kept_as_it_came_and_the_base_has_learned(finished):
    backbone = load_file(finished / "checkpoints/backbone/model.safetensors")
    base = load_file(finished / "checkpoints/base/model.safetensors")
    assert backbone.keys() == base.keys()
    assert not any(backbone[key].equal(base[key]) for key in base if "encoder.layer.0.attention.self.query" in key)
    assert (finished / "checkpoints/backbone/tokenizer.json").read_bytes() == (
        finished / "checkpoints/base/tokenizer.json"
    ).read_bytes()


def test_the_curve_has_a_point_for_every_step_of_every_phase(finished):
    with (finished / "data/metrics/pretrain.csv").open() as lines:
        points = list(csv.DictReader(lines))
    assert [(point["phase"], point["step"]) for point in points] == [("weak", "0"), ("weak", "1"), ("weak", "2")]
    assert all(float(point["loss"]) == float(point["loss/weak"]) > 0 for point in points)


def test_without_phases_the_base_is_the_backbone(finished, copied, run):
    folder = copied("data/curated", "data/config.yaml", pretrain={"phases": {}})
    assert run(folder, "pretrain") == 0
    base, backbone = (folder / f"checkpoints/{name}/model.safetensors" for name in ("base", "backbone"))
    assert base.read_bytes() == backbone.read_bytes() == (finished / "checkpoints/backbone/model.safetensors").read_bytes()


def test_a_task_without_rows_is_told_and_leaves_no_base(copied, run, capsys, finished):
    from pipeline.corpus.files import write
    from pipeline.corpus.row import Row

    folder = copied("data/curated", "data/config.yaml")
    write(folder / "data/curated/labels/train.parquet", Row, [])
    assert run(folder, "pretrain") == 1
    assert "task weak: a batch of 8 needs" in capsys.readouterr().err
    assert not (folder / "checkpoints/base").exists()
    assert list(folder.rglob("*.partial")) == []
