"""Time and memory of a merge on checkpoints made for the purpose, beside a plain copy of as many bytes.

    python benchmarks/merging_speed.py --folder /tmp/merging --gigabytes 2 --method soup [--method ties]

Prints for each method: seconds, CPU seconds, peak resident memory above that of the process before the merge, the bound
1.5 x (experts + 1) x largest tensor, and the share of the bandwidth that reading and writing the same bytes alone reaches.
"""

import argparse
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import save_file

WIDTH, EXPERTS = 4096, 2


def make(folder: Path, gigabytes: float) -> None:
    count = max(1, round(gigabytes * 1e9 / (4 * WIDTH * WIDTH)))
    random = torch.Generator().manual_seed(0)
    base = {f"layer.{i}.weight": torch.randn(WIDTH, WIDTH, generator=random) for i in range(count)}
    for k, name in enumerate(("base", "one", "two")):
        (folder / name).mkdir(parents=True)
        if k:
            for value in base.values():  # in place: one model in memory
                value += 0.1 * torch.randn(WIDTH, WIDTH, generator=random)
        save_file(base, folder / name / "model.safetensors")
        (folder / name / "config.json").write_text('{"model_type": "bert"}')


def one(folder: Path, method: str) -> None:
    from pipeline.params import build, compose_config, read_page
    from pipeline.stage.merge import MergeModule, Models

    page = read_page().model_copy(update={"methods": [method]})
    module = MergeModule(build(compose_config(page)["merge"][method]["method"]))
    out = folder / "out"
    out.mkdir()
    before = resource.getrusage(resource.RUSAGE_SELF)
    start = time.perf_counter()
    module(Models(folder / "base", [folder / "one", folder / "two"]), out)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    size = (folder / "base/model.safetensors").stat().st_size
    bound = 1.5 * (EXPERTS + 1) * 4 * WIDTH * WIDTH
    memory = (after.ru_maxrss - before.ru_maxrss) * 1024
    print(
        f"{method}: {seconds:.2f} s, {cpu:.2f} CPU s, {(EXPERTS + 2) * size / seconds / 1e9:.2f} GB/s, "
        f"peak {memory / 1e6:.0f} MB above the process, bound {bound / 1e6:.0f} MB"
    )


def raw(folder: Path) -> None:
    """Every input read once, the output written once, without looking at a byte."""
    buffer = memoryview(bytearray(1 << 20))
    start = time.perf_counter()
    with (folder / "raw").open("wb") as out:
        for name in ("one", "two", "base"):
            with (folder / name / "model.safetensors").open("rb", buffering=0) as file:
                while count := file.readinto(buffer):
                    if name == "base":
                        out.write(buffer[:count])
    seconds = time.perf_counter() - start
    size = (folder / "base/model.safetensors").stat().st_size
    print(f"raw read and write: {seconds:.2f} s, {(EXPERTS + 2) * size / seconds / 1e9:.2f} GB/s")
    (folder / "raw").unlink()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--method", action="append", required=True)
    parser.add_argument("--inside", action="store_true", help="the one measured merge, in a process of its own")
    found = parser.parse_args()
    if found.inside:
        one(found.folder, found.method[0])
    else:
        if not (found.folder / "two").is_dir():
            make(found.folder, found.gigabytes)
        for method in found.method:
            raw(found.folder)
            command = [sys.executable, __file__, "--folder", str(found.folder), "--method", method, "--inside"]
            subprocess.run(command, check=True)
            shutil.rmtree(found.folder / "out")
