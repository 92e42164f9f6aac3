"""merge: the experts become one model.

Reads:  checkpoints/base/, checkpoints/experts/; data/curated/ where the method is searched
Writes: checkpoints/merged/<method>/
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytorch_lightning as pl
import torch
from jaxtyping import Float

from pipeline._version import __version__
from pipeline.build import build
from pipeline.checkpoint import (
    ARCHITECTURE,
    PROVENANCE,
    architecture_of,
    read_json,
    whole_directory,
    write_json,
    write_provenance,
    write_text,
)
from pipeline.copying import copy_model
from pipeline.delta import UNMOVED, Models, Written, check_distance, total
from pipeline.distributed import first_process
from pipeline.merging.alike import check_alike
from pipeline.merging.method import Method
from pipeline.weights import INDEX

BASE, EXPERTS = Path("checkpoints/base"), Path("checkpoints/experts")
CURATED = Path("data/curated")
NOT_COPIED = ("*.safetensors", INDEX, PROVENANCE)


class Beside(Protocol):
    """Merges what experts keep beside their encoder; ``merge`` in their `architecture.yaml` names it."""

    def check(self, experts: Sequence[Path], method: Method) -> None: ...
    def write(self, experts: Sequence[Path], method: Method, target: Path) -> None: ...


class MergeModule(pl.LightningModule):
    """A method whose parameters, where it has any, are its coefficients.

    No trainer runs the merge itself: it reads each weight once, in the order of the file that it writes, and waits for the disk. What is
    trained, the coefficients of a method with a probe, is a module in a trainer's hooks on all its devices
    (`pipeline.probing.search.Positioning`)."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    @torch.no_grad()
    def forward(self, models: Models, folder: Path) -> Written:
        """Weights into ``folder``."""
        self.method.prepare(models)
        return models.write(folder, self.method.merge, whole=self.method.whole)


def run(cfg: Mapping[str, Any], runtime: Mapping[str, Any], item: str | None, out: Path) -> dict[str, float]:
    # By the configuration, not by what lies there: the directory of an expert that was renamed or taken out stays behind.
    experts = sorted(path for path in map(Path, cfg["experts"].values()) if path.parent == EXPERTS)
    if not experts:
        raise ValueError(f"no expert below {EXPERTS}; name one there under `experts` in params.yaml, and run `dvc repro`")
    names = [str(path) for path in (BASE, *experts)]
    target = out / "checkpoints/merged" / str(item)
    return merge_directories(BASE, experts, names, cfg["merge"][item], target, runtime=runtime, seed=cfg["seed"])


def merge_directories(
    base: Path,
    experts: Sequence[Path],
    names: Sequence[str],
    section: Mapping[str, Any],
    target: Path,
    *,
    runtime: Mapping[str, Any],
    seed: int,
) -> dict[str, float]:
    """``target`` is a copy of ``base`` but for the weights; ``names`` say what base and experts are called in the record."""
    labels, trajectories = [Path(name).name for name in names[1:]], []
    if section["snapshots"]:
        experts, names, labels, trajectories = _with_snapshots(experts, names)
    for expert in experts:
        check_alike(expert, base)
    models = Models(base, experts)
    module = MergeModule(build(section["method"]))
    module.method.group(trajectories)
    beside = _beside(experts, module.method)
    found, tables, picture = {}, {}, None
    if module.method.needs_probe and section["probe"] is not None:
        from pipeline.probing.search import search

        found, tables, picture = search(module.method, base, models, section["probe"], runtime, seed=seed, name=target.name)
    if not first_process():
        return {}
    with whole_directory(target) as folder:
        copy_model(base, folder, without=NOT_COPIED)
        gram = _written(module, models, experts, folder, max_distance=section["max_distance"])
        if beside is not None:
            beside.write(experts, build(section["method"]), folder)
        inputs = dict(zip(names, (base, *experts), strict=True)) | ({str(CURATED): CURATED} if found else {})
        config = {"merge": dict(section)} | ({"seed": seed} if found else {})
        write_provenance(folder, version=__version__, config=config, inputs=inputs)
        record = _record(gram, labels, module.method.record())
        if found:
            record["search"] = found
        write_json(folder / "merge.json", record)
        _write_search(folder, tables, picture)
    shown = record["coefficients"].get("all", [])
    told = [f"{c:.3f} {label}" for c, label in zip(shown, labels, strict=True)] if shown else labels
    print(f"{target.name}: {', '.join(told)}")
    return {f"coefficient/{label}": c for label, c in zip(labels, shown, strict=False)}


