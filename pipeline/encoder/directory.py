"""An encoder directory: whatever sentence-transformers loads, opened without running code that it brings, and saved so that equal
models are equal bytes.

Ours are written by sentence-transformers, so ``SentenceTransformer(path)`` gives the same vectors; beside its files stands only
`encoder.yaml`, with what it has no place for.
"""

import hashlib
import importlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors.torch import save_model as save_weights
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Module, Normalize, Router, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from pipeline.checkpoint import sha256, write_json
from pipeline.encoder.fitting import check_tokenizer, check_weights, unlike_shapes
from pipeline.encoder.plausible import check_config, check_growth
from pipeline.limits import parsed_json
from pipeline.manifest import MODULES, OTHER_INPUTS, OWN, check_code, modules, read_json
from pipeline.weights import WEIGHTS, Weights, weight_files

transformers_logging.disable_progress_bar()

HUB_FILES = ["README.md", "*.json", "*.txt", "*.model", "*.jinja", "*.safetensors"]
TEXT_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "tokenizer.model", "sentencepiece.bpe.model")
# What names a place or a version, or only how a file was fetched.
FORGOTTEN = {
    "config.json": ("_name_or_path", "transformers_version"),
    "generation_config.json": ("_from_model_config", "transformers_version"),
    "config_sentence_transformers.json": ("__version__",),
    "tokenizer_config.json": (
        "name_or_path",
        "is_local",
        "local_files_only",
        "max_length",
        "cache_dir",
        "revision",
        "subfolder",
        "token",
        "trust_remote_code",
    ),
}
FORGOTTEN["preprocessor_config.json"] = FORGOTTEN["processor_config.json"] = FORGOTTEN["tokenizer_config.json"]


def fetched(name: str, revision: str) -> Path:
    """The directory of a model of the Hub at a commit, without code and pickles. ValueError where the Hub does not give it."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=HUB_FILES))
    except Exception as error:
        raise ValueError(f"cannot fetch model {name} (revision {revision}): {str(error).splitlines()[0]}") from error


def open_model(directory: Path) -> SentenceTransformer:
    """On the CPU, in evaluation mode. ValueError, naming the file, where something is missing or wants to run code of its own."""
    _check_plain(directory)
    kinds = modules(directory)
    _check_files(directory, kinds)
    check_code(directory, kinds)
    own = {kind: _own_class(directory, kind) for kind in kinds.values() if kind.startswith(OWN)}
    given: dict[str, Any] = {"use_safetensors": True}
    if (
        read_json(directory / "config.json").get("model_type") == "esm"
    ):  # most directories lack its pooler, which no vector depends on
        given["add_pooling_layer"] = False
    where = {"device": "cpu", "local_files_only": True, "trust_remote_code": False}
    try:
        with quiet():  # it would report a head that is not read as nobody's
            model = SentenceTransformer._load_with_module_classes(str(directory), own, model_kwargs=given, **where)
    except Exception as error:  # tokenizers and safetensors raise their own; a package may be missing
        raise ValueError(f"cannot load model {directory}: {_reason(error, directory, kinds)}") from error
    with quiet():
        check_weights(directory, _transformers(kinds), model)
    for first in inputs(model):
        check_tokenizer(directory, first)
    return model.eval()


def assembled(backbone: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> SentenceTransformer:
    """A new model of a transformer: its mean token vector, at unit length. In training mode, as torch makes new modules."""
    with tempfile.TemporaryDirectory() as folder, quiet():
        backbone.config.architectures = [type(backbone).__name__]
        backbone.config.save_pretrained(folder)
        weights: Any = backbone  # of a group of processes, the model's own `save_pretrained` writes in the first alone
        save_weights(weights, str(Path(folder) / WEIGHTS), metadata={"format": "pt"})
        tokenizer.save_pretrained(folder)
        esm = {"add_pooling_layer": False} if backbone.config.model_type == "esm" else {}
        transformer = Transformer(folder, model_kwargs={"local_files_only": True, **esm})
    width = transformer.get_embedding_dimension()
    parts = [transformer, Pooling(width, "mean"), Normalize()]
    return SentenceTransformer(modules=parts, device="cpu", local_files_only=True).train()


def inputs(model: SentenceTransformer) -> list[Any]:
    """The modules that read texts, each once."""
    return list(dict.fromkeys(part for part in model.modules() if isinstance(part, Transformer | StaticEmbedding)))


def save_model(model: SentenceTransformer, directory: Path) -> None:
    """As sentence-transformers saves it, less what names places, versions, and the limit of the last call."""
    for part in model.modules():
        if isinstance(part, Transformer) and getattr(part.tokenizer, "is_fast", False):
            fast: Any = part.tokenizer
            fast.backend_tokenizer.no_truncation()
            fast.backend_tokenizer.no_padding()
    with quiet():
        model.save(str(directory), create_model_card=False)
    for file in directory.rglob("*.safetensors"):
        file.chmod(0o644)
    for file in directory.rglob("*.json"):
        if file.name in FORGOTTEN:
            write_json(file, _without(read_json(file), FORGOTTEN[file.name]))


def weights_hash(directory: Path) -> str:
    """SHA-256 of the weights alone: of the one file, or over the hashes of several."""
    hashes = [sha256(file) for file in weight_files(directory)]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def folders(model: SentenceTransformer) -> Iterator[tuple[str, nn.Module]]:
    """Each module with the folder that `save_model` writes it to; a router's modules in place of the router."""
    for number, (_, module) in enumerate(model.named_children()):
        folder = "" if number == 0 and getattr(module, "save_in_root", False) else f"{number}_{type(module).__name__}"
        if not isinstance(module, Router):
            yield folder, module
            continue
        seen: set[int] = set()
        for route, parts in module.sub_modules.items():
            for place, part in enumerate(parts):  # pyright: ignore[reportArgumentType]
                if id(part) not in seen:
                    seen.add(id(part))
                    yield f"{folder}/{route}_{place}_{type(part).__name__}".lstrip("/"), part


