"""What bad files, hostile models, flipped bits and a full disk do to the pipeline, counted.

    python benchmarks/punish.py --folder /tmp/punish files --cases 2000 [--first 0]
    python benchmarks/punish.py --folder /tmp/punish models --cases 500
    python benchmarks/punish.py --folder /tmp/punish flips --cases 1000 --workspace DIR  (of a run)
    python benchmarks/punish.py --folder /tmp/punish disk --workspace DIR

Each case is made from its number alone. `files` and `models` run in a process of their own under a limit of memory, which is started anew
where it hangs for `PATIENCE` seconds or dies. Faults are listed, then a table; the exit status is 1 where there is a fault.
"""

import argparse
import json
import os
import resource
import selectors
import shutil
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
PATIENCE = 10.0  # seconds of processor time for one case
MEMORY = 6 << 30
FAULTS = ("traceback", "foreign message", "hang", "died", "silent wrong", "code ran", "unlike vectors")


def of_files(number: int, folder: Path) -> tuple[str, str, str]:
    """``(kind of case, outcome, what was said)`` of one damaged source."""
    import hostile_files

    from pipeline.build import build
    from pipeline.corpus.row import Rejected, Row

    os.chdir(folder)
    case = hostile_files.case(number, folder)
    try:
        records = list(build(case.source).read())
    except (ValueError, OSError) as error:
        return case.name, *_told(error, folder)
    if wrong := list(hostile_files.faults(case, records, (Row, Rejected))):
        return case.name, "silent wrong", wrong[0]
    rejected = sum(isinstance(one, Rejected) for one in records)
    return case.name, "counted drop" if rejected else "accepted", f"{len(records)} records, {rejected} rejected"


def of_models(number: int, folder: Path) -> tuple[str, str, str]:
    """One hostile directory: loaded twice, taken as a backbone, merged as expert and as base."""
    import hostile_models
    import numpy as np

    from pipeline.encoder.encoder import Encoder
    from pipeline.encoder.pretrained import NamedBackbone

    made = folder.parent / "models"
    if not (made / "table").is_dir():
        shutil.rmtree(made, ignore_errors=True)
        hostile_models.bases(made)
    os.chdir(folder)
    name = hostile_models.case(number, sorted(made.iterdir()), folder / "model")
    origin, outcomes, said = made / name.split(",")[0], [], ""
    texts = ["the cat sat on a mat", "aaaaaaaa", "", "rolling window over rows"]

    def vectors() -> Any:
        return Encoder.load(folder / "model").encode(texts, max_length_tokens=None, batch_tokens=64, title="")

    def twice() -> None:
        one, other = vectors(), vectors()
        if not np.array_equal(one, other, equal_nan=True):
            raise AssertionError("unlike vectors")

    for way in (
        twice,
        lambda: _backbone(NamedBackbone, folder),
        lambda: _merged(origin, folder / "model", folder),
        lambda: _merged(folder / "model", origin, folder),
    ):
        try:
            way()
            outcomes.append("accepted")
        except AssertionError as error:
            outcomes.append(str(error))
            said = said or str(error)
        except (ValueError, OSError) as error:
            outcome, words = _told(error, folder)
            outcomes.append(outcome)
            said = words if outcome in FAULTS or not said else said
    if (folder / "CODE_RAN").exists():
        outcomes.append("code ran")
    worst = next((fault for fault in FAULTS if fault in outcomes), "told" if "told" in outcomes else "accepted")
    return name, worst, said


def _backbone(kind: Any, folder: Path) -> None:
    kind(name=str(folder / "model"), revision=None, causal=None)(["the cat sat on a mat"])


def _merged(base: Path, expert: Path, folder: Path) -> None:
    from pipeline.stage.merge import merge_directories

    method = {"_target_": "pipeline.merging.task_arithmetic.TaskArithmetic", "norm": 1.0}
    section = {"method": method, "probe": None, "snapshots": False, "max_distance": 1e9}
    shutil.rmtree(folder / "merged", ignore_errors=True)
    merge_directories(base, [expert], [str(base), str(expert)], section, folder / "merged", runtime={}, seed=0)


