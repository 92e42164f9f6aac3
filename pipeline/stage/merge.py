"""merge: the experts become one model.

Reads:  checkpoints/base/, checkpoints/experts/
Writes: checkpoints/merged/<method>/
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pipeline import __version__
from pipeline.checkpoint import sha256, whole_directory, write_json, write_provenance
from pipeline.delta import State, delta, gram
from pipeline.params import build

BASE, EXPERTS = Path("checkpoints/base"), Path("checkpoints/experts")
WEIGHTS = "model.safetensors"


class MergeModule(pl.LightningModule):
    """A method whose parameters, where it has any, are its coefficients."""

    def __init__(self, method: nn.Module) -> None:
        super().__init__()
        self.method = method

    def forward(self, base: State, deltas: Sequence[State]) -> dict[str, Tensor]:
        return self.method(base, deltas)


def run(cfg: Mapping[str, Any], runtime: Mapping[str, Any], item: str | None, out: Path) -> dict[str, float]:
    # By the configuration, not by what lies there: the directory of an expert that was renamed or taken out stays behind.
    experts = sorted(path for path in map(Path, cfg["experts"].values()) if path.parent == EXPERTS)
    if not experts:
        raise ValueError(f"no expert below {EXPERTS}; name one there under `experts` in params.yaml, and run `dvc repro`")
    for directory in (BASE, *experts):
        _check_fits(directory)
    base = load_file(BASE / WEIGHTS)
    deltas = [delta(load_file(expert / WEIGHTS), base, name=str(expert)) for expert in experts]
    module = MergeModule(build(cfg["merge"][item]["method"]))
    state = module(base, deltas)
    inner = gram(deltas)
    norms = inner.diagonal().sqrt()
    coefficients = module.method.coefficients(deltas)  # pyright: ignore[reportCallIssue]
    with whole_directory(out / "checkpoints/merged" / str(item)) as folder:
        shutil.copytree(BASE, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(WEIGHTS, "provenance.json"))
        save_file(state, folder / WEIGHTS, metadata={"format": "pt"})
        (folder / WEIGHTS).chmod(0o644)
        inputs = {str(path): path for path in (BASE, *experts)}
        write_provenance(folder, version=__version__, config={"merge": cfg["merge"][item]}, inputs=inputs)
        write_json(
            folder / "merge.json",
            {
                "experts": [expert.name for expert in experts],
                "coefficients": coefficients,
                "task_vector_norms": norms.tolist(),
                "task_vector_cosines": (inner / (norms[:, None] * norms[None, :]).clamp(min=1e-30)).tolist(),
            },
        )
    print(f"{item}: {', '.join(f'{c:.3f} {e.name}' for c, e in zip(coefficients, experts, strict=True))}")
    return {f"coefficient/{e.name}": float(c) for c, e in zip(coefficients, experts, strict=True)}


def _check_fits(expert: Path) -> None:
    """ValueError unless ``expert`` is an encoder directory with the base's tokenizer."""
    for name in (WEIGHTS, "tokenizer.json"):
        if not (expert / name).is_file():
            raise ValueError(f"{expert} holds no {name}: merging needs encoder directories; train it with `dvc repro`")
    if sha256(expert / "tokenizer.json") != sha256(BASE / "tokenizer.json"):
        raise ValueError(f"{expert} has another tokenizer than {BASE}: their word vectors do not stand for the same words")
