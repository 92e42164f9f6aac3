"""What of a model's directory is copied: files by a list of names, and no link that leads out of it."""

import pytest

from pipeline.copying import copy_model


@pytest.fixture
def model(tmp_path):
    place = tmp_path / "model"
    for name in ("config.json", "model.safetensors", "1_Pooling/config.json", "vocab.txt", "README.md", "encoder.yaml"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(name)
    return place


def names(folder):
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


def test_code_pickles_and_hidden_files_stay_behind_and_are_named(tmp_path, model, capsys):
    before = names(model)
    for name in ("evil.py", "x.pkl", "pytorch_model.bin", ".git/config", "snapshots/5/model.safetensors", "a/b/c/d/e.json"):
        (model / name).parent.mkdir(parents=True, exist_ok=True)
        (model / name).write_text(name)
    copy_model(model, tmp_path / "copy")
    assert names(tmp_path / "copy") == before
    assert capsys.readouterr().out.endswith("not copied, being no part of a model: evil.py, pytorch_model.bin, x.pkl\n")


def test_a_link_out_of_the_directory_is_refused(tmp_path, model):
    (tmp_path / "secret").write_text("secret")
    (model / "notes.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(ValueError, match=r"notes.txt is a link to .*secret, outside of"):
        copy_model(model, tmp_path / "copy")


def test_links_of_the_hub_s_cache_and_of_dvc_s_are_followed(tmp_path):
    kept = tmp_path / "models--a--b"
    (kept / "snapshots/0").mkdir(parents=True)
    (kept / "blobs").mkdir()
    (kept / "blobs/1").write_text("of the hub")
    (kept / "snapshots/0/config.json").symlink_to("../../blobs/1")
    stored = tmp_path / "cache/files/md5/ab" / ("0" * 30)
    stored.parent.mkdir(parents=True)
    stored.write_text("of dvc")
    (kept / "snapshots/0/vocab.txt").symlink_to(stored)
    copy_model(kept / "snapshots/0", tmp_path / "copy")
    assert (tmp_path / "copy/config.json").read_text() == "of the hub"
    assert (tmp_path / "copy/vocab.txt").read_text() == "of dvc"
    assert not (tmp_path / "copy/config.json").is_symlink()
