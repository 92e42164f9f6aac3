"""A step of Self Positioning beside a plain forward and backward of the same batch; and the whole search.

    python benchmarks/self_positioning.py --folder <where the DAG has run> [--batch 16] [--tokens 32] [--rounds 15]

`--folder` needs checkpoints/base, checkpoints/experts and data/curated with rows set aside (curate.probe.rows). Interleaved, medians;
then the search as conf/probing says.
"""

import argparse
import os
import statistics
import time
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir

from pipeline.build import build
from pipeline.delta import Models
from pipeline.merging.self_positioning import SelfPositioning
from pipeline.params import CONF, _register_resolvers, resolved
from pipeline.probing.search import Positioning, search
from pipeline.probing.trial import trial

BASE, EXPERTS = Path("checkpoints/base"), Path("checkpoints/experts")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    _register_resolvers()
    values = [
        "merging=self_positioning",
        "runtime.accelerator=cpu",
        "runtime.tracker=disabled",
        f"runtime.threads={asked.threads}",
    ]
    own = [
        f"merge.probe.batch_size={asked.batch}",
        f"merge.probe.max_length_tokens={asked.tokens}",
        "merge.probe.chunk_tokens=8192",
    ]
    with initialize_config_dir(str(CONF.absolute()), version_base="1.3"):
        timed, plain = (resolved(compose("config", overrides=words), {}, "conf") for words in ([*values, *own], values))
    os.chdir(asked.folder)
    models = Models(BASE, sorted(EXPERTS.iterdir()))
    method = build(timed["merge"]["method"])
    if not isinstance(method, SelfPositioning):
        raise TypeError(type(method).__name__)
    tried, _ = trial(BASE, models, timed["merge"]["probe"], timed["runtime"], steps=2 * asked.rounds, seed=0)
    method.start(tried.num, models.names)
    module = Positioning(method, tried, models.grams(), optimizer="adam", lr=0.05, relative=False)
    optimizer = module.configure_optimizers()
    seconds: dict[str, list[float]] = {"plain": [], "step": []}

    def once(kind: str, batch: object) -> None:
        start = time.perf_counter()
        if kind == "plain":
            tried.gradients(batch)  # pyright: ignore[reportArgumentType]
        else:
            optimizer.zero_grad()
            module.training_step(batch, 0).backward()  # pyright: ignore[reportArgumentType]
            optimizer.step()
        seconds[kind].append(time.perf_counter() - start)

    for i, batch in enumerate([tried.batches["search"][0], *tried.batches["search"]]):
        for kind in ("plain", "step") if i % 2 else ("step", "plain"):
            once(kind, batch)
        if i == 0:
            seconds = {"plain": [], "step": []}  # the first is to warm up
    plain_s, step_s = (statistics.median(seconds[kind]) for kind in ("plain", "step"))
    print(
        f"batch {asked.batch} pairs, {asked.tokens} tokens: plain {plain_s:.3f} s, step {step_s:.3f} s, ratio {step_s / plain_s:.2f}"
    )
    start, cpu = time.perf_counter(), time.process_time()
    search(build(plain["merge"]["method"]), BASE, models, plain["merge"]["probe"], plain["runtime"], seed=0, name="timed")
    print(
        f"the whole search, with held-out losses and landscape: {time.perf_counter() - start:.1f} s, {time.process_time() - cpu:.1f} CPU s"
    )


if __name__ == "__main__":
    main()
