"""python killed.py <workspace, ingested> <seed>: curate again and again, killed (SIGKILL) at every call that changes files, and at
random times.

After each kill the output must be absent, that of the run before, or the new one, each whole. Prints how often it was which.
Every run is a fork of one process that has imported all there is, so that a run takes a fraction of a second.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import pipeline.stage.curate  # noqa: F401  imported here, not in each fork
from pipeline.__main__ import main
from pipeline.checkpoint import sha256
from pipeline.cluster.join import Join

CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree", "open")
OUT, RANDOM_KILLS = Path("data/curated"), 20


def forked(kill_at: int = 0, kill_after: float = 0.0) -> bool:
    """Whether a run of curate came to its end. Killed at its ``kill_at``th change of a file, or after so many seconds."""
    child = os.fork()
    if not child:
        seen = 0

        def hook(event: str, arguments: tuple) -> None:
            nonlocal seen
            if event in CHANGES and (event != "open" or (isinstance(arguments[1], str) and "w" in arguments[1])):
                seen += 1
                if seen == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.stdout = sys.stderr
        sys.addaudithook(hook)
        os._exit(main(["curate"]))
    if kill_after:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def put_before(old: bool) -> None:
    shutil.rmtree(OUT, ignore_errors=True)
    if old:
        OUT.mkdir()
        for name in ("card.json", "train.parquet"):
            (OUT / name).write_text("of the run before")


def state(known: dict[str, str]) -> str:
    return known[sha256(OUT)] if OUT.exists() else "none"  # KeyError: half an output


if __name__ == "__main__":
    os.chdir(sys.argv[1])
    draw = random.Random(int(sys.argv[2]))
    Join(unit="word", size=3, threshold=0.7, workers=2)(["a b c d", "a b c e", "f"])  # compiled code is loaded once
    put_before(True)
    known = {sha256(OUT): "before"}
    start = time.perf_counter()
    assert forked()
    seconds = time.perf_counter() - start
    known[sha256(OUT)] = "whole"
    found: Counter[str] = Counter()
    for old in (False, True):
        kill_at, ended = 0, False
        while not ended:
            kill_at += 1
            put_before(old)
            ended = forked(kill_at)
            found[state(known)] += not ended
        for _ in range(RANDOM_KILLS // 2):
            put_before(old)
            forked(kill_after=draw.uniform(0.2, 1.0) * seconds)
            found[state(known)] += 1
    assert forked()
    assert state(known) == "whole"
    print(json.dumps({**found, "left over": sorted(path.name for path in OUT.parent.iterdir() if path.name.startswith("."))}))
