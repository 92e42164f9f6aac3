"""Whether models may be merged: one architecture, one tokenizer, the same modules behind the transformer."""

from pathlib import Path
from typing import Any

from pipeline.checkpoint import read_json, sha256
from pipeline.manifest import MODULES, modules


def check_alike(expert: Path, base: Path) -> None:
    """ValueError, with the file and both values, where ``expert`` cannot be merged with ``base``."""
    _check_tokenizer(expert, base)
    _check_modules(expert, base)


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
        layouts.append(
            {
                folder: (kind, {} if kind == "Transformer" else _config(directory / folder / "config.json"))
                for folder, kind in found.items()
            }
        )
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
