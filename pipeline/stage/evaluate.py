"""evaluate: any encoder directory on the held-out rows of every corpus.

Reads:  the model's directory (params.yaml: models), checkpoints/backbone/ (for what the model kept of it), data/curated/
Writes: data/metrics/{evaluate,geometry}/<model>.json; data/evaluated/<model>.json (scores per query and pair); data/mteb/<model>/
        (results of the MTEB tasks that evaluate.mteb names, in their own format)
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from pipeline.build import build
from pipeline.checkpoint import architecture_of, learned_from, sha256, whole_directory, write_json
from pipeline.corpus.collection import Collection, collections
from pipeline.corpus.files import corpora, read
from pipeline.corpus.row import Row, Split
from pipeline.distributed import encoding_devices
from pipeline.encoder.cache import EmbeddingCache
from pipeline.encoder.directory import weights_hash
from pipeline.encoder.encoder import Encoder
from pipeline.evaluator import mteb_tasks
from pipeline.evaluator.geometry import alignment, geometry
from pipeline.evaluator.retention import LEAST, agreement, general_texts, spread_out
from pipeline.evaluator.scores import by_kind, scored
from pipeline.models import BACKBONE
from pipeline.task import kind_of
from pipeline.training.prepare import prepare

CURATED = Path("data/curated")
HELD_OUT: tuple[Split, ...] = ("validation", "test")
GENERAL = "general"  # what the bundled sentences are called among the guards
GEOMETRY_TEXTS = 1000  # spread evenly over the sorted texts: pairs are compared all with all


class Outside(NamedTuple):
    """``texts`` that no training row is of, read under the document's prompt of ``task``."""

    task: str
    texts: list[str]


class Predicting(Protocol):
    """A model of complexes, as ``load`` in its `architecture.yaml` loads it."""

    encoder: Encoder

    def predict(self, complexes: Sequence[tuple[str, str]], *, batch_tokens: int, title: str) -> np.ndarray: ...


