import json
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.weights import INDEX, PART, WEIGHTS, Weights, write_like

STATE = {
    "half": torch.arange(6, dtype=torch.bfloat16).view(2, 3),
    "wide": torch.arange(5, dtype=torch.float64),
    "odd": torch.tensor([True, False, True]),
    "long": torch.arange(2 * PART + 3, dtype=torch.float32),
    "ids": torch.arange(4),
    "scalar": torch.tensor(2.5, dtype=torch.float16),
    "empty": torch.zeros(0, 4),
}


def parts(model):
    def made(name):
        for start in range(0, model.places[name].numel, 1000):
            yield model.read(name, start, start + 1000)

    return made


def sharded(folder, state):
    folder.mkdir()
    names = sorted(state)
    where = {name: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, name in enumerate(names)}
    for file in set(where.values()):
        save_file({name: state[name] for name in names if where[name] == file}, folder / file)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return folder


def whole(folder, state):
    folder.mkdir()
    save_file(state, folder / WEIGHTS, metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize("make", [whole, sharded])
def test_what_is_read_in_parts_and_written_again_is_what_the_library_reads(tmp_path, make):
    model = Weights(make(tmp_path / "in", STATE))
    (tmp_path / "out").mkdir()
    write_like(model, tmp_path / "out", parts(model))
    assert [f.name for f in model.files] == sorted(f.name for f in (tmp_path / "out").glob("*.safetensors"))
    found = {}
    for file in model.files:
        found |= load_file(tmp_path / "out" / file.name)
    assert {n: (v.dtype, v.shape) for n, v in found.items()} == {n: (v.dtype, v.shape) for n, v in STATE.items()}
    assert all(torch.equal(value, STATE[name]) for name, value in found.items())
    model.close()


def test_some_elements_of_a_tensor_are_read_from_where_they_stand(tmp_path):
    model = Weights(whole(tmp_path / "in", STATE))
    assert model.read("half", 2, 5).tolist() == [2, 3, 4]
    assert model.read("ids", 3, 99).tolist() == [3]
    model.close()


def test_a_pickle_is_refused_by_name_and_under_a_false_name(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps({}))
    with pytest.raises(ValueError, match=r"pytorch_model.bin is a pickle"):
        Weights(tmp_path)
    torch.save({"a": torch.zeros(9)}, tmp_path / WEIGHTS)
    with pytest.raises(ValueError, match=r"model.safetensors is no safetensors file"):
        Weights(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x02\0\0\0\0\0\0\0{x"])
def test_what_is_no_safetensors_file_is_refused(tmp_path, content):
    (tmp_path / WEIGHTS).write_bytes(content)
    with pytest.raises(ValueError, match=r"model.safetensors is no safetensors file"):
        Weights(tmp_path)


def test_a_file_that_was_cut_off_is_refused_with_the_tensor(tmp_path):
    file = whole(tmp_path / "in", {"a": torch.zeros(9)}) / WEIGHTS
    model = Weights(tmp_path / "in")
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(ValueError, match=r"model.safetensors ends in the middle of tensor a; fetch or write it again"):
        Weights(tmp_path / "in")
    with pytest.raises(ValueError, match=r"model.safetensors, tensor a: the file ends"):  # cut off since it was opened
        model.read("a")
    model.close()


def test_a_missing_shard_and_a_folder_without_weights_are_told(tmp_path):
    with pytest.raises(ValueError, match=r"holds no model.safetensors"):
        Weights(tmp_path)
    (sharded(tmp_path / "in", STATE) / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ValueError, match=r"names the shard 'model-00002-of-00002.safetensors', which is not there"):
        Weights(tmp_path / "in")


def test_a_shard_outside_the_folder_is_not_read(tmp_path):
    folder = sharded(tmp_path / "in", STATE)
    (folder / INDEX).write_text(json.dumps({"weight_map": {"a": "../model.safetensors"}}))
    with pytest.raises(ValueError, match=r"names the shard"):
        Weights(folder)
