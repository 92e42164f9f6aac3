"""python -m pipeline <stage> [item] [hydra overrides]

python -m pipeline train retrieval                                  as dvc.yaml calls it: data/config.yaml decides
python -m pipeline train expert=sts --multirun train.optimizer.lr=1e-5,3e-5    Hydra decides; writes below multirun/
python -m pipeline merge --base DIR --expert DIR --expert DIR method=ties out=DIR    any directories, or Hub ids id@revision
python -m pipeline search "rolling window over a dataframe"
python -m pipeline search corpus=notes.jsonl text=body "where the keys lie"       any table of texts
python -m pipeline push user/name                                   checkpoints/final to the Hub, private unless --public
python -m pipeline track                                            every stage that has run as a W&B run, with artifacts
"""

import argparse
import html
import importlib
import json
import os
import resource
import sys
import time
import warnings
from pathlib import Path
from typing import Any

STAGES = (
    "compose",
    "ingest",
    "curate",
    "pretrain",
    "mine",
    "train",
    "merge",
    "evaluate",
    "baseline",
    "final",
    "stress",
    "report",
)
COMMANDS = ("search", "push", "track")
COSTS = Path("costs")  # beside the outputs, since nothing in an output may depend on time
ITEMS = {"train": "expert", "merge": "method", "evaluate": "model", "baseline": "baseline"}


def main(argv: list[str] | None = None) -> int:
    """Exit status: 0, or 1 after a message for whoever can mend the input."""
    # Libraries about their own insides; a person who runs a stage can do nothing about these.
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"(pytorch_lightning|lightning_fabric|torch)\b.*")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    parser = argparse.ArgumentParser(
        prog="python -m pipeline", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("stage", choices=(*STAGES, *COMMANDS))
    parser.add_argument(
        "rest", nargs=argparse.REMAINDER, help="an item (an expert, a method, a model), Hydra overrides, or a question"
    )
    arguments = parser.parse_args(argv)
    try:
        _run(arguments.stage, arguments.rest)
    except ValueError as error:
        if os.environ.get("TRIBUTARY_TRACEBACK"):
            raise
        print(f"\nerror in {arguments.stage}: {error}", file=sys.stderr)
        return 1
    return 0


def _run(stage: str, rest: list[str]) -> None:
    if stage == "compose":
        importlib.import_module("pipeline.stage.compose").run(Path())
    elif stage in COMMANDS:
        importlib.import_module(f"pipeline.stage.{stage}").run(rest)
    elif stage == "merge" and "--base" in rest:
        importlib.import_module("pipeline.stage.merge").command(rest)
    elif any("=" in word or word.startswith("-") for word in rest):
        _with_hydra(stage, rest)
    else:
        from pipeline.params import load

        start = time.monotonic()
        _stage(stage, load(), rest[0] if rest else None, Path())
        _record_cost("@".join([stage, *rest[:1]]), time.monotonic() - start)


def _stage(stage: str, config: dict[str, Any], item: str | None, out: Path) -> dict[str, float]:
    kind = ITEMS.get(stage)
    if kind and item in config["left_out"].get(stage, {}):
        importlib.import_module("pipeline.left_out").write_note(stage, item, config["left_out"][stage][item], out)
        return {}
    if kind:
        known = sorted(config[{"expert": "train", "method": "merge", "model": "models", "baseline": "baseline"}[kind]])
        if item not in known:
            raise ValueError(f"{stage} needs one {kind} of {', '.join(known)}; got {item!r}; see params.yaml")
    return importlib.import_module(f"pipeline.stage.{stage}").run(config, config["runtime"], item, out)


def _record_cost(name: str, seconds: float) -> None:
    """Seconds of a stage, less the start of Python, and the most memory it held: a file each, and one page of them all."""
    from pipeline.checkpoint import read_json, write_json, write_text
    from pipeline.distributed import first_process

    if not first_process():
        return
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3  # kilobytes on Linux
    write_json(COSTS / f"{name}.json", {"stage": name, "seconds": round(seconds, 1), "peak_mb": round(peak_mb)})
    costs = sorted((read_json(file) for file in COSTS.glob("*.json")), key=lambda cost: (-cost["seconds"], cost["stage"]))
    rem = 14 / (costs[0]["seconds"] or 1)
    bar = "<div style='background:#0e7490; height:.6rem; width:{:.1f}rem'></div>"
    rows = "".join(
        f"<tr><td>{html.escape(one['stage'])}<td>{one['seconds']:.1f}<td>{one['peak_mb']}<td>{bar.format(rem * one['seconds'])}"
        for one in costs
    )
    write_text(COSTS / "index.html", (
        "<!doctype html><meta charset=utf-8><meta name=viewport content='width=device-width'><title>Cost of each stage</title>"
        "<style>body{font:16px/1.5 system-ui;margin:2rem}td,th{padding:.2rem .7rem;text-align:left}</style><h1>Cost of each stage</h1>"
        f"<p>When it last ran on this machine; {sum(one['seconds'] for one in costs):.0f} s in all.<table><tr><th>stage<th>seconds"
        f"<th>peak MB<th>{rows}</table>\n"
    ))  # fmt: skip


def _with_hydra(stage: str, rest: list[str]) -> None:
    """The stage under Hydra, once or for every combination of a sweep; DVC's files are read, and none is written."""
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import DictConfig

    from pipeline.checkpoint import write_json, write_yaml
    from pipeline.distributed import disband, first_process
    from pipeline.params import CONF, hydra_overrides, read_page, sweep_config

    page = read_page()

    def job(cfg: DictConfig) -> float:
        choices = HydraConfig.get().runtime.choices
        item = {"train": choices["expert"], "merge": choices["method"]}.get(stage, page_item(rest) if stage in ITEMS else None)
        out = Path(HydraConfig.get().runtime.output_dir)
        config = sweep_config(cfg, page, stage, item, HydraConfig.get().overrides.task)
        first = first_process()
        if first:
            write_yaml(out / "config.yaml", config)
        sys.argv = [sys.argv[0], stage, *([item] if item else []), *HydraConfig.get().overrides.task]  # for further processes
        metrics = _stage(stage, config, item, out)
        if not first:
            return 0.0
        disband()
        write_json(out / "metrics.json", metrics)
        print(json.dumps({"output": str(out.relative_to(Path.cwd())), **metrics}))
        return next(iter(metrics.values()), 0.0)

    def page_item(words: list[str]) -> str | None:
        return next((word for word in words if "=" not in word and not word.startswith("-")), None)

    overrides = [word for word in rest if "=" in word or word.startswith("-")]
    flags = [word for word in overrides if word.startswith("-")]
    values = hydra_overrides(page, [word for word in overrides if not word.startswith("-")])
    sys.argv = ["python -m pipeline", *flags, "hydra.job.chdir=false", *values]
    hydra.main(version_base="1.3", config_path=str(CONF.absolute()), config_name="config")(job)()


if __name__ == "__main__":
    sys.exit(main())
