"""A batch in which a query meets documents that are none of its negatives, and what an objective does to these."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

import pipeline.objective.matryoshka_2d
from pipeline.build import build
from pipeline.corpus.batches import Batch
from pipeline.corpus.row import Row
from pipeline.distributed import own_slice
from pipeline.encoder.encoder import Encoder
from pipeline.encoder.scratch import ScratchBackbone
from pipeline.training.contrastive import ContrastiveModule
from pipeline.training.data import Batches, TextBatch
from pipeline.training.reading import Known, Reader

CONF = Path(__file__).parents[2] / "conf"
WORDS = ["the cat sat on a mat", "a dog ran in the park", "rolling window over rows", "sum of all numbers", "search for"] * 2
PROMPTS = {"retrieval": {"query": "search for ", "document": "the "}, "sts": {"query": "sum of ", "document": "sum of "}}
LIMIT = 12
LONG = "mat park " * 8  # more than fits

ASKED = "rolling window"
# (query, document, score) and what the document is to ASKED; the first stands in the batch with its answer.
IN_BATCH = {
    "its answer": (ASKED, "a dog ran", 1.0),
    "an answer that no row of the batch marks": ("sum of all", "the cat sat", 0.0),
    "its answer in other letters": ("the park", "A Dog RAN", 0.0),
    "an answer but for what is cut off": ("the mat", LONG + "cat", 0.0),
    "the query itself": ("numbers", "Rolling window", 0.0),
    "a stranger": ("all rows", "on a mat", 0.0),
}
ELSEWHERE = [(ASKED, "the cat sat", 0.2), (ASKED, LONG + "dog", 0.4), ("Rolling Window", "in a park", 0.2)]
MINED = {
    ASKED: ["The cat sat", "a dog ran", "ROLLING window", LONG + "sat", "over rows", "over the rows"],
    "sum of all": ["in a park", "rolling rows"],
}
# Settings that turn losses of graded pairs off, where an objective has them: they move every text that has a grade.
GRADED = {"cosine": 0.0, "angle": 0.0, "pearson": 0.0, "rank_kl": 0.0, "pro": 0.0}
# The same of one objective: statistics of the batch, which move every text; a teacher that bars the query asked for.
OF_ONE = {"whitened": {"whiten": False}, "progressive_gated": {"margin": 1.0}}
ALSO = {
    "infonce both ways": ("infonce", {"symmetric": True, "same_side": ["query", "document"]}),
    "progressive curricular": ("progressive", {"kind": "curricular"}),
    "triplet mined": ("triplet", {"negatives": "mined"}),
}


def objectives() -> dict[str, Any]:
    """Every YAML of conf/objective, and some with other settings."""
    GlobalHydra.instance().clear()
    nodes: dict[str, Any] = {}
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for file in sorted((CONF / "objective").glob("*.yaml")):
            composed = compose(overrides=[f"+objective={file.stem}"])["objective"]
            nodes[file.stem] = OmegaConf.to_container(composed, resolve=True) | OF_ONE.get(file.stem, {})
    nodes |= {name: nodes[base] | changes for name, (base, changes) in ALSO.items()}
    return {name: build(node | {key: value for key, value in GRADED.items() if key in node}) for name, node in nodes.items()}


def encoder(*, prompts: bool) -> Encoder:
    torch.manual_seed(0)
    scratch = ScratchBackbone(vocabulary=80, width=16, layers=2, heads=2, intermediate=32, dropout=0.0)
    given = {"pooled": True, "texts": PROMPTS} if prompts else None
    return Encoder(scratch(WORDS), max_length_tokens=LIMIT, prompts=given)


def batch(made: Encoder, task: str) -> tuple[TextBatch, dict[str, int]]:
    """And the place of each text that ASKED meets as a document, by what it is to it."""
    rows = [Row(task, f"q{i}", q, f"d{i}", d, s) for i, (q, d, s) in enumerate([*IN_BATCH.values(), *ELSEWHERE])]
    known = Known(rows, Reader(made, LIMIT))
    batches = Batches(
        [Batch([(task, [[i] for i in range(len(IN_BATCH))])])], {task: rows}, {task: MINED}, known.reader, known={task: known},
        sources={}, num_negatives={task: 1}, teachers={}, views={}, seed=0,
    )  # fmt: skip
    (found,) = batches
    (part,) = found.parts
    places = {what: part.first_document + i for i, what in enumerate(IN_BATCH)}
    places["mined for another, an answer"] = part.first_document + int(part.negative[1, 0])
    places["mined for it"] = part.first_document + int(part.negative[0, 0])
    return found, places


def gradients(objective: Any, made: Encoder, negatives: str) -> dict[str, float]:
    """The largest number in the gradient of what ASKED costs, by what a document is to it; NaN on a process that does not answer for
    it."""
    pull = pipeline.objective.matryoshka_2d.alignment
    pipeline.objective.matryoshka_2d.alignment = lambda early, last, *, temperature: early.sum() * 0  # which moves every text
    try:
        task = "sts" if objective.needs_score else "retrieval"
        given, places = batch(made, task)
        module = ContrastiveModule(
            made, {task: objective}, torch.optim.SGD, negatives={task: negatives}, steps=2, warmup_steps=0, seed=0, chunk_tokens=99,
            kept_tokens=0, similarities_at_once=20, return_memory=False, on_nonfinite="stop",
        )  # fmt: skip
        draw = torch.Generator().manual_seed(1)
        vectors = torch.nn.functional.normalize(torch.randn(len(given.ids), 4, 16, generator=draw), dim=-1)
        for place in places.values():  # all of them near to the query, so that what is a negative costs much
            vectors[place] = torch.nn.functional.normalize(vectors[0] + 0.3 * vectors[place], dim=-1)
        vectors.requires_grad_()
        (part,) = given.parts
        pairs = module.pairs(given, part, vectors)
        teacher = torch.rand(len(pairs.query), 2, generator=draw)
        own = own_slice(len(part.positive))
        if own.start:
            return dict.fromkeys(places, float("nan"))
        loss = objective(replace(pairs, anchors=slice(0, 1), teacher=teacher, progress=0.5))
        (grad,) = torch.autograd.grad(loss, vectors)
        return {what: float(grad[place].abs().max()) for what, place in places.items()}
    finally:
        pipeline.objective.matryoshka_2d.alignment = pull


def one_of(folder: Path, rank: int, size: int) -> None:
    """One of several processes that ask every objective, to a JSON file in the folder."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meet'}", rank=rank, world_size=size)
    made = encoder(prompts=True)
    found = {
        f"{name}|{negatives}": gradients(objective, made, negatives)
        for name, objective in objectives().items()
        for negatives in ("gathered", "in_batch")
    }
    (folder / f"{rank}.json").write_text(json.dumps(found), encoding="utf-8")
    dist.destroy_process_group()


if __name__ == "__main__":
    one_of(Path(sys.argv[1]), int(sys.argv[2]), size=2)
