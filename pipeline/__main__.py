"""python -m pipeline <stage> [item] [hydra overrides]

python -m pipeline train retrieval                                  as dvc.yaml calls it: data/config.yaml decides
python -m pipeline train expert=sts --multirun train.optimizer.lr=1e-5,3e-5    Hydra decides; writes below multirun/
python -m pipeline merge --base DIR --expert DIR --expert DIR merging=ties out=DIR    any directories, or Hub ids id@commit
python -m pipeline stress joint                                     any model of params.yaml, or directory, as stage stress the final one
python -m pipeline form joint out=DIR half binary                   the same model in smaller forms, each measured
python -m pipeline plan                                             what `dvc repro` would run, why, and what it takes, before it starts
python -m pipeline result                                           before and after: what there was, what there is now, what it took
python -m pipeline search "rolling window over a dataframe"
python -m pipeline search corpus=notes.jsonl text=body "where the keys lie"       any table of texts (name=COLUMN, model=DIR, top=10)
python -m pipeline push user/name                                   checkpoints/final to the Hub, private unless --public
python -m pipeline track                                            every stage that has run as a W&B run, with artifacts
python -m pipeline verify                                           whether each byte of outputs and DVC's cache is as it was written
"""

import argparse
import gc
import importlib
import os
import sys
import time
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from pipeline.launched import first_process
from pipeline.stopping import Stopped, leave, listen
from pipeline.system import told
from pipeline.writing import alone

STAGES = (
    "compose",
    "ingest",
    "curate",
    "pretrain",
    "mine",
    "train",
    "merge",
    "derive",
    "evaluate",
    "baseline",
    "final",
    "stress",
    "report",
)
COMMANDS = ("form", "plan", "result", "search", "push", "track", "verify")
ITEMS = {"train": "expert", "merge": "method", "derive": "derivation", "evaluate": "model", "baseline": "baseline"}


def main(argv: list[str] | None = None) -> int:
    """Exit status: 0, 1 after a message for whoever can mend the input, or 128 and the number of the signal that stopped it."""
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
    except Stopped as stopped:
        if os.environ.get("LOCAL_RANK", "0") == "0":  # of several processes one says it
            print(f"\n{arguments.stage} {stopped}", file=sys.stderr)
        return leave(stopped)
    except BaseException as error:
        message = told(error)
        if message is None or os.environ.get("TRIBUTARY_TRACEBACK"):
            raise
        print(f"\nerror in {arguments.stage}: {message}", file=sys.stderr)
        return 1
    return 0


def _run(stage: str, rest: list[str]) -> None:
    if stage == "compose":
        _module(stage).run(Path())
    elif stage == "form" or (stage == "stress" and rest and "=" not in rest[0] and not rest[0].startswith("-")):
        _module("of_model").run(stage, rest)
    elif stage in COMMANDS:
        _module(stage).run(rest)
    elif stage == "merge" and "--base" in rest:
        _module("merge_command").run(rest)
    elif any("=" in word or word.startswith("-") for word in rest):
        _module("sweep").run(stage, rest, _stage)
    else:
        from pipeline.build import load
        from pipeline.report.costs import record_cost

        start, config, name = time.monotonic(), load(), "@".join([stage, *rest[:1]])
        with alone(Path(name.replace("/", "-"))) if first_process() else nullcontext():
            _stage(stage, config, rest[0] if rest else None, Path())
        record_cost(name, time.monotonic() - start, config)


def _stage(stage: str, config: dict[str, Any], item: str | None, out: Path) -> dict[str, float]:
    kind = ITEMS.get(stage)
    if stage == "pretrain" and (gone := config["left_out"].get("train")) and not config["experts"]:
        raise ValueError(
            f"nothing would be trained: no corpus has rows for {', '.join(gone)} (`compose` says of which tasks); add a corpus, or name "
            f"experts of the tasks that there are under `experts` and `models` in params.yaml"
        )
    if kind and item in config["left_out"].get(stage, {}):
        _module("left_out").write_note(stage, item, config["left_out"][stage][item], out)
        return {}
    if kind:
        known = sorted(config["models" if stage == "evaluate" else stage])
        if item not in known:
            raise ValueError(f"{stage} needs one {kind} of {', '.join(known)}; got {item!r}; see params.yaml")
    return _module(stage).run(config, config["runtime"], item, out)


def _module(name: str) -> Any:
    """Of the folder `stage`. Found by name, so that the code of one is no part of another's hash (`pipeline.code_hash`)."""
    found = importlib.import_module(f"pipeline.stage.{name}")
    if not gc.isenabled():
        gc.freeze()  # what was imported stays, and is no garbage
        gc.enable()
    return found


if __name__ == "__main__":
    try:
        listen()
        gc.disable()  # looking for garbage among half a million objects that stay was a fifth of what imports cost
        sys.exit(main())
    except Stopped as before:  # the stage began, or behind its end
        print(f"\n{before}", file=sys.stderr)
        sys.exit(leave(before))
