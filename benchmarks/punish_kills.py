"""python benchmarks/punish_kills.py FOLDER [--forked] [--kill 200] [--term 50] [--interrupt 50] [--minutes 60] [--seed 0]

Kills `dvc repro` of a tiny run, at random moments of random stages, and looks at what is left. FOLDER holds two workspaces: one that is
not disturbed, and one that is killed. A second call goes on counting where the first stood. With ``--forked`` there is no DVC: each stage
is a fork of one process that has imported all there is, which takes a tenth of the time, and is killed wherever it stands.

After each kill every output of a stage must be absent or equal to the undisturbed one, byte by byte; a training that goes on must begin at
its last checkpoint; the log must hold no traceback; SIGTERM and Ctrl-C must end the stage with 143 and 130. Prints a table, and writes
FOLDER/kills.json.
"""

import argparse
import contextlib
import csv
import importlib
import json
import os
import random
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import torch
import yaml

from pipeline.__main__ import main as main_of_stage
from pipeline.checkpoint import sha256
from pipeline.stopping import Stopped, listen
from pipeline.training.resume import checkpoints, step_of

ROOT = Path(__file__).parents[1]
SIGNALS = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "interrupt": signal.SIGINT}
STATUS = {"term": 143, "interrupt": 130}
STEPS = 30  # of each task
KILLS_OF_A_STAGE = 6  # with --forked, at most, before it is left to end
START_SECONDS = 3.0  # of Python and its imports, beside what a stage tells of itself
PATIENCE_SECONDS = 120  # within which all processes must be gone


def workspace(folder: Path) -> Path:
    """A fresh copy of the one untouched workspace, which a later edit of the code does not reach."""
    untouched = folder.with_name("untouched")
    if not untouched.is_dir():
        make(untouched)
    return Path(shutil.copytree(untouched, folder))


