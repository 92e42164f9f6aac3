"""merge: the experts become one model.

Reads:  checkpoints/base/, checkpoints/experts/; data/curated/ where the method is searched
Writes: checkpoints/merged/<method>/
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from pipeline._version import __version__
from pipeline.build import build
from pipeline.checkpoint import PROVENANCE, read_json, sha256, whole_directory, write_json, write_provenance, write_text
from pipeline.delta import Models, check_distance, total
from pipeline.distributed import first_process
from pipeline.manifest import MODULES, modules
from pipeline.merging.method import Method
from pipeline.protein.beside import check_beside, merge_beside
from pipeline.weights import INDEX

BASE, EXPERTS = Path("checkpoints/base"), Path("checkpoints/experts")
CURATED = Path("data/curated")
NOT_COPIED = ("snapshots", "*.safetensors", INDEX, PROVENANCE, "*.bin", "*.pt", "*.onnx", ".git*", ".cache")


class MergeModule(pl.LightningModule):
    """A method whose parameters, where it has any, are its coefficients."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    @torch.no_grad()
    def forward(self, models: Models, folder: Path) -> dict[str, torch.Tensor]:
        """Weights into ``folder``; the Gram matrices of base and task vectors."""
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
    base: Path, experts: Sequence[Path], names: Sequence[str], section: Mapping[str, Any], target: Path, *,
    runtime: Mapping[str, Any], seed: int,
) -> dict[str, float]:  # fmt: skip
    """``target`` is a copy of ``base`` but for the weights; ``names`` say what base and experts are called in the record."""
    labels, trajectories = [Path(name).name for name in names[1:]], []
    if section["snapshots"]:
        experts, names, labels, trajectories = _with_snapshots(experts, names)
    for expert in experts:
        _check_tokenizer(expert, base)
        _check_modules(expert, base)
    models = Models(base, experts)
    module = MergeModule(build(section["method"]))
    module.method.group(trajectories)
    beside = check_beside(experts, module.method)
    found, tables, picture = {}, {}, None
    if module.method.needs_probe and section["probe"] is not None:
        from pipeline.probing.search import search

        found, tables, picture = search(module.method, base, models, section["probe"], runtime, seed=seed, name=target.name)
    if not first_process():
        return {}
    with whole_directory(target) as folder:
        shutil.copytree(base, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*NOT_COPIED))
        grams = module(models, folder)
        gram = total(grams)
        # By matrices: the scales of norms are about 1 in every model, and in a small one they would outweigh all else.
        matrices = {name: one for name, one in grams.items() if len(models.shape(name)) > 1} or grams
        check_distance(total(matrices), experts, max_distance=section["max_distance"])
        if beside:
            merge_beside(experts, build(section["method"]), folder)
        inputs = dict(zip(names, (base, *experts), strict=True))
        config: dict[str, Any] = {"merge": dict(section)}
        if found:
            inputs[str(CURATED)], config["seed"] = CURATED, seed
        write_provenance(folder, version=__version__, config=config, inputs=inputs)
        inner = gram[1:, 1:]
        norms = inner.diagonal().sqrt()
        coefficients = module.method.record()
        record = {
            "experts": list(labels),
            "coefficients": coefficients,
            "base_norm": float(gram[0, 0].sqrt()),
            "task_vector_norms": norms.tolist(),
            "task_vector_cosines": (inner / (norms[:, None] * norms[None, :]).clamp(min=1e-30)).tolist(),
        }
        if found:
            record["search"] = found
        write_json(folder / "merge.json", record)
        for name, text in tables.items():
            write_text(folder / name, text)
        if picture is not None:
            picture.draw(folder / "landscape.png")
    shown = coefficients.get("all", [])
    print(
        f"{target.name}: "
        + (", ".join(f"{c:.3f} {e}" for c, e in zip(shown, labels, strict=True)) if shown else ", ".join(labels))
    )
    return {f"coefficient/{label}": c for label, c in zip(labels, shown, strict=False)}


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


def _check_tokenizer(expert: Path, base: Path) -> None:
    """ValueError unless ``expert`` has the base's architecture and tokenizer."""
    for directory in (expert, base):
        if not (directory / "config.json").is_file() and not (directory / MODULES).is_file():
            raise ValueError(f"{directory} holds no config.json: merging needs encoder directories; train it with `dvc repro`")
    one, other = (_config(directory / "config.json").get("model_type") for directory in (expert, base))
    if one != other:
        raise ValueError(
            f"{expert / 'config.json'}: model_type is {one!r}, the base's is {other!r}; merge models of one architecture"
        )
    for name in ("tokenizer.json", "vocab.txt", "vocab.json", "sentencepiece.bpe.model", "spiece.model"):
        files = [directory / name for directory in (expert, base)]
        if any(file.is_file() for file in files):
            if not all(file.is_file() for file in files) or sha256(files[0]) != sha256(files[1]):
                raise ValueError(
                    f"{expert} has another tokenizer than {base} ({name}): their word vectors do not stand for the same words"
                )
            return


def _check_modules(expert: Path, base: Path) -> None:
    """ValueError unless ``expert`` has the base's modules behind the transformer, in the same settings: the merge takes the base's."""
    if not any((directory / MODULES).is_file() for directory in (expert, base)):
        return
    layouts = []
    for directory in (expert, base):
        found = {folder: kind.rsplit(".", 1)[-1] for folder, kind in modules(directory).items()}
        layouts.append({
            folder: (kind, {} if kind == "Transformer" else _config(directory / folder / "config.json")) for folder, kind in found.items()
        })  # fmt: skip
    one, other = layouts
    for folder in sorted({*one, *other}):
        if one.get(folder) != other.get(folder):
            told = [" ".join(map(str, found[folder])) if folder in found else "nothing" for found in layouts]
            raise ValueError(
                f"{expert}: the module in {folder or 'the directory itself'} is {told[0]}, the base's is {told[1]}; "
                f"merge models of the same modules (a plain base becomes one by SentenceTransformer(base).save(...))"
            )


def _config(file: Path) -> dict[str, Any]:
    return read_json(file) if file.is_file() else {}
