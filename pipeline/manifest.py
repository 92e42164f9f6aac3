"""What an encoder directory says of itself, read without torch: its modules, and whether it wants to run code of its own."""

from pathlib import Path
from typing import Any

from pipeline.limits import parsed_json

MODULES = "modules.json"
ROUTERS = ("router_config.json", "config.json")  # the second: as older versions wrote it
HOLDERS = ("Router", "Asym", "SideBySide")  # modules that hold others
OWN, THEIRS = "pipeline.", "sentence_transformers."
OTHER_INPUTS = ("preprocessor_config.json", "processor_config.json")
# Their modules that make, or are part of, a model of one vector a text; of ours, classes in these packages.
CLASSES = {
    "Asym",
    "BoW",
    "CLIPModel",
    "CNN",
    "Dense",
    "Dropout",
    "LayerNorm",
    "LSTM",
    "Normalize",
    "Pooling",
    "Router",
    "StaticEmbedding",
}
CLASSES |= {"Transformer", "WeightedLayerPooling", "WordEmbeddings", "WordWeights"}
OWN_PACKAGES = tuple(
    f"{OWN}{name}." for name in ("pooling", "projection", "encoder")
)  # put together: whole, they would count as imports


def on_disk(name: str, revision: str | None) -> Path | None:
    """The directory of a model, or of one of the Hub that was fetched before; None where nothing is there yet."""
    if revision is None:
        return Path(name) if Path(name).is_dir() else None
    from huggingface_hub.constants import HF_HUB_CACHE

    place = Path(HF_HUB_CACHE) / f"models--{name.replace('/', '--')}" / "snapshots" / revision
    return place if place.is_dir() else None


def modules(directory: Path) -> dict[str, str]:
    """The class of each module of a directory by its folder, as `modules.json` and a router say; of a plain one: none.

    ValueError where a folder lies outside the directory."""
    found: dict[str, str] = {}
    if not (directory / MODULES).is_file():
        return found
    for module in _listed(directory / MODULES):
        folder = module["path"]
        found[folder] = module["type"]
        router = next((f for name in ROUTERS if (f := directory / folder / name).is_file()), None)
        if module["type"].rsplit(".", 1)[-1] in HOLDERS and router is not None:
            types = read_json(router).get("types")
            if not isinstance(types, dict) or not all(isinstance(kind, str) for kind in types.values()):
                raise ValueError(f"{router}: expected `types`, the class of each module by its name, found {str(types)[:80]}")
            found |= {f"{folder}/{name}".lstrip("/"): kind for name, kind in types.items()}
    for folder in found:
        if not (directory / folder).resolve().is_relative_to(directory.resolve()):
            raise ValueError(f"{directory / MODULES}: the module folder {folder!r} lies outside the directory")
    return found


def check_code(directory: Path, kinds: dict[str, str]) -> None:
    """Nothing but this package, sentence-transformers and transformers is run."""
    for folder, kind in kinds.items():
        if not kind.startswith((OWN, THEIRS)):
            raise ValueError(
                f"{directory / MODULES}: the module {kind} is code of the model's own, which is not run; "
                f"expected modules of sentence_transformers or pipeline; take a model that is made of these"
            )
        if not (kind.startswith(OWN_PACKAGES) or (kind.startswith(THEIRS) and kind.rsplit(".", 1)[-1] in CLASSES)):
            raise ValueError(
                f"{directory / MODULES}: expected modules of sentence_transformers ({', '.join(sorted(CLASSES))}) or of "
                f"{' and '.join(name[:-1] for name in OWN_PACKAGES)}, got {kind}; take a model that is made of these"
            )
        activation = str(read_json(directory / folder / "config.json").get("activation_function", "torch."))
        if kind.rsplit(".", 1)[-1] == "Dense" and not activation.startswith("torch."):
            raise ValueError(
                f"{directory / folder / 'config.json'}: expected an activation_function of torch, got {activation}"
            )
    for folder in ("", *kinds):
        for name in ("config.json", "tokenizer_config.json", *OTHER_INPUTS):
            if code := read_json(directory / folder / name).get("auto_map"):
                raise ValueError(
                    f"{directory / folder / name}: auto_map names code of the model's own ({', '.join(map(str, code))}), which is not run; "
                    f"take a model that transformers has a class for"
                )


def poolings(directory: Path) -> int | None:
    """How many modules of a directory pool token vectors; None where it names no modules."""
    kinds = [kind for folder, kind in modules(directory).items() if "/" not in folder]
    pooling = [kind for kind in kinds if kind.endswith(".Pooling") or kind.startswith(f"{OWN}pooling.")]
    return len(pooling) if kinds else None


def _listed(file: Path) -> list[dict[str, str]]:
    content = parsed_json(file)
    whole = isinstance(content, list) and content and all(isinstance(one, dict) for one in content)
    if not whole or not all(isinstance(one.get(key), str) for one in content for key in ("path", "type")):
        raise ValueError(
            f"{file}: expected a list of modules, each with a path and a type, found {str(content)[:80]}; fetch it again"
        )
    return content


def read_json(file: Path) -> dict[str, Any]:
    """The object that a JSON file holds, nothing where there is none. ValueError names a file that is damaged."""
    content = parsed_json(file) if file.is_file() else {}
    if not isinstance(content, dict):
        raise ValueError(f"{file}: expected an object, {{...}}, found {str(content)[:80]}; fetch or write it again")
    return content
