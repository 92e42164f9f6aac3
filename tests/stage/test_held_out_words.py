"""What pretraining reads: a word is planted in each file of a curated corpus, often enough that a vocabulary takes it in."""

import pytest
import yaml

from pipeline.corpus.files import write
from pipeline.corpus.row import Row

PLANTED = {"train": "qtrainq", "validation": "qvalidationq", "test": "qtestq", "probe": "qprobeq"}
SCRATCH = {"vocabulary": 80, "width": 16, "layers": 1, "heads": 2, "intermediate": 32, "dropout": 0.1}


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
        "adapter": None,
        "prompts": {"pooled": True, "texts": {}},
        "max_length_tokens": 12,
    }
    config = {
        "seed": 0,
        "encoder": encoder,
        "pretrain": {"masking": {"fit": {"_target_": "pipeline.protein.masking.fit_masked"}, "share": 0.15}, "phases": {}},
        "runtime": {"accelerator": "cpu", "threads": 1},
    }
    (tmp_path / "data/config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return tmp_path


def test_vocabulary_and_masked_texts_hold_no_word_of_a_held_out_row_or_of_the_probe(curated, run, monkeypatch):
    masked = []

    def fit_masked(encoder, texts, *settings, **named):
        masked.extend(texts)
        return [{"step": 0, "loss": 1.0}]

    monkeypatch.setattr("pipeline.protein.masking.fit_masked", fit_masked)
    assert run(curated, "pretrain") == 0
    vocabulary = (curated / "checkpoints/base/tokenizer.json").read_text(encoding="utf-8")
    expected = {name: name == "train" for name in PLANTED}
    assert {name: f'"{word}"' in vocabulary for name, word in PLANTED.items()} == expected
    assert {name: any(word in text for text in masked) for name, word in PLANTED.items()} == expected
