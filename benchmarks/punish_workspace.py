"""Bits flipped in what a run left, and disks that are full: whether whoever reads it says so.

A flip is in a file of data/raw, data/curated, data/mined, checkpoints (those to go on from included), or DVC's cache, with its old time of
change or a new one. It is asked of what a stage calls to read that file, and of `python -m pipeline verify`.
"""

import contextlib
import io
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PLACES = ("data/raw", "data/curated", "data/mined", "data/runs", "checkpoints", ".dvc/cache/files")
Outcome = tuple[int, str, str, str, float]


def reader(file: Path, workspace: Path) -> Callable[[], Any] | None:
    """What a stage calls for ``file``; None for what only `verify` reads."""
    from pipeline.checkpoint import read_json
    from pipeline.corpus.files import Dropped, Negative, read
    from pipeline.corpus.row import Document, Rejected, Row
    from pipeline.encoder.encoder import Encoder

    parts = file.relative_to(workspace).parts
    if parts[0] == ".dvc":
        return None
    if parts[:2] == ("data", "runs"):
        return lambda: _resumed(file)
    if parts[0] == "checkpoints":
        model = next((folder for folder in file.parents if (folder / "modules.json").is_file()), None)
        if model is None or file.name == "README.md":
            return None
        beside = (lambda: read_json(file)) if file.suffix == ".json" and file.parent == model else (lambda: None)
        return lambda: (_state(Encoder.load(model)), beside())
    if file.suffix == ".parquet":
        kinds = {"documents": Document, "rejected": Rejected, "dropped": Dropped}
        kind: Any = Negative if parts[1] == "mined" else kinds.get(file.stem, Row)
        return lambda: read(file, kind)
    return (lambda: read_json(file)) if file.suffix == ".json" else None


def _state(encoder: Any) -> Any:
    return (
        {name: value.numpy().tobytes() for name, value in encoder.state_dict().items()},
        encoder.prompts,
        encoder.max_length_tokens,
    )


def _resumed(file: Path) -> Any:
    """The checkpoint that a training would go on from, if this is one. ValueError with what it says of a damaged one."""
    from pipeline.training import resume

    if file.suffix != ".ckpt" or not hasattr(resume, "last_whole"):
        return None
    with contextlib.redirect_stderr(io.StringIO()) as said:
        found = resume.last_whole(file.parent)
    if said.getvalue():
        raise ValueError(said.getvalue())
    return found


def flips(workspace: Path, folder: Path, numbers: range) -> Iterator[Outcome]:
    """Each in a fresh reading of one file of a copy of ``workspace``."""
    copy = folder / "flipped"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(workspace, copy, symlinks=True)
    os.chdir(copy)
    files = {place: sorted(file for file in (copy / place).rglob("*") if file.is_file()) for place in PLACES}
    known = [place for place in PLACES if files[place]]
    for number in numbers:
        draw = random.Random(f"flip {number}")
        place = draw.choice(known)
        file = draw.choice([one for one in files[place] if one.stat().st_size])
        old_time = draw.random() < 0.5
        start = time.process_time()
        outcome, said = _flip(file, copy, draw, old_time=old_time)
        name = f"{place}, {'old' if old_time else 'new'} time"
        yield number, name, outcome, f"{file.relative_to(copy)}: {said}", time.process_time() - start


def _flip(file: Path, workspace: Path, draw: random.Random, *, old_time: bool) -> tuple[str, str]:
    from pipeline.sums import _known

    before, stat = file.read_bytes(), file.stat()
    _known.cache_clear()  # a stage is a process of its own
    read = reader(file, workspace)
    whole = read() if read is not None else None
    content, bit = bytearray(before), draw.randrange(8 * len(before))
    content[bit // 8] ^= 1 << bit % 8
    try:
        file.chmod(0o644)
        file.write_bytes(bytes(content))
        if old_time:
            os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        _known.cache_clear()
        return _asked(file, read, whole, workspace)
    finally:
        file.write_bytes(before)
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        file.chmod(stat.st_mode)


def _asked(file: Path, read: Callable[[], Any] | None, whole: Any, workspace: Path) -> tuple[str, str]:
    from pipeline.stage import verify

    if read is not None:
        try:
            return ("harmless", "reads as before") if read() == whole else ("silent wrong", "reads as something else")
        except (ValueError, OSError) as error:
            if file.name in str(error) or file.parent.as_posix() in str(error):
                return "named by its reader", str(error)[:200]
            return "foreign message", str(error)[:200]
    try:
        verify.run([])
    except ValueError as error:
        named = file.relative_to(workspace).as_posix() in str(error)
        return ("named by verify", "") if named else ("silent wrong", "verify names another file")
    return "silent wrong", "verify passes"


def full_disk(workspace: Path, folder: Path, numbers: range) -> Iterator[Outcome]:
    """Stages whose files may not grow beyond a few kilobytes, as on a full disk: a message with a path, not 0, the old output whole."""
    copy = folder / "full"
    stages = (
        ("compose",),
        ("ingest",),
        ("curate",),
        ("mine",),
        ("train", "retrieval"),
        ("merge", "soup"),
        ("final",),
        ("report",),
    )
    for number in numbers[: 3 * len(stages)]:
        stage, limit = stages[number % len(stages)], (1, 8, 60)[number // len(stages) % 3]
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(workspace, copy, symlinks=True)
        before = _bytes(copy)
        start = time.monotonic()
        command = [
            "bash",
            "-c",
            f'ulimit -f {limit}; trap "" XFSZ; exec "$@"',
            "bash",
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "pipeline",
            *stage,
        ]
        done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False, timeout=300)
        yield number, f"{stage[0]}, files of {limit} KiB", *_after(done, before, _bytes(copy)), time.monotonic() - start


def _after(done: "subprocess.CompletedProcess[str]", before: dict[str, bytes], after: dict[str, bytes]) -> tuple[str, str]:
    lost = [name for name in before if name not in after or (done.returncode and after[name] != before[name])]
    if "Traceback" in done.stderr:
        return "traceback", done.stderr.strip().splitlines()[-1][:200]
    if done.returncode and lost:
        return "silent wrong", f"{lost[:3]} are not as they were"
    if any(name.endswith((".partial", ".before", ".writer")) for name in after.keys() - before.keys()):
        return "silent wrong", "something half-made is left"
    if done.returncode == 0:
        return "not touched by it", ""
    said = done.stderr.strip().splitlines()[-1][:200]
    return ("told" if "/" in said or "." in said else "foreign message"), said


def _bytes(workspace: Path) -> dict[str, bytes]:
    """Of outputs; logs and costs may grow as they like."""
    places = [workspace / name for name in ("data", "checkpoints")]
    files = (file for place in places for file in sorted(place.rglob("*")) if file.is_file() and "runs" not in file.parts)
    return {file.relative_to(workspace).as_posix(): file.read_bytes() for file in files}
