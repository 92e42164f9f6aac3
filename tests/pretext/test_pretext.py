"""A pretext of a few lines: which token comes first?"""

import pytest
import torch
from torch import nn

from pipeline.corpus.files import write
from pipeline.corpus.row import Row
from pipeline.pretext.pretext import Pretext
from pipeline.training.job import Job
from pipeline.training.module import ChunkedModule
from pipeline.training.planned import Planned

PROSE = [Row("retrieval", f"q{i}", f"{word} cat", f"d{i}", f"{word} dog") for i, word in enumerate(("mat", "park", "sat"))]
CHAINS = [Row("partners", "a", "the:dog", "b", "rows")]
OPTIMIZER = {
    "_target_": "pipeline.training.optimizer.adamw",
    "lr": 0.05,
    "weight_decay": 0.0,
    "betas": [0.9, 0.99],
    "layer_decay": 1.0,
}
SECTION = {
    "corpora": None, "steps": 12, "warmup": 0.0, "max_length_tokens": 12, "chunk_tokens": 64, "precision": "32-true",
    "gradient_clip": 1.0, "on_nonfinite": "stop", "optimizer": OPTIMIZER,
}  # fmt: skip
RUNTIME = {
    "accelerator": "cpu", "devices": 1, "num_nodes": 1, "strategy": "auto", "tracker": "disabled", "project": "t", "kept_tokens": 64,
    "return_memory": False, "checkpoint_every_steps": 99, "checkpoint_every_minutes": 5,
}  # fmt: skip


class Texts(Planned):
    def __init__(self, ids, steps):
        self.ids, self.batches = ids, list(range(steps))

    def batch(self, number):
        return self.ids


class FirstModule(ChunkedModule):
    def __init__(self, encoder, **settings):
        super().__init__(**settings)
        self.encoder, self.answers = encoder.train(), nn.Linear(encoder.width, len(encoder.table))

    def transfer_batch_to_device(self, batch, device, dataloader_idx):
        return batch

    def training_step(self, batch, batch_idx):
        ids, mask = self.encoder.padded(batch)
        first = torch.tensor([row[1] for row in batch])  # behind [CLS]
        return self.told(nn.functional.cross_entropy(self.answers(self.encoder(ids, mask)), first), "first")


class First(Pretext):
    seen = ()

    def batches(self, ids, encoder, *, steps, seed, where):
        self.seen = [encoder.tokenizer.decode(row, skip_special_tokens=True) for row in ids]
        return Texts(ids, steps)

    def module(self, encoder, **settings):
        return FirstModule(encoder, **settings)

    def sample(self, module, data):
        ids, mask = module.encoder.padded(data.ids[:1])
        return module.answers(module.encoder(ids, mask)).sum()


@pytest.fixture
def fitted(tiny_encoder, tmp_path, monkeypatch):
    for name, rows in (("chains", CHAINS), ("prose", PROSE)):
        (tmp_path / "curated" / name).mkdir(parents=True)
        write(tmp_path / "curated" / name / "train.parquet", Row, rows)
    monkeypatch.chdir(tmp_path)

    def made(strategy="auto", **changes):
        encoder, pretext = tiny_encoder(dropout=0.0), First()
        job = Job(
            encoder=encoder, section=SECTION | changes, runtime=RUNTIME | {"strategy": strategy}, seed=0, name="pretrain-first",
            curated=tmp_path / "curated", mined=None, inputs={}, scratch=tmp_path / "scratch",
        )  # fmt: skip
        return pretext, pretext(job), encoder

    return made


def test_every_text_of_the_train_rows_is_read_once_and_chains_one_by_one(fitted):
    pretext, found, encoder = fitted()
    assert pretext.seen == ["dog", "mat cat", "mat dog", "park cat", "park dog", "rows", "sat cat", "sat dog", "the"]
    assert found.model is encoder
    assert len(found.curve) == 12
    assert found.curve[-1]["loss"] < found.curve[0]["loss"]


def test_a_phase_may_name_the_corpora_whose_texts_it_reads(fitted):
    assert fitted(corpora=["chains"], steps=1)[0].seen == ["dog", "rows", "the"]


def test_what_cannot_train_it_is_told_by_the_name_of_the_run(fitted):
    with pytest.raises(ValueError, match=r"pretrain-first: expected runtime.strategy auto or ddp, .* got fsdp"):
        fitted(strategy="fsdp")