def _beside(experts: Sequence[Path], method: Method) -> Beside | None:
    """None where all experts are encoders and nothing more. ValueError where some are, or where they do not fit together."""
    more = [expert for expert in experts if architecture_of(expert) is not None]
    if not more:
        return None
    if len(more) < len(experts):
        lacks = next(expert for expert in experts if expert not in more)
        raise ValueError(f"{lacks} holds no {ARCHITECTURE}, {more[0]} does: merge experts of one kind")
    settings = architecture_of(more[0])
    assert settings is not None
    beside: Beside = build(settings["merge"])
    beside.check(experts, method)
    return beside


def _written(
    module: MergeModule, models: Models, experts: Sequence[Path], folder: Path, *, max_distance: float
) -> Float[torch.Tensor, "1+T 1+T"]:
    """Weights into ``folder``; their Gram matrix. ValueError where an expert is too far from the base to be of it."""
    written = module(models, folder)
    # By matrices: the scales of norms are about 1 in every model, and in a small one they would outweigh all else.
    matrices = {name: one for name, one in written.grams.items() if len(models.shape(name)) > 1} or written.grams
    check_distance(total(matrices), experts, max_distance=max_distance)
    gram = total(written.grams)
    lengths = gram.diagonal().sqrt()
    for expert, length in zip(experts, lengths[1:].tolist(), strict=True):
        if length <= UNMOVED * float(lengths[0]):
            print(
                f"{expert}: its weights are equal to the base's, or nearly (task vector {length:.1e}): it adds nothing to a merge"
            )
    if written.widened:
        print("written in float32: half precision, as the base has it, would round too much of what the merge changes")
        _say_float32(folder)
    return gram


def _say_float32(folder: Path) -> None:
    """In each `config.json` that names a type of weights, for loaders go by it."""
    for file in sorted(folder.rglob("config.json")):
        config = read_json(file)
        keys = [key for key in ("dtype", "torch_dtype") if config.get(key) in ("bfloat16", "float16")]
        if keys:
            write_json(file, config | dict.fromkeys(keys, "float32"))


def _write_search(folder: Path, tables: Mapping[str, str], picture: Any) -> None:
    for name, text in tables.items():
        write_text(folder / name, text)
    if picture is not None:
        picture.draw(folder / "landscape.png")


def _record(
    gram: Float[torch.Tensor, "1+T 1+T"], labels: Sequence[str], coefficients: dict[str, list[float]]
) -> dict[str, Any]:
    """What `merge.json` holds: ``gram`` has the inner products of the base and the task vectors."""
    inner = gram[1:, 1:]
    norms = inner.diagonal().sqrt()
    return {
        "experts": list(labels),
        "coefficients": coefficients,
        "base_norm": float(gram[0, 0].sqrt()),
        "task_vector_norms": norms.tolist(),
        "task_vector_cosines": (inner / (norms[:, None] * norms[None, :]).clamp(min=1e-30)).tolist(),
    }


def _with_snapshots(experts: Sequence[Path], names: Sequence[str]) -> tuple[list[Path], list[str], list[str], list[int]]:
    """Each expert behind the snapshots of its training: paths, names (the base's first), labels, and how many of each training."""
    paths: list[Path] = []
    called, labels, sizes = [names[0]], [], []
    for expert, name in zip(experts, names[1:], strict=True):
        kept = sorted(
            (path for path in (expert / "snapshots").glob("[0-9]*") if path.is_dir()), key=lambda path: int(path.name)
        )
        if not kept:
            raise ValueError(
                f"{expert} holds no snapshots, and merge.snapshots is true; train it with train.<expert>.snapshots, or set that to false"
            )
        paths += [*kept, expert]
        called += [*(f"{name}/snapshots/{path.name}" for path in kept), name]
        labels += [*(f"{Path(name).name}@{path.name}" for path in kept), Path(name).name]
        sizes.append(len(kept) + 1)
    return paths, called, labels, sizes
