import hashlib
import math
import os
import signal
import subprocess
import sys
import time

import pytest

from pipeline.checkpoint import (
    architecture_of,
    read_json,
    sha256,
    whole_directory,
    write_json,
    write_provenance,
    write_text,
    write_yaml,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_directory_takes_its_name_only_when_it_is_whole(tmp_path):
    target = tmp_path / "deep" / "result"
    with whole_directory(target) as folder:
        (folder / "a").write_text("1")
        assert not target.exists()
    assert names(target) == ["SHA256SUMS", "a"]
    assert names(tmp_path / "deep") == ["result"]


def test_after_an_error_the_old_directory_is_untouched_and_no_remains_lie_about(tmp_path):
    target = tmp_path / "result"
    target.mkdir()
    (target / "old").write_text("kept")

    def fail():
        with whole_directory(target) as folder:
            (folder / "new").write_text("half")
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        fail()
    assert names(tmp_path) == ["result"]
    assert (target / "old").read_text() == "kept"
    assert names(target) == ["old"]


def test_a_new_directory_replaces_the_old_one_whole(tmp_path):
    target = tmp_path / "result"
    target.mkdir()
    (target / "old").write_text("")
    with whole_directory(target) as folder:
        (folder / "new").write_text("")
    assert names(target) == ["SHA256SUMS", "new"]


def test_remains_of_a_killed_run_do_not_get_into_the_next(tmp_path):
    (tmp_path / ".result.partial").mkdir()
    (tmp_path / ".result.partial" / "stale").write_text("")
    with whole_directory(tmp_path / "result") as folder:
        (folder / "new").write_text("")
    assert names(tmp_path / "result") == ["SHA256SUMS", "new"]


def test_a_text_replaces_the_old_one_and_leaves_nothing_beside(tmp_path):
    file = tmp_path / "deep" / "file"
    write_text(file, "old, and longer")
    write_text(file, "nëw")
    assert file.read_bytes() == "nëw".encode()
    assert names(tmp_path / "deep") == ["file"]


def test_equal_content_gives_equal_json_whatever_the_order_of_keys(tmp_path):
    write_json(tmp_path / "a", {"x": 1, "é": [1.5, None]})
    write_json(tmp_path / "b", {"é": [1.5, None], "x": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert read_json(tmp_path / "a") == {"x": 1, "é": [1.5, None]}


def test_equal_content_gives_equal_yaml_whatever_the_order_of_keys(tmp_path):
    write_yaml(tmp_path / "a", {"x": 1, "é": "ü"})
    write_yaml(tmp_path / "b", {"é": "ü", "x": 1})
    assert (tmp_path / "a").read_text() == (tmp_path / "b").read_text() == "x: 1\né: ü\n"


def test_nan_is_refused_and_the_old_file_stays(tmp_path):
    write_json(tmp_path / "metrics", {"loss": 1})
    with pytest.raises(ValueError):
        write_json(tmp_path / "metrics", {"loss": math.nan})
    assert read_json(tmp_path / "metrics") == {"loss": 1}


def test_the_hash_of_a_file_is_that_of_its_bytes(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    assert sha256(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-4


def test_the_hash_of_a_folder_is_that_of_its_sorted_listing(tmp_path):
    (tmp_path / "folder" / "sub").mkdir(parents=True)
    (tmp_path / "folder" / "z").write_bytes(b"1")
    (tmp_path / "folder" / "sub" / "a").write_bytes(b"2")
    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in (("sub/a", b"2"), ("z", b"1"))]
    assert sha256(tmp_path / "folder") == hashlib.sha256("".join(lines).encode()).hexdigest()


@pytest.mark.parametrize("change", [("z", "other"), ("renamed", "1"), ("sub/a", "2x")])
def test_the_hash_of_a_folder_sees_every_change(tmp_path, change):
    for name in ("one", "two"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "z").write_text("1")
        (tmp_path / name / "sub" / "a").write_text("2")
    assert sha256(tmp_path / "one") == sha256(tmp_path / "two")
    (tmp_path / "two" / change[0]).write_text(change[1])
    assert sha256(tmp_path / "one") != sha256(tmp_path / "two")


def test_what_is_missing_has_no_hash(tmp_path):
    with pytest.raises(ValueError, match=r"gone is missing; run `dvc repro`"):
        sha256(tmp_path / "gone")


def test_provenance_holds_hashes_of_the_inputs_and_no_place(tmp_path):
    (tmp_path / "input").write_bytes(b"abc")
    (tmp_path / "out").mkdir()
    write_provenance(tmp_path / "out", version="1", config={"lr": 0.1}, inputs={"data/input": tmp_path / "input"})
    found = read_json(tmp_path / "out" / "provenance.json")
    assert found == {"tributary": "1", "config": {"lr": 0.1}, "inputs": {"data/input": sha256(tmp_path / "input")}}
    assert str(tmp_path) not in (tmp_path / "out" / "provenance.json").read_text()


SLOW = """
import sys, time
from pathlib import Path
from pipeline.checkpoint import whole_directory
with whole_directory(Path(sys.argv[1])) as folder:
    (folder / "a.txt").write_text("one")
    print("begun", flush=True)
    sys.stdin.readline()
    (folder / "b.txt").write_text("one")
"""


@pytest.fixture
def writer(tmp_path, root):
    """Another process that makes ``result`` and waits for a line before its last file."""
    program = [sys.executable, "-c", SLOW, str(tmp_path / "result")]
    environment = os.environ | {"PYTHONPATH": str(root)}
    process = subprocess.Popen(program, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "begun\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_writer_is_told_by_whom_the_output_is_being_made(tmp_path, writer):
    told = rf"result is being made by process {writer.pid} on .*; wait for its end, or stop it"
    with pytest.raises(ValueError, match=told), whole_directory(tmp_path / "result"):
        pytest.fail("two write at once")
    writer.communicate("\n")
    assert writer.returncode == 0
    assert names(tmp_path / "result") == ["SHA256SUMS", "a.txt", "b.txt"]
    assert names(tmp_path) == ["result"]
    with whole_directory(tmp_path / "result") as folder:
        (folder / "c.txt").write_text("two")
    assert names(tmp_path / "result") == ["SHA256SUMS", "c.txt"]


def test_the_lock_of_a_killed_writer_stops_nobody(tmp_path, writer):
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert names(tmp_path) == [".result.partial", ".result.writer"]
    with whole_directory(tmp_path / "result") as folder:
        (folder / "c.txt").write_text("two")
    assert names(tmp_path) == ["result"]


def test_two_writers_of_a_text_come_one_after_the_other(tmp_path, root):
    program = "import sys; from pathlib import Path; from pipeline.checkpoint import write_text\n"
    program += "for _ in range(200): write_text(Path(sys.argv[1]), sys.argv[2] * 3000)"
    environment = os.environ | {"PYTHONPATH": str(root)}
    both = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "x"), letter], env=environment) for letter in "ab"]
    seen, until = set(), time.monotonic() + 60
    while any(process.poll() is None for process in both) and time.monotonic() < until:
        if (tmp_path / "x").is_file():
            seen.add((tmp_path / "x").read_text())
    assert [process.wait(60) for process in both] == [0, 0]
    assert seen <= {"a" * 3000, "b" * 3000}
    assert names(tmp_path) == ["x"]


def test_bytes_are_on_the_disk_before_the_name_is(tmp_path, monkeypatch):
    calls = []
    real = {"fsync": os.fsync, "replace": os.replace}
    opened = lambda descriptor: os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))  # noqa: E731, PTH119, PTH115
    monkeypatch.setattr(os, "fsync", lambda d: (calls.append(opened(d)), real["fsync"](d))[1])
    monkeypatch.setattr(os, "rename", lambda a, b: (calls.append(f"-> {b.name}"), real["replace"](a, b))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append(f"-> {b.name}"), real["replace"](a, b))[1])
    with whole_directory(tmp_path / "result") as folder:
        (folder / "a").write_text("1")
    assert calls[-1] == tmp_path.name
    assert calls[-2] == "-> result"
    assert sorted(calls[:-2]) == [".result.partial", "SHA256SUMS", "a"]
    calls.clear()
    write_text(tmp_path / "text", "1")
    assert calls == [".text.partial", "-> text", tmp_path.name]