@contextmanager
def quiet() -> Iterator[None]:
    """transformers' logger, errors only."""
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)


def _reason(error: Exception, directory: Path, kinds: dict[str, str]) -> str:
    """What a library said, with its kind where the words alone do not tell, and what it does not say."""
    for file in sorted(directory.rglob("*.json")):
        parsed_json(file)  # ValueError names the file that is damaged
    if "ignore_mismatched_sizes" in str(error):
        with quiet():
            found = [told for folder in _transformers(kinds) if (told := unlike_shapes(directory, folder))]
        return f"its weights have other shapes than config.json says: {'; '.join(found)}; take the config.json of these weights"
    named = isinstance(error, OSError | RuntimeError | ValueError | ImportError)
    return str(error) if named else f"{type(error).__name__}: {error}"


def _transformers(kinds: dict[str, str]) -> list[str]:
    return [folder for folder, kind in kinds.items() if kind.rsplit(".", 1)[-1] == "Transformer"] if kinds else [""]


def _check_plain(directory: Path) -> None:
    """ValueError for a pipe or a device, which a library would wait for, or read, without end."""
    for place in sorted(directory.rglob("*")):
        if place.exists() and not place.is_file() and not place.is_dir():
            raise ValueError(f"{place}: expected a file, found a pipe or a device; remove it, or fetch the model again")


def _check_files(directory: Path, kinds: dict[str, str]) -> None:
    for folder in _transformers(kinds):
        place = directory / folder
        missing = [] if (place / "config.json").is_file() else ["config.json"]
        missing += [] if any((place / name).is_file() for name in (*TEXT_FILES, *OTHER_INPUTS)) else ["tokenizer.json"]
        missing += [] if [file for file in weight_files(directory) if file.parent == place] else [WEIGHTS]
        if missing:
            at = f"{folder}/{missing[0]}".lstrip("/")
            other = f", or {' or '.join(TEXT_FILES[1:])}" if missing[0] == TEXT_FILES[0] else ""
            raise ValueError(
                f"{directory} is no encoder directory: {at} is missing{other}; fetch or save the model whole, or make it with "
                f"`dvc repro`"
            )
    for folder, kind in kinds.items():
        if kind.rsplit(".", 1)[-1] in ("Pooling", "Dense") and not (directory / folder / "config.json").is_file():
            raise ValueError(
                f"{directory / folder / 'config.json'} is missing, but {MODULES} names the module {kind}; fetch the model again"
            )
    weights = Weights(directory)  # whether the files are whole
    for place in (directory / folder for folder in kinds or [""]):
        check_config(place / "config.json", weights)
        check_growth(place / "tokenizer.json")


def _own_class(directory: Path, kind: str) -> type[Module]:
    name, _, last = kind.rpartition(".")
    try:
        found = getattr(importlib.import_module(name), last, None)
    except (ModuleNotFoundError, ValueError):  # the second: of a name that is none
        found = None
    if not (isinstance(found, type) and issubclass(found, Module) and found.__module__ == name):
        raise ValueError(f"{directory / MODULES}: {kind} is no module of this package; save the model with this version of it")
    return found


def _without(content: Any, names: tuple[str, ...]) -> Any:
    """``content`` without ``names``, also in the configurations of parts (``text_config``)."""
    if not isinstance(content, dict):
        return content
    return {
        key: _without(value, names) if key.endswith("_config") else value for key, value in content.items() if key not in names
    }