def _told(error: ValueError | OSError, folder: Path) -> tuple[str, str]:
    """Whether a message is one of ours: it names a file or folder of the case, in a few lines."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror is not None:
        return "told", f"{error.filename}: {error.strerror}"
    words = str(error)
    ours = len(words) < 3000 and any(
        name in words for name in (str(folder), str(folder.parent), "model/", "x.", "set/", "path must be", "expected data")
    )
    return ("told" if ours else "foreign message"), words[:300]


# ---- a process that runs cases, and one that watches it


def worker(kind: str, folder: Path) -> None:
    """Case numbers from standard input, one a line; a line of JSON for each."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    out = os.fdopen(os.dup(1), "w")
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    of: Callable[[int, Path], tuple[str, str, str]] = {"files": of_files, "models": of_models}[kind]
    print(json.dumps("ready"), file=out, flush=True)
    for line in sys.stdin:
        number, place = int(line), folder / "case"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        start = time.process_time()
        try:
            found = of(number, place)
        except BaseException as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            said = f"{type(error).__name__}: {str(error)[:150]} ({Path(where.filename).name}:{where.lineno})"
            found = ("", "traceback", said)
        os.chdir(folder)
        print(json.dumps([*found, time.process_time() - start]), file=out, flush=True)


class Watched:
    """A `worker`, started anew after a hang or its end."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.command = [sys.executable, __file__, "--folder", str(folder), "worker", kind]
        self.process: subprocess.Popen[str] | None = None

    def ask(self, number: int) -> tuple[str, str, str, float]:
        if self.process is None or self.process.poll() is not None:
            environment = os.environ | {
                "HF_HUB_OFFLINE": "1",
                "OMP_NUM_THREADS": "1",
                "TOKENIZERS_PARALLELISM": "false",
                "PYTHONWARNINGS": "ignore",
            }
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
            )
            self._line(120)
        print(number, file=self.process.stdin, flush=True)
        line = self._line(4 * PATIENCE)
        if line is None:
            self.process.kill()
            self.process.wait()
            return "", "hang", f"more than {4 * PATIENCE:.0f} s", 4 * PATIENCE
        if not line:
            return "", "died", f"exit status {self.process.wait()}", 0.0
        name, outcome, said, seconds = json.loads(line)
        return name, "hang" if seconds > PATIENCE else outcome, said, seconds

    def _line(self, seconds: float) -> str | None:
        stdout: Any = self.process and self.process.stdout
        with selectors.DefaultSelector() as ready:
            ready.register(stdout, selectors.EVENT_READ)
            return stdout.readline() if ready.select(seconds) else None

    def end(self) -> None:
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()
            self.process.wait(30)


def watched(kind: str, folder: Path, numbers: range) -> Iterator[tuple[int, str, str, str, float]]:
    asked = Watched(kind, folder)
    try:
        for number in numbers:
            yield number, *asked.ask(number)
    finally:
        asked.end()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("kind", choices=("files", "models", "flips", "disk", "worker"))
    parser.add_argument("of", nargs="?")
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--workspace", type=Path)
    given = parser.parse_args()
    folder = given.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if given.kind == "worker":
        worker(given.of, folder)
        return 0
    numbers = range(given.first, given.first + given.cases)
    if given.kind in ("files", "models"):
        outcomes = list(watched(given.kind, folder, numbers))
    else:
        from punish_workspace import flips, full_disk

        outcomes = list((flips if given.kind == "flips" else full_disk)(given.workspace.absolute(), folder, numbers))
    return table(given.kind, outcomes)


def table(kind: str, outcomes: list[tuple[int, str, str, str, float]]) -> int:
    """Prints the faults, and counts by kind of case and outcome. 1 where there is a fault."""
    bad = [one for one in outcomes if one[2] in FAULTS]
    for number, name, outcome, said, _ in bad:
        print(f"{number}: {outcome}: {name}: {said}")
    columns = sorted({one[2] for one in outcomes})
    counts = Counter((one[1].split(":")[0].split(",")[-1 if kind == "models" else 0].strip(), one[2]) for one in outcomes)
    print("\n| case |", " | ".join(columns), "| all |\n|---|" + "---|" * (len(columns) + 1))
    for name in sorted({name for name, _ in counts}):
        row = [counts[name, column] for column in columns]
        print(f"| {name} |", " | ".join(map(str, row)), f"| {sum(row)} |")
    totals = [sum(one[2] == column for one in outcomes) for column in columns]
    print("| all |", " | ".join(map(str, totals)), f"| {len(outcomes)} |")
    print(f"slowest: {max((one[4] for one in outcomes), default=0):.1f} s of processor time; {len(bad)} faults")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
