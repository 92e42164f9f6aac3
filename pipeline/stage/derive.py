"""derive: a model made of a finished one without a gradient, such as its first layers.

No Lightning module stands here: a derivation changes the weights once, in place, and has no steps for a trainer to call.

Reads:  the directory that it is of (params.yaml: derivations), checkpoints/{backbone,base}/ where it goes towards one of them,
        data/curated/ where it looks at train texts
Writes: checkpoints/derived/<name>/
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline._version import __version__
from pipeline.build import build
from pipeline.checkpoint import architecture_of, whole_directory, write_json, write_provenance
from pipeline.corpus.train_texts import train_texts
from pipeline.derivation.derivation import Derivation
from pipeline.distributed import encoding_devices
from pipeline.encoder.encoder import Encoder
from pipeline.training.prepare import prepare

CURATED = Path("data/curated")


def run(cfg: Mapping[str, Any], runtime: Mapping[str, Any], item: str | None, out: Path) -> dict[str, float]:
    section = cfg["derive"][item]
    prepare(runtime, cfg["seed"])
    derivation: Derivation = build(section["derivation"])
    source = Path(section["of"])
    if architecture_of(source) is not None:
        raise ValueError(f"{source} predicts complexes; derive.{item} needs a model whose vectors are compared")
    encoder = Encoder.load(source)
    encoder.spread(encoding_devices(runtime)[:1])  # copies on further devices would stay as they are
    texts = train_texts(CURATED) if derivation.needs_texts else []
    try:
        found = derivation.derive(encoder, texts, batch_tokens=runtime["batch_tokens"])
    except ValueError as error:
        raise ValueError(f"derivations.{item}, of {source}: {error}") from error
    inputs = {section["of"]: source} | ({str(CURATED): CURATED} if derivation.needs_texts else {})
    if towards := section["derivation"].get("towards"):
        inputs[towards] = Path(towards)
    with whole_directory(out / f"checkpoints/derived/{item}") as folder:
        encoder.save(folder)
        write_provenance(folder, version=__version__, config={"derive": dict(section)}, inputs=inputs)
        write_json(folder / "derivation.json", found)
    print(f"{item}, of {source}: " + ", ".join(f"{name} {value:.4g}" for name, value in found.items()))
    return dict(found)
