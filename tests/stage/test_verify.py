"""`python -m pipeline verify`: each flipped bit in what DVC or a list of hashes knows is named, and the status is 1."""

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipeline.checkpoint import whole_directory, write_json, write_provenance
from pipeline.corpus.files import write
from pipeline.corpus.row import Row

STAGE = "from pathlib import Path; from tests.stage.test_verify import make; make(Path())"


def make(folder):
    """Outputs as stages write them: a directory, and a file beside it."""
    with whole_directory(folder / "data/raw") as raw:
        (raw / "x").mkdir()
        write(raw / "x/rows.parquet", Row, [Row("retrieval", f"q{i}", f"a {i}", f"d{i}", f"b {i}") for i in range(9)])
    with whole_directory(folder / "checkpoints/base") as base:
        (base / "model.safetensors").write_bytes(random.Random(0).randbytes(300))
        write_provenance(base, version="1", config={}, inputs={"data/raw": Path("data/raw")})
    write_json(folder / "data/metrics/x.json", {"value": 0.5})


@pytest.fixture(scope="module")
def whole(root, tmp_path_factory):
    """A workspace that DVC ran: two directories and a file, in its cache too."""
    folder = tmp_path_factory.mktemp("whole")
    stage = {"cmd": f'"{sys.executable}" -c "{STAGE}"', "outs": ["data/raw", "checkpoints/base", "data/metrics/x.json"]}
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"make": stage}}))
    (folder / ".dvc").mkdir()
    (folder / ".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    environment = os.environ | {"PYTHONPATH": str(root), "DVC_NO_ANALYTICS": "1"}
    program = "import sys; from dvc.cli import main; sys.exit(main(['repro', '-q']))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def test_a_whole_workspace_passes(folder, run, capsys):
    assert run(folder, "verify") == 0
    assert "comparisons, nothing is damaged" in capsys.readouterr().out
    shutil.rmtree(folder / ".dvc/cache")  # as in a clone that made its outputs itself
    assert run(folder, "verify") == 0
    shutil.rmtree(folder / "data/raw")
    assert run(folder, "verify") == 0


def files(folder):
    places = [folder / name for name in ("data", "checkpoints", ".dvc/cache/files")]
    return sorted(file.relative_to(folder) for place in places for file in place.rglob("*") if file.is_file())


def test_each_flipped_bit_is_named_with_its_file_and_keeps_its_time(folder, run, capsys):
    draw = random.Random(2)
    for name in files(folder):
        file = folder / name
        before, stat = file.read_bytes(), file.stat()
        content = bytearray(before)
        bit = draw.randrange(8 * len(content))
        content[bit // 8] ^= 1 << bit % 8
        file.chmod(0o644)
        file.write_bytes(bytes(content))
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert run(folder, "verify") == 1, name
        assert f"  {name.as_posix()}: " in capsys.readouterr().err
        file.write_bytes(before)
    assert run(folder, "verify") == 0


def test_a_file_that_is_gone_and_an_input_that_is_another_are_named(folder, run, capsys):
    (folder / "checkpoints/base/model.safetensors").unlink()
    assert run(folder, "verify") == 1
    assert "  checkpoints/base/model.safetensors: missing" in capsys.readouterr().err
    record = folder / "checkpoints/base/provenance.json"
    content = json.loads(record.read_text())
    record.write_text(json.dumps(content | {"inputs": {"data/raw": hashlib.sha256(b"").hexdigest()}}))
    for kept in (folder / "dvc.lock", folder / "checkpoints/base/SHA256SUMS"):
        kept.unlink()
    assert run(folder, "verify") == 1
    assert "checkpoints/base/provenance.json: its data/raw was another one than lies there now" in capsys.readouterr().err


def test_where_nothing_ran_or_a_word_follows_it_is_told(tmp_path, run, capsys):
    for words, message in ((["verify"], "there is nothing to compare"), (["verify", "data"], "takes nothing, got data")):
        assert run(tmp_path, *words) == 1
        assert message in capsys.readouterr().err


def test_a_cache_elsewhere_is_looked_at_too(folder, run, capsys):
    shutil.move(folder / ".dvc/cache", folder / "far")
    (folder / ".dvc/config.local").write_text("[cache]\n    dir = ../far\n")
    one = next(file for file in sorted((folder / "far/files/md5").rglob("*")) if file.is_file())
    one.chmod(0o644)
    one.write_bytes(b"other")
    assert run(folder, "verify") == 1
    assert "an object of DVC's cache whose content is not what its name says" in capsys.readouterr().err
