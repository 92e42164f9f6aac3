"""What tests of several folders share."""

import os
import runpy
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
WORDS = ["the cat sat on a mat", "a dog ran in the park", "rolling window over rows", "sum of all numbers"] * 2


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def two_processes(root) -> Callable[..., None]:
    """Runs ``program folder rank words...`` for ranks 0 and 1 at once, to their end. If one fails, both end and its errors are told.

    Each is a new interpreter: a fork of a process that has used its thread pools may wait for them for ever."""

    def run(program: Path, folder: Path, *words: object, seconds: int = 400) -> None:
        env = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONPATH": str(root)}
        logs = [folder / f"{rank}.log" for rank in (0, 1)]
        begun = []
        try:
            for rank, log in enumerate(logs):
                command = [sys.executable, "-W", "ignore", str(program), str(folder), str(rank), *map(str, words)]
                with log.open("w") as errors:
                    begun.append(subprocess.Popen(command, env=env, cwd=root, stdout=errors, stderr=errors))
            until = time.monotonic() + seconds
            while any(codes := [process.poll() for process in begun]) or None in codes:
                late = time.monotonic() > until
                if late or any(codes):
                    told = "\n".join(f"-- process {rank}\n{log.read_text()[-3000:]}" for rank, log in enumerate(logs))
                    pytest.fail(f"{'too late' if late else 'failed'}: exit codes {codes}\n{told}")
                time.sleep(0.05)
        finally:
            for process in begun:
                process.kill()
                process.wait()

    return run


@pytest.fixture(scope="session")
def stand_in() -> SimpleNamespace:
    """tests/stand_in.py: dvc.yaml as data."""
    return SimpleNamespace(**runpy.run_path(str(ROOT / "tests/stand_in.py")))


@pytest.fixture(scope="session")
def tiny_encoder() -> Callable[..., Any]:
    """Makes a scratch BERT of width 16 with random weights (``seed``) and the words of ``WORDS``; ``pooling`` is a node."""
    import torch

    from pipeline.encoder.encoder import Encoder
    from pipeline.encoder.scratch import ScratchBackbone

    torch.set_num_threads(1)  # more threads than this only wait for each other on tensors so small

    def make(pooling: Any = None, *, seed: int = 0, max_length_tokens: int = 12, dropout: float = 0.1) -> Encoder:
        scratch = ScratchBackbone(vocabulary=80, width=16, layers=2, heads=2, intermediate=32, dropout=dropout)
        torch.manual_seed(seed)
        model = scratch(WORDS)
        return Encoder(model, pooling=pooling, max_length_tokens=max_length_tokens)

    return make


def _pairs(query, document, positive=None, score=None, *, negative=None, document_text=None, known=(), anchors=None, **further):
    import torch

    from pipeline.tensors import EmbeddedPairs

    size = len(query)
    positive = torch.arange(size) if positive is None else positive
    return EmbeddedPairs(
        query=query,
        document=document,
        positive=positive.reshape(size, -1),
        negative=torch.empty(size, 0, dtype=torch.int64) if negative is None else negative,
        query_text=torch.arange(1000, 1000 + size),
        document_text=torch.arange(len(document)) if document_text is None else document_text,
        known=torch.tensor(sorted({*known, *(pair[::-1] for pair in known)}), dtype=torch.int64).reshape(-1, 2),
        anchors=slice(0, size) if anchors is None else anchors,
        score=score,
        **further,
    )


@pytest.fixture(scope="session")
def pairs():
    """Makes `EmbeddedPairs`: every document another text, query ``i`` answered by row ``i`` unless ``positive`` ([B] or [B, P]) says.

    ``known``: pairs of texts that belong together, query ``i`` being text ``1000 + i`` and document ``n`` text ``n``, one way round."""
    return _pairs


def _facts(**changes):
    from pipeline.evaluator.scores import Scores
    from pipeline.report.gather import Facts, Verdict
    from pipeline.report.told import Model

    verdict = Verdict(
        model="own", sentence="own is final.", rows="", best_single="own", merges={}, refused=[], kept={}, forgot=[], notices=[]
    )
    plain: dict[str, Any] = {
        "version": "0",
        "seed": 0,
        "examples": 3,
        "evaluators": {},
        "models": {"own": Model(path="x/own", gated=False, about="")},
        "limits": {"confidence": 0.95, "task_confidence": 0.995, "margin": 0.01, "resamples": 50, "retention": None},
        "controls": {},
        "gated": ("merge", "merges"),
        "scores": {"own": Scores({"validation": {}, "test": {}})},
        "items": {"own": {}},
        "collections": {},
        "verdict": verdict,
        "before": {
            "shelf": None,
            "final": "own",
            "rows": {"own": {"test": {}, "mean": None}},
            "difference": None,
            "sentence": "",
        },
        "guards": [],
        "evaluated_tokens": 48,
        "pooling": None,
        "forms": {},
        "stress": {},
        "geometry": {},
        "mteb": {},
        "cards": [],
        "curves": [],
        "searches": [],
        "made": {},
        "sizes": {},
    }
    return Facts(**(plain | changes))


@pytest.fixture(scope="session")
def facts():
    """Makes the facts of a page: of a run of which next to nothing is known, but for what is given."""
    return _facts


@pytest.fixture(scope="session")
def shown(root):
    """Renders one part of the page: ``shown("scores", facts)`` gives its HTML, its Markdown by ``plain=True``, or None."""
    import yaml

    from pipeline.report.render import sections

    parts = yaml.safe_load((root / "conf/report.yaml").read_text(encoding="utf-8"))["parts"]

    def render(name: str, facts: Any, *, plain: bool = False) -> str | None:
        found = sections({name: parts[name]}, facts)
        return (found[0].markdown if plain else found[0].html) if found else None

    return render
