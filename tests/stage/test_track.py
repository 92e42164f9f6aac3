"""W&B's offline files, read back: runs of one group, artifacts that were written and read."""

import json
import os
import shutil
import struct
import subprocess
import sys

import pytest
import yaml
from wandb.proto import wandb_internal_pb2

from pipeline.stage import track
from pipeline.stage.track import _in_order, numbers, score_rows

LOCK = {
    "report": {"deps": [{"path": "data/metrics", "md5": "5"}, {"path": "checkpoints/final", "md5": "4"}], "outs": []},
    "final": {
        "params": {"data/config.yaml": {"seed": 0}},
        "deps": [{"path": "checkpoints/base", "md5": "3"}, {"path": "pipeline/shape.py", "md5": "1"}],
        "outs": [{"path": "checkpoints/final", "md5": "4"}, {"path": "data/metrics/final.json", "md5": "6"}],
    },
    "pretrain": {"deps": [], "outs": [{"path": "checkpoints/base", "md5": "3"}]},
}


def test_a_stage_comes_behind_those_it_reads_from():
    assert _in_order(LOCK) == ["pretrain", "final", "report"]


def test_numbers_are_named_by_their_place_and_nothing_else_is_one():
    assert dict(numbers({"a": {"b": 1, "c": "x", "d": True}, "e": 2.5, "f": None})) == {"a/b": 1, "e": 2.5}


def test_scores_become_a_table_with_a_row_for_each_number(finished):
    content = json.loads((finished / "data/metrics/evaluate/soup.json").read_text())
    rows = score_rows(content)
    one = content["test"]["retrieval/questions"]
    assert ["test", "retrieval", "questions", None, "ndcg@10", one["value"]] in rows
    assert ["test", "retrieval", "questions", None, "low", one["interval"]["low"]] in rows
    assert ["validation", "sts", "graded", None, "spearman", content["validation"]["sts/graded"]["value"]] in rows
    assert {row[4] for row in rows} == {"ndcg@10", "recall@100", "mrr@10", "spearman", "low", "high"}
    assert "validation/sts/graded/value" in dict(numbers(content))


@pytest.fixture
def folder(copied):
    folder = copied("data/config.yaml", "data/metrics", "checkpoints/final", "checkpoints/base", runtime={"tracker": "offline"})
    (folder / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": LOCK}), encoding="utf-8")
    return folder


def logged(content):
    """The records of a LevelDB log behind W&B's header of 7 bytes: blocks of 32 KiB, each part behind checksum, length, kind."""
    at, whole = 7, b""
    while at + 7 <= len(content):
        left = 32768 - at % 32768
        if left < 7:  # padding
            at += left
            continue
        length, kind = struct.unpack_from("<HB", content, at + 4)
        whole += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield whole
            whole = b""


def records(folder):
    """By run name: the records W&B keeps for `wandb sync`."""
    found = {}
    for file in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        of = [wandb_internal_pb2.Record.FromString(data) for data in logged(file.read_bytes())]
        (run,) = [record.run for record in of if record.HasField("run")][:1]
        found[run.display_name] = (run, of)
    return found


def test_every_stage_is_a_run_of_one_group_with_what_it_read_and_wrote(folder, run, capsys):
    assert run(folder, "track") == 0
    assert "tracked 3 stages, offline" in capsys.readouterr().out
    found = records(folder)
    assert sorted(found) == ["final", "pretrain", "report"]
    assert len({one.run_group for one, _ in found.values()}) == 1
    of_run = {name: [r.artifact for r in of if r.HasField("artifact")] for name, (_, of) in found.items()}
    artifacts = {name: {(one.name, one.use_after_commit) for one in those} for name, those in of_run.items()}
    assert ("checkpoints-base", False) in artifacts["pretrain"]
    assert ("checkpoints-base", True) in artifacts["final"]
    assert ("checkpoints-final", False) in artifacts["final"]
    assert ("checkpoints-final", True) in artifacts["report"]
    digests = {(one.name, one.digest) for those in of_run.values() for one in those}
    assert len([1 for name, _ in digests if name == "checkpoints-base"]) == 1  # what was read is what was written
    config = {item.key: json.loads(item.value_json) for item in found["final"][0].config.update}
    assert config["inputs"] == {"checkpoints/base": "3", "pipeline/shape.py": "1"}


def test_a_stage_is_tracked_once_until_it_changes(folder, run, capsys):
    assert run(folder, "track") == 0
    capsys.readouterr()
    assert run(folder, "track") == 0
    assert "tracked 0 of 3" in capsys.readouterr().out
    changed = LOCK | {"report": LOCK["report"] | {"deps": []}}
    (folder / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": changed}), encoding="utf-8")
    assert run(folder, "track") == 0
    assert "tracked 1 of 3" in capsys.readouterr().out


def test_a_tracker_that_is_off_writes_nothing_and_without_a_run_it_says_so(folder, copied, run, capsys):
    config = yaml.safe_load((folder / "data/config.yaml").read_text())
    config["runtime"]["tracker"] = "disabled"
    (folder / "data/config.yaml").write_text(yaml.safe_dump(config))
    assert run(folder, "track") == 0
    assert not (folder / "wandb").exists()
    (folder / "dvc.lock").unlink()
    assert run(folder, "track") == 1
    assert "dvc.lock is missing; run `dvc repro` first" in capsys.readouterr().err


def test_a_run_that_was_damaged_before_it_was_sent_is_made_again(folder, root):
    own = {
        key: value for key, value in os.environ.items() if not key.startswith("WANDB")
    }  # among them this process' own service

    def tracked():  # a process each, as W&B remembers the folder of its first run
        command = [sys.executable, "-m", "pipeline", "track"]
        return subprocess.run(
            command, cwd=folder, env=own | {"PYTHONPATH": str(root)}, capture_output=True, text=True, check=True
        ).stdout

    assert "tracked 3 stages" in tracked()
    file = min(folder.glob("wandb/offline-run-*/*.wandb"))
    file.write_bytes(file.read_bytes()[:100])
    told = tracked()
    assert "damaged" in told
    assert "tracked 1 of 3" in told
    other = max(folder.glob("wandb/offline-run-*/*.wandb"))
    other.with_name(f"{other.name}.synced").touch()  # as `wandb sync` marks what it has sent
    other.write_bytes(b"")
    assert "tracked 0 of 3" in tracked()


DAMAGE = {
    "whole": (lambda file: None, True),
    "cut short": (lambda file: file.write_bytes(file.read_bytes()[:-1]), False),
    "empty": (lambda file: file.write_bytes(b""), False),
    "gone": (lambda file: file.unlink(), False),
    "gone with its folder": (lambda file: shutil.rmtree(file.parent), False),
    "gone, but sent": (lambda file: (file.with_name("run.wandb.synced").touch(), file.unlink()), True),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_only_a_run_that_is_whole_or_sent_counts_as_tracked(tmp_path, capsys, kind):
    damage, counts = DAMAGE[kind]
    (tmp_path / "run").mkdir()
    file = tmp_path / "run/run.wandb"
    file.write_bytes(bytes(100))
    (tmp_path / "tracked").write_text(f"mark 100 {file}\nonline\n")
    damage(file)
    assert ("mark" in track._tracked(tmp_path / "tracked")) == counts  # pyright: ignore[reportPrivateUsage]
    assert "online" in track._tracked(tmp_path / "tracked")  # pyright: ignore[reportPrivateUsage]
    assert ("damaged or gone" in capsys.readouterr().out) != counts
