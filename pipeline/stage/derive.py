"""derive: a model made of a finished one without a gradient, such as its first layers.

No Lightning module stands here: a derivation changes the weights once, in place, and has no steps for a trainer to call.

Reads:  the directory that it is of (params.yaml: derivations), checkpoints/{backbone,base}/ where it goes towards one of them,
        data/curated/ where it looks at train texts
Writes: checkpoints/derived/<name>/
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline._version import __version__
from pipeline.build import build
from pipeline.checkpoint import architecture_of, whole_directory, write_json, write_provenance
from pipeline.corpus.train_texts import train_texts
from pipeline.distributed import encoding_devices
from pipeline.encoder.encoder import Encoder
from pipeline.manifest import MODULES
from pipeline.training.prepare import prepare

CURATED = Path("data/curated")


def run(cfg: Mapping[str, Any], runtime: Mapping[str, Any], item: str | None, out: Path) -> dict[str, float]:
    section = cfg["derive"][item]
    prepare(runtime, cfg["seed"])
    derivation: Any = build(section["derivation"])
    source, several = Path(section["of"]), getattr(derivation, "several", False)
    sources = members(source, getattr(derivation, "members", None)) if several else [source]
    for one in sources:
        if architecture_of(one) is not None:
            raise ValueError(f"{one} predicts complexes; derive.{item} needs a model whose vectors are compared")
    encoder, *others = map(Encoder.load, sources)
    encoder.spread(encoding_devices(runtime)[:1])  # copies on further devices would stay as they are
    texts = train_texts(CURATED) if derivation.needs_texts else []
    try:
        if several:
            encoder, found = derivation.join([encoder, *others])
        else:
            found = derivation.derive(encoder, texts, batch_tokens=runtime["batch_tokens"])
    except ValueError as error:
        raise ValueError(f"derivations.{item}, of {source}: {error}") from error
    inputs = {str(one): one for one in sources} | ({str(CURATED): CURATED} if derivation.needs_texts else {})
    if towards := section["derivation"].get("towards"):
        inputs[towards] = Path(towards)
    with whole_directory(out / f"checkpoints/derived/{item}") as folder:
        encoder.save(folder)
        write_provenance(folder, version=__version__, config={"derive": dict(section)}, inputs=inputs)
        write_json(folder / "derivation.json", found)
    print(f"{item}, of {source}: " + ", ".join(f"{name} {value:.4g}" for name, value in found.items()))
    return dict(found)


def members(folder: Path, names: Sequence[str] | None) -> list[Path]:
    """The models in a directory of several, by name; what is left out of a run is none. ValueError where there are fewer than two."""
    there = sorted(place for place in folder.iterdir() if (place / MODULES).is_file())
    found = [place for place in there if names is None or place.name in names]
    if len(found) < max(2, len(names or ())):
        raise ValueError(
            f"{folder} holds {', '.join(place.name for place in there) or 'no model'}; expected {', '.join(names or ['two or more'])}"
        )
    return found