def test_a_damaged_json_file_is_told_by_name(tmp_path):
    (tmp_path / "x.json").write_text('{"a": 1')
    with pytest.raises(ValueError, match=r"x\.json is damaged"):
        read_json(tmp_path / "x.json")


PARTS = {"load": {"_target_": "pipeline.protein.model.load"}, "merge": {"_target_": "pipeline.protein.beside.Beside"}}


@pytest.mark.parametrize(
    ("key", "node"),
    [
        ("load", {"_target_": "pipeline.__main__.main"}),
        ("merge", {"_target_": "os.system"}),
        ("head", {"_target_": "pipeline.distributed.disband"}),
        ("other", {"_target_": "pipeline.protein.head.convbert.ConvBert"}),
        ("head", {"_target_": "pipeline.protein.head.convbert.ConvBert", "layers": {"_target_": "pipeline.__main__.main"}}),
        ("architecture", {"_target_": "pipeline.protein.architecture.sc.SC", "a": "${oc.env:HOME}"}),
    ],
)
def test_a_model_names_parts_of_a_model_alone(tmp_path, key, node):
    write_yaml(tmp_path / "architecture.yaml", PARTS)
    assert architecture_of(tmp_path) == PARTS
    write_yaml(tmp_path / "architecture.yaml", PARTS | {key: node})
    with pytest.raises(ValueError, match=r"architecture\.yaml: .*take the file of this model"):
        architecture_of(tmp_path)
