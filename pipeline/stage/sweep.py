"""A stage under Hydra, once or for every combination of a sweep. DVC's files are read, and none is written.

A sweep that was stopped or killed goes on by the same command: jobs that ended are told from `Result` and not repeated.
"""

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from pipeline.checkpoint import write_json, write_yaml
from pipeline.choice import CONF
from pipeline.distributed import disband, first_process
from pipeline.params import read_page
from pipeline.stage.swept import Result
from pipeline.sweeping import hydra_overrides, sweep_config


def run(stage: str, rest: Sequence[str], start: Callable[[str, dict[str, Any], str | None, Path], dict[str, float]]) -> None:
    """``start(stage, config, item, out)`` runs one job of it."""
    page = read_page()
    refused: list[str] = []  # by jobs: raised here at last, since Hydra prints a traceback of what a job raises

    def job(cfg: DictConfig) -> float:
        if os.environ.get("TRIBUTARY_TRACEBACK"):
            return done(cfg)
        try:
            return done(cfg)
        except (ValueError, OSError) as error:
            refused.append(f"{' '.join(HydraConfig.get().overrides.task)}: {error}")
            return float("nan")  # the other jobs of a sweep go on

    def done(cfg: DictConfig) -> float:
        choices = HydraConfig.get().runtime.choices
        item = page_item(rest) if stage in ("derive", "evaluate", "baseline") else None
        item = {"train": choices["expert"], "merge": choices["merging"]}.get(stage, item)
        out = Path(HydraConfig.get().runtime.output_dir)
        config = sweep_config(cfg, page, stage, item, HydraConfig.get().overrides.task)
        first = first_process()
        if first:
            write_yaml(out / "config.yaml", config)
        result = Result(stage, item, config) if _kept() else None
        if result and (known := result.told()) is not None:
            return known
        sys.argv = [sys.argv[0], stage, *([item] if item else []), *HydraConfig.get().overrides.task]  # for further processes
        metrics = start(stage, config, item, out)
        if not first:
            return 0.0
        disband()
        write_json(out / "metrics.json", metrics)
        print(json.dumps({"output": str(out.relative_to(Path.cwd())), **metrics}))
        if result:
            result.keep(out.relative_to(Path.cwd()), metrics)
        return next(iter(metrics.values()), 0.0)

    overrides = [word for word in rest if "=" in word or word.startswith("-")]
    flags = [word for word in overrides if word.startswith("-")]
    values = hydra_overrides(page, stage, page_item(rest), [word for word in overrides if not word.startswith("-")])
    sys.argv = ["python -m pipeline", *flags, "hydra.job.chdir=false", *values]
    hydra.main(version_base="1.3", config_path=str(CONF.absolute()), config_name="config")(job)()
    if refused:
        raise ValueError("\n".join(refused))


def _kept() -> bool:
    """Whether the job's result is kept: of a sweep, but not of one over ``runtime``, whose jobs have equal results."""
    hydra_job = HydraConfig.get()
    return hydra_job.mode == RunMode.MULTIRUN and not any("runtime." in one for one in hydra_job.overrides.task)


def page_item(words: Sequence[str]) -> str | None:
    return next((word for word in words if "=" not in word and not word.startswith("-")), None)