class EvaluationModule(pl.LightningModule):
    """One collection a step; ``scores`` and ``items`` hold the result by split and label. ``evaluators`` by kind."""

    def __init__(
        self,
        encoder: Encoder,
        evaluators: Mapping[str, Any],
        *,
        model: Predicting | None,
        cache: EmbeddingCache | None,
        max_length_tokens: int | None,
        batch_tokens: int,
        resamples: int,
        confidence: float,
        seed: int,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.model = model
        self.cache = cache
        self.evaluators = evaluators
        self.max_length_tokens = max_length_tokens
        self.batch_tokens = batch_tokens
        self.resamples = resamples
        self.confidence = confidence
        self.seed = seed
        self.scores: dict[str, dict[str, Any]] = {split: {} for split in HELD_OUT}
        self.items: dict[str, dict[str, Any]] = {split: {} for split in HELD_OUT}
        self.lies: dict[str, dict[str, dict[str, float]]] = {split: {} for split in HELD_OUT}  # geometry
        self.vectors: dict[tuple[str, str], np.ndarray] = {}  # by prompt and text

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return batch  # texts: the encoder moves its own tensors

    def test_step(self, batch: tuple[str, Collection], batch_idx: int) -> None:
        split, collection = batch
        evaluator = self.evaluators[kind_of(collection).name]
        name = collection.name
        predicts = getattr(evaluator, "predicts", False)
        try:
            found = evaluator.evaluate(self.predict if predicts else self.encode, collection)
        except ValueError as error:
            raise ValueError(f"{name}, {split} rows: {error}") from error
        limits = {"resamples": self.resamples, "confidence": self.confidence}
        self.scores[split][name], self.items[split][name] = scored(evaluator, collection, found, limits, self.seed)
        self.lies[split][name] = self._geometry(collection)

    def _geometry(self, collection: Collection) -> dict[str, float]:
        """Of at most `GEOMETRY_TEXTS` of the collection's texts, with alignment where texts belong together."""
        texts, side = collection.texts()
        if len(texts) < 2:
            return {}
        found = geometry(self.encode(texts[:: -(-len(texts) // GEOMETRY_TEXTS)], side, collection.task))
        if together := collection.together():
            left, right = zip(*together, strict=True)
            both = self.encode(left, "query", collection.task), self.encode(right, side, collection.task)
            found["alignment"] = alignment(*both)
        return found

    def predict(self, ligands: Sequence[str], receptors: Sequence[str]) -> np.ndarray:
        """pKd of each complex."""
        assert self.model is not None, "collections of complexes are for affinity models alone"
        return self.model.predict(list(zip(ligands, receptors, strict=True)), batch_tokens=self.batch_tokens, title="complexes")

    def encode(self, texts: Sequence[str], side: str, task: str) -> np.ndarray:
        """Each text once, however many pairs and collections it stands in."""
        prompt = self.encoder.reading(task, side)
        new = [text for text in dict.fromkeys(texts) if (prompt, text) not in self.vectors]
        limits = {"max_length_tokens": self.max_length_tokens, "batch_tokens": self.batch_tokens}

        def encoded(missing: list[str]) -> np.ndarray:
            return self.encoder.encode(missing, **limits, title=f"{task} {side}", task=task, side=side, unit=True)

        if new:
            found = self.cache.encode(new, prompt, encoded) if self.cache else encoded(new)
            self.vectors |= {(prompt, text): vector for text, vector in zip(new, found, strict=True)}
        return np.stack([self.vectors[prompt, text] for text in texts])


def run(cfg: Mapping[str, Any], runtime: Mapping[str, Any], item: str | None, out: Path) -> dict[str, float]:
    section = cfg["evaluate"]
    prepare(runtime, cfg["seed"])
    outside = _outside(section)
    tasks = mteb_tasks.named(section["mteb"]) if section["mteb"] else []  # a wrong name is told before anything is encoded
    directory = Path(cfg["models"][item])
    settings = architecture_of(directory)
    shelf = _shelf(outside, section["max_length_tokens"], runtime) if settings is None else {}
    module = _module(directory, settings, section, runtime, cfg["seed"])
    held_out = _held_out(module, learned_from(directory))
    module.encoder.spread(encoding_devices(runtime))
    kept = {
        name: agreement(module.encode(outside[name].texts, "document", outside[name].task), of) for name, of in shelf.items()
    }
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = pl.Trainer(accelerator=runtime["accelerator"], devices=1, **quiet)
    trainer.test(module, DataLoader(held_out, batch_size=None), verbose=False)  # pyright: ignore[reportArgumentType]
    write_json(out / f"data/evaluated/{item}.json", module.items)
    write_json(out / f"data/metrics/evaluate/{item}.json", module.scores | {"retention": kept})
    write_json(out / f"data/metrics/geometry/{item}.json", module.lies)
    module.encoder.spread(encoding_devices(runtime) if tasks else [])  # the trainer has put it back
    _mteb(tasks, module, str(item), weights_hash(directory)[:40], out / f"data/mteb/{item}")
    test = {name: one["value"] for name, one in module.scores["test"].items()}
    print(f"{item}: " + ", ".join(f"{name} {value:.4f}" for name, value in test.items()))
    for name, one in kept.items():
        print(
            f"{item} orders {name} texts as the model off the shelf does: {one['order']:.3f}; neighbours kept: {one['neighbours']:.3f}"
        )
    return test


def _module(
    directory: Path, settings: Mapping[str, Any] | None, section: Mapping[str, Any], runtime: Mapping[str, Any], seed: int
) -> EvaluationModule:
    """``settings``: of a model of complexes, what its directory says of it; None for any other."""
    cut, folder = section["max_length_tokens"], runtime["embeddings"]
    model: Predicting | None = build(settings["load"], later=True)(directory) if settings is not None else None
    return EvaluationModule(
        Encoder.load(directory) if model is None else model.encoder,
        by_kind({name: build(node) for name, node in section["evaluators"].items() if node is not None}),
        model=model,
        cache=EmbeddingCache(Path(folder), model=f"{sha256(directory)} {cut}") if folder else None,
        max_length_tokens=cut,
        batch_tokens=runtime["batch_tokens"],
        resamples=section["resamples"],
        confidence=section["confidence"],
        seed=seed,
    )


def _held_out(module: EvaluationModule, deal: str | None) -> list[tuple[Split, Collection]]:
    """The collections that the model answers, by their split, as ``deal`` dealt them. ValueError where no corpus has a test row."""
    found: list[tuple[Split, Collection]] = [
        (split, c) for corpus in corpora(CURATED) for split in HELD_OUT for c in collections(CURATED, corpus, split, deal=deal)
    ]
    if not any(split == "test" for split, _ in found):
        raise ValueError("no corpus has a test row to evaluate; raise curate.split.test, or add a corpus with a test split")
    if module.model is None:  # it has vectors of texts, and no opinion of a complex
        return [(split, c) for split, c in found if not getattr(module.evaluators[kind_of(c).name], "predicts", False)]
    return found


def _outside(section: Mapping[str, Any]) -> dict[str, Outside]:
    """By name the texts on which retention is measured: the bundled sentences, and a sample of each guard's."""
    found = {GENERAL: Outside(GENERAL, general_texts())} if section["general"] else {}
    for corpus in section["guards"]:
        if learned := [split for split in ("train", "validation", "probe") if read(CURATED / corpus / f"{split}.parquet", Row)]:
            raise ValueError(
                f"evaluate.guards: {corpus} has {' and '.join(learned)} rows, and a guard is only evaluated; give its source test rows "
                f"alone (`splits` or `files` with `train: null`), or take it out of evaluate.guards"
            )
        held_out = collections(CURATED, corpus, "test")
        texts = spread_out([text for c in held_out for text in c.every_text()], section["guard_texts"])
        if len(texts) < LEAST:
            raise ValueError(f"evaluate.guards: expected {LEAST} texts or more in {corpus}, found {len(texts)}; take it out")
        found[corpus] = Outside(held_out[0].task, texts)
    return found


def _shelf(outside: Mapping[str, Outside], cut: int | None, runtime: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Vectors of the texts by the model off the shelf, which is gone again before the model itself is loaded."""
    if not outside:
        return {}
    encoder = Encoder.load(BACKBONE)
    encoder.spread(encoding_devices(runtime))
    limits = {"max_length_tokens": cut, "batch_tokens": runtime["batch_tokens"], "unit": True}
    return {
        name: encoder.encode(one.texts, **limits, title=name, task=one.task, side="document") for name, one in outside.items()
    }


def _mteb(tasks: Sequence[Any], module: EvaluationModule, name: str, revision: str, folder: Path) -> None:
    """Results of MTEB's ``tasks`` into ``folder``, in the layout that its cache reads; without tasks, who the model is."""
    if tasks:
        found = mteb_tasks.run(tasks, mteb_tasks.MtebModel(module.encode, name=name, revision=revision), folder)
        print(f"{name}: " + ", ".join(f"{task} {value:.4f}" for task, value in found.items()))
        return
    with whole_directory(folder) as partial:
        write_json(partial / "model_meta.json", {"name": f"tributary/{name}", "revision": revision})