def make(folder: Path) -> None:
    """The workspace of the tests of stages, with trainings of `STEPS`, under DVC."""
    tests = runpy.run_path(str(ROOT / "tests/stage/conftest.py"))
    page = tests["PAGE"] | {"methods": ["slerp"], "baselines": ["bm25"]}
    page["models"] = {name: page["models"][name] for name in ("slerp", "base", "joint")}
    page["set"] = page["set"] | {
        "train": page["set"]["train"] | {"steps_per_task": STEPS},
        "pretrain.phases.weak": page["set"]["pretrain.phases.weak"] | {"steps_per_task": STEPS},
        "runtime": page["set"]["runtime"] | {"checkpoint_every_steps": 4},
    }
    tests["make_workspace"](folder, ROOT, page)
    shutil.copytree(ROOT / "pipeline", folder / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    for name in (".dvcignore", "data/source/README.md", "checkpoints/README.md"):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    subprocess.run(["dvc", "init", "-q", "--no-scm"], cwd=folder, check=True)


def started(folder: Path) -> subprocess.Popen[bytes]:
    """``dvc repro`` as the leader of a group of its own."""
    environment = os.environ | {
        "PYTHONPATH": str(folder),
        "DVC_NO_ANALYTICS": "1",
        "WANDB_MODE": "offline",
        "PYTHONUNBUFFERED": "1",
    }
    with (folder / "log").open("w") as log:
        return subprocess.Popen(
            ["dvc", "repro"], cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # else it inherits that it is ignored
        )  # fmt: skip


def outputs(folder: Path) -> list[str]:
    """Of all stages that have run, from `dvc.lock`."""
    stages = yaml.safe_load((folder / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    return sorted(out["path"] for stage in stages.values() for out in stage.get("outs", []))


def stages_in(log: str) -> list[str]:
    return re.findall(r"^Running stage '(.+)':", log, flags=re.MULTILINE)


def alive(group: int) -> bool:
    """Whether any process of the group runs; those that are dead and not yet waited for do not."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, of_group = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(of_group) == group and state != "Z":
            return True
    return False


def first_steps(folder: Path, known: set[Path]) -> dict[Path, int]:
    """By training folder the first step of the start that is not ``known``."""
    found = {}
    for file in set(folder.glob("data/runs/*/version_*/metrics.csv")) - known:
        with file.open(encoding="utf-8", newline="") as lines:
            steps = [int(row["step"]) for row in csv.DictReader(lines) if (row.get("step") or "").isdigit()]
        if steps:
            found[file.parents[1]] = min(steps)
    return found


class Punished:
    """The workspace that is killed, and what came of it."""

    def __init__(self, folder: Path, reference: Path, seconds: dict[str, float], draw: random.Random) -> None:
        self.folder, self.reference, self.seconds, self.draw = folder, reference, seconds, draw
        self.hashes = {path: sha256(reference / path) for path in self.outputs()}
        self.file = folder.parent / "kills.json"
        self.rows: list[dict[str, Any]] = json.loads(self.file.read_text()) if self.file.is_file() else []

    def outputs(self) -> list[str]:
        return outputs(self.reference)

    def strike(self, kind: str) -> None:
        """One start, killed at a random moment of one of the next stages; or run to its end, where that comes first."""
        saved = {run: step_of(kept[-1]) for run in self.folder.glob("data/runs/*") if (kept := checkpoints(run))}
        known = set(self.folder.glob("data/runs/*/version_*/metrics.csv"))
        process = started(self.folder)
        pass_by, log = self.draw.choice((0, 0, 0, 1, 2)), ""
        while process.poll() is None and len(stages_in(log)) <= pass_by:
            time.sleep(0.02)
            log = (self.folder / "log").read_text()
        stage = (stages_in(log) or ["the start"])[-1]
        deadline = time.monotonic() + self.draw.uniform(0, 1.1) * self.seconds.get(stage, 1.0)
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        if process.poll() is not None:
            self.ended(process.returncode)
            return
        stage = (stages_in((self.folder / "log").read_text()) or ["the start"])[-1]
        os.killpg(process.pid, SIGNALS[kind])
        struck = time.monotonic()
        while alive(process.pid) and time.monotonic() < struck + PATIENCE_SECONDS:
            process.poll()
            time.sleep(0.05)
        faults = ["not ended in time"] * alive(process.pid)
        if faults:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        seconds = time.monotonic() - struck
        faults += self.faults(kind, saved, known)
        self.add({"kind": kind, "stage": stage, "seconds": round(seconds, 2), "dvc": process.returncode, "faults": faults})

    def faults(self, kind: str, saved: dict[Path, int], known: set[Path]) -> list[str]:
        log = (self.folder / "log").read_text()
        found = ["traceback"] * ("Traceback" in log or "Exception ignored" in log)
        for path, digest in self.hashes.items():
            if (self.folder / path).exists() and sha256(self.folder / path) != digest:
                found.append(f"{path} is neither absent nor whole")
        for run, first in first_steps(self.folder, known).items():
            if first < saved.get(run, 0):
                found.append(f"{run.name} began at step {first}, its checkpoint was of {saved[run]}")
        status = re.search(r"exited with (-?\d+)", log)
        if kind in STATUS and status and int(status.group(1)) not in (STATUS[kind], -SIGNALS[kind]):
            found.append(f"the stage ended with {status.group(1)}")
        if found:
            shutil.copy(self.folder / "log", self.folder.parent / f"log.{len(self.rows)}")
        return found

    def ended(self, status: int) -> None:
        """A run came to its end: compare it, and begin anew."""
        faults = [] if status == 0 else [f"dvc repro ended with {status}"]
        for path, digest in self.hashes.items():
            if not (self.folder / path).exists() or sha256(self.folder / path) != digest:
                faults.append(f"{path} differs at the end")
        left = [str(path.relative_to(self.folder)) for path in self.folder.glob("data/runs/*")]
        left += [str(path) for path in self.folder.glob("checkpoints/**/.*.partial")]
        faults += [f"left over: {', '.join(left)}"] * bool(left)
        if faults:
            shutil.copy(self.folder / "log", self.folder.parent / f"log.{len(self.rows)}")
        self.add({"kind": "run to its end", "stage": "", "seconds": 0.0, "dvc": status, "faults": faults})
        shutil.rmtree(self.folder)
        workspace(self.folder)

    def add(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        self.file.write_text(json.dumps(self.rows, indent=1))
        if row["faults"]:
            print(row, flush=True)

    def count(self, kind: str) -> int:
        return sum(row["kind"] == kind for row in self.rows)


class Forked(Punished):
    """Stage by stage, without DVC."""

    def __init__(self, folder: Path, reference: Path, draw: random.Random) -> None:
        import pipeline.training.fit  # noqa: F401  imported here, not in each fork

        for module in (ROOT / "pipeline/stage").glob("*.py"):
            importlib.import_module(f"pipeline.stage.{module.stem}")
        tests, nodes = (runpy.run_path(str(ROOT / "tests" / name)) for name in ("stage/conftest.py", "stand_in.py"))
        if not (reference.parent / "forked.json").is_file():
            shutil.rmtree(reference, ignore_errors=True)
            self.run_all(workspace(reference), tests, nodes)
        self.nodes = tests["in_order"](nodes["nodes"](reference))
        seconds = json.loads((reference.parent / "forked.json").read_text())
        super().__init__(folder, reference, seconds, draw)
        self.at = self.tries = 0
        if not (folder / "data/config.yaml").is_file():
            self.begin()
        while self.at < len(self.nodes) - 1 and all((folder / out).exists() for out in self.nodes[self.at].outs):
            self.at += 1

    def run_all(self, reference: Path, tests: dict[str, Any], nodes: dict[str, Any]) -> None:
        seconds = {}
        if self.run(reference, ["compose"])[0]:
            sys.exit((reference / "log").read_text()[-3000:])
        for node in tests["in_order"](nodes["nodes"](reference)):
            status, seconds[node.name] = self.run(reference, node.command.split()[3:])
            if status:
                sys.exit((reference / "log").read_text()[-3000:])
        (reference.parent / "forked.json").write_text(json.dumps(seconds))

    def outputs(self) -> list[str]:
        return sorted(out for node in self.nodes for out in node.outs)

    def run(self, folder: Path, words: list[str], signum: int = 0, after: float = 0.0) -> tuple[int, float]:
        """Exit status and seconds of a stage, killed ``after`` so many."""
        start, child = time.monotonic(), os.fork()
        if not child:
            os.setsid()
            os.chdir(folder)
            with open("log", "w") as log:  # noqa: PTH123  its number is wanted
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            torch.set_num_threads(1)
            try:
                listen()
                status = main_of_stage(words)
            except Stopped as stopped:
                status = stopped.status
            except BaseException:  # of a fork: nothing may leave this block
                traceback.print_exc()
                status = 70
            sys.stdout.flush()
            os._exit(status)
        if signum:
            time.sleep(after)
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signum)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), time.monotonic() - start

    def strike(self, kind: str) -> None:
        """The stage that comes next, killed; after some kills it may end, and the next one comes."""
        node = self.nodes[self.at]
        words = node.command.split()[3:]
        saved = {run: step_of(kept[-1]) for run in self.folder.glob("data/runs/*") if (kept := checkpoints(run))}
        known = set(self.folder.glob("data/runs/*/version_*/metrics.csv"))
        last = self.tries >= KILLS_OF_A_STAGE
        after = self.draw.uniform(0.02, 1.1) * self.seconds[node.name]
        status, seconds = self.run(self.folder, words, 0 if last else SIGNALS[kind], after)
        faults = self.faults(kind, saved, known)
        if status == 0:
            faults += [f"{out} differs at its end" for out in node.outs if sha256(self.folder / out) != self.hashes[out]]
            self.at, self.tries = self.at + 1, 0
        elif last or status not in (STATUS.get(kind, -SIGNALS[kind]), -SIGNALS[kind]):
            faults.append(f"{node.name} ended with {status}")
        self.tries += status != 0
        if status or faults:
            after = seconds - min(after, seconds)
            self.add({"kind": kind, "stage": node.name, "seconds": round(after, 2), "dvc": status, "faults": faults})
        if self.at == len(self.nodes):
            left = list(self.folder.glob("data/runs/*")) + list(self.folder.glob("checkpoints/**/.*.partial"))
            faults = [f"left over: {path.name}" for path in left]
            self.add({"kind": "run to its end", "stage": "", "seconds": 0.0, "dvc": 0, "faults": faults})
            self.begin()

    def begin(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        workspace(self.folder)
        self.run(self.folder, ["compose"])
        self.at = self.tries = 0


def table(rows: list[dict[str, Any]]) -> str:
    """One line a kind: how often, in which stages, with what faults, how long until all processes were gone."""
    lines = ["| kind | times | stages | faults | median and longest seconds to the end |", "|---|---|---|---|---|"]
    for kind in (*SIGNALS, "run to its end"):
        of_kind = [row for row in rows if row["kind"] == kind]
        if not of_kind:
            continue
        stages = Counter(row["stage"].split("@")[0] for row in of_kind if row["stage"])
        faults = Counter(fault for row in of_kind for fault in row["faults"])
        seconds = sorted(row["seconds"] for row in of_kind)
        where = ", ".join(f"{stage} {num}" for stage, num in sorted(stages.items()))
        told = "; ".join(f"{fault} ({num})" for fault, num in faults.most_common()) or "none"
        lines.append(f"| {kind} | {len(of_kind)} | {where} | {told} | {seconds[len(seconds) // 2]:.1f}, {seconds[-1]:.1f} |")
    return "\n".join(lines)


def undisturbed(folder: Path) -> dict[str, float]:
    """The seconds of each stage of a run that nobody kills, with those of starting Python. It is made once."""
    if not folder.is_dir():
        workspace(folder)
    process = started(folder)
    if process.wait():
        sys.exit((folder / "log").read_text()[-3000:])
    costs = [json.loads(file.read_text()) for file in folder.glob("costs/*.json")]
    return {cost["stage"]: cost["seconds"] + START_SECONDS for cost in costs}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    for kind, times in (("kill", 200), ("term", 50), ("interrupt", 50)):
        parser.add_argument(f"--{kind}", type=int, default=times)
    parser.add_argument("--forked", action="store_true")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    end, folder = time.monotonic() + 60 * given.minutes, given.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    draw = random.Random(f"{given.seed} {time.time() if (folder / 'kills.json').is_file() else 0}")
    if given.forked:
        punished = Forked(folder / "killed", folder / "whole", draw)
    else:
        seconds = undisturbed(folder / "whole")
        if not (folder / "killed").is_dir():
            workspace(folder / "killed")
        punished = Punished(folder / "killed", folder / "whole", seconds, draw)
    while time.monotonic() < end:
        left = [kind for kind in SIGNALS for _ in range(getattr(given, kind) - punished.count(kind))]
        if not left:
            break
        punished.strike(draw.choice(left))
    print(table(punished.rows))
    return int(any(row["faults"] for row in punished.rows))


if __name__ == "__main__":
    sys.exit(main())
