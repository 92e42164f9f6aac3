"""What a claim leaves behind: one JSON file, with the difference, its interval, the seeds, the negative control and the machine."""

import json
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from benchmarks.over_seeds import Claim, over_seeds_and_items
from pipeline.code_hash import Code

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs/claims"
CONFIDENCE = 0.95
FIELDS = (
    "claim",
    "metric",
    "arms",
    "difference",
    "verdict",
    "control",
    "seeds",
    "items",
    "steps",
    "about",
    "code",
    "machine",
    "command",
)


def hash_of(about: Sequence[str]) -> str:
    """Of the modules that a claim is about, without comments and docstrings. Where they change, the claim is to be made again."""
    code = Code()
    return code.hashed({file for name in about for file in code.named(name)})


def compared(arms: Mapping[str, Float[np.ndarray, "S R"]], new: str, old: str, *, num_groups: int) -> Claim:
    """Arm ``new`` minus arm ``old``: scores by training, as measured and then on each draw of the items."""
    difference = arms[new] - arms[old]
    return over_seeds_and_items(difference[:, 0].tolist(), difference[:, 1:].mean(0), CONFIDENCE, num_items=num_groups)


def verdict(found: Claim) -> str:
    """Holds: beyond chance in favour. Reversed: beyond chance against. Open: not told from chance."""
    return "holds" if found.low > 0 else "reversed" if found.high < 0 else "open"


def write_claim(
    name: str, claim: str, found: Claim, *, arms: Mapping[str, np.ndarray], control: Claim, control_is: str, metric: str,
    seeds: Sequence[int], items: Mapping[str, int], steps: int, about: Sequence[str], **more: Any,
) -> dict[str, Any]:  # fmt: skip
    """``arms``: as in `compared`; what is written of them is the score of each training. ``items``: how many, by collection."""
    written = {
        "claim": claim,
        "metric": metric,
        "arms": {arm: [round(float(value), 6) for value in scores[:, 0]] for arm, scores in arms.items()},
        "difference": _rounded(found),
        "verdict": verdict(found),
        "control": {"what": control_is, **_rounded(control)},
        "seeds": list(seeds),
        "items": dict(items),
        "steps": steps,
        "about": list(about),
        "code": hash_of(about),
        "machine": {
            "processor": platform.machine(),
            "python": platform.python_version(),
            **{package: version(package) for package in ("torch", "transformers", "sentence-transformers")},
        },
        "command": f"TRIBUTARY_DATA=<folder> pytest -m claim tests/claim/test_{name}.py",
        **more,
    }
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{name}: {written['verdict']}, {written['difference']}, control {written['control']}")
    return written


def _rounded(claim: Claim) -> dict[str, float]:
    return {key: round(value, 6) for key, value in claim._asdict().items()}
