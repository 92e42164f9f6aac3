"""What pretraining reads: a word is planted in each file of a curated corpus, often enough that a vocabulary takes it in."""

import pytest
import yaml

from pipeline.corpus.files import write
from pipeline.corpus.row import Row
from pipeline.pretext.masked import Masked
from pipeline.training.trainer import Trained

PLANTED = {"train": "qtrainq", "validation": "qvalidationq", "test": "qtestq", "probe": "qprobeq"}
SCRATCH = {"vocabulary": 80, "width": 16, "layers": 1, "heads": 2, "intermediate": 32, "dropout": 0.1}

FIT = {"_target_": "pipeline.pretext.masked.Masked", "share": 0.15, "batch_size": 2}
OPTIMIZER = {
    "_target_": "pipeline.training.optimizer.adamw",
    "lr": 0.1,
    "weight_decay": 0.0,
    "betas": [0.9, 0.99],
    "layer_decay": 1.0,
}
PHASE = {"fit": FIT, "order": 0, "corpora": None, "steps": 1, "max_length_tokens": 12, "chunk_tokens": 99, "warmup": 0.0}
PHASE |= {"precision": "32-true", "gradient_clip": 1.0, "on_nonfinite": "stop", "optimizer": OPTIMIZER}


@pytest.fixture
def curated(tmp_path):
    """A workspace as far as this stage looks at one, without phases."""
    folder = tmp_path / "data/curated/one"
    folder.mkdir(parents=True)
    for name, word in PLANTED.items():
        pairs = [(f"{word} {word} {word} {name} {i}", f"{word} {word} an answer {i}") for i in range(9)]
        rows = [Row("retrieval", f"{name} {i}", query, f"{name} {i}", document) for i, (query, document) in enumerate(pairs)]
        write(folder / f"{name}.parquet", Row, rows)
    encoder = {
        "backbone": {"_target_": "pipeline.encoder.scratch.ScratchBackbone", **SCRATCH},
        "pooling": None,
        "projection": None,
        "adapter": None,
        "length": {"quantile": None, "at_least": 256},
        "prompts": {"pooled": True, "texts": {}},
        "max_length_tokens": 12,
    }
    config = {
        "seed": 0,
        "encoder": encoder,
        "pretrain": {"phases": {"masking": PHASE}},
        "experts": {},
        "left_out": {},
        "runtime": {
            "accelerator": "cpu",
            "threads": 1,
            "strategy": "auto",
            "kept_tokens": 99,
            "return_memory": False,
        },
    }
    (tmp_path / "data/config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return tmp_path


def test_vocabulary_and_masked_texts_hold_no_word_of_a_held_out_row_or_of_the_probe(curated, run, monkeypatch):
    masked = []

    def learned(self, ids, encoder, **settings):
        masked.extend(encoder.tokenizer.decode(row) for row in ids)
        return batches(self, ids, encoder, **settings)

    batches = Masked.batches
    monkeypatch.setattr(Masked, "batches", learned)
    monkeypatch.setattr("pipeline.pretext.pretext.train", lambda *_, **__: Trained([{"step": 0, "loss": 1.0}], None, set()))
    assert run(curated, "pretrain") == 0
    vocabulary = (curated / "checkpoints/base/tokenizer.json").read_text(encoding="utf-8")
    expected = {name: name == "train" for name in PLANTED}
    assert {name: f'"{word}"' in vocabulary for name, word in PLANTED.items()} == expected
    assert {name: any(word in text for text in masked) for name, word in PLANTED.items()} == expected
