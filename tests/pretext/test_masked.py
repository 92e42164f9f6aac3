import math

import pytest
import torch

from pipeline.corpus.files import write
from pipeline.corpus.row import Row, sequences
from pipeline.encoder.encoder import Encoder
from pipeline.pretext.masked import NOT_ASKED, Masked, MaskedChains, MaskedModule
from pipeline.protein.encoder.esm_scratch import EsmScratchBackbone
from pipeline.training.job import Job
from pipeline.training.optimizer import adamw

LETTERS = "ACDEFGHIKLMNPQRSTVWY"
OPTIMIZER = {
    "_target_": "pipeline.training.optimizer.adamw",
    "lr": 0.01,
    "weight_decay": 0.0,
    "betas": [0.9, 0.999],
    "layer_decay": 1.0,
}
TRAINING = {
    "corpora": None, "steps": 30, "warmup": 0.06, "max_length_tokens": 40, "chunk_tokens": 200, "precision": "32-true",
    "gradient_clip": 1.0, "on_nonfinite": "stop", "optimizer": OPTIMIZER,
}  # fmt: skip
RUNTIME = {
    "accelerator": "cpu", "devices": 1, "num_nodes": 1, "strategy": "auto", "tracker": "disabled", "project": "t", "kept_tokens": 4096,
    "return_memory": False, "checkpoint_every_steps": 1000, "checkpoint_every_minutes": 5,
}  # fmt: skip

ROWS = [Row("partners", a, a * 12, b, b * 20) for a, b in zip(LETTERS, LETTERS[::-1], strict=True)]


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    model = EsmScratchBackbone(width=16, layers=1, heads=2, intermediate=32, dropout=0.0)([])
    return Encoder(model, max_length_tokens=64)


@pytest.fixture
def texts():
    """Each chain repeats a letter or two, so what is hidden can be told from what is beside it."""
    return sequences(ROWS)


def chains(encoder, texts, **changes):
    ids = encoder.token_ids(texts, 40)
    return MaskedChains(
        ids, encoder, **({"share": 0.15, "batch_size": 8, "steps": 200, "seed": 0, "where": "pretrain-masking"} | changes)
    )


def test_chains_are_read_once_each_and_by_themselves(texts):
    assert sequences([Row("affinity", "q", "MKV:GHT", "d", "GHT:AAA", 1.0)]) == ["AAA", "GHT", "MKV"]
    assert len(texts) == 40


def test_prose_is_never_cut_at_a_colon():
    rows = [Row("retrieval", "q", "Note: the lamp", "d", "It is here: look."), Row("mine", "q", "a:b", "d", "c", kind="weak")]
    assert sequences(rows) == ["It is here: look.", "Note: the lamp", "a:b", "c"]


def test_so_many_are_asked_for_and_most_of_these_are_hidden(encoder, texts):
    asked = hidden = same = residues = 0
    data = chains(encoder, texts)
    for batch in data:
        for given, wanted, row in zip(batch.given, batch.asked, data.batches[batch.number], strict=True):
            true = torch.tensor(data.ids[row])
            here = wanted != NOT_ASKED
            assert torch.equal(wanted[here], true[here])
            assert torch.equal(given[~here], true[~here])
            assert not here[[0, -1]].any()  # <cls> and <eos>
            asked, residues = asked + int(here.sum()), residues + len(true) - 2
            hidden, same = hidden + int((given == data.mask_id).sum()), same + int((given[here] == true[here]).sum())
    assert asked / residues == pytest.approx(0.15, abs=0.01)
    assert hidden / asked == pytest.approx(0.8, abs=0.03)
    assert same / asked == pytest.approx(0.1 + 0.1 / 20, abs=0.03)  # left, or replaced by itself


def test_a_round_reads_every_chain_and_a_resumed_one_goes_on(encoder, texts):
    data = chains(encoder, texts, steps=5)
    assert sorted(row for batch in data.batches for row in batch) == list(range(40))
    whole = list(data)
    again = chains(encoder, texts, steps=5)
    again.load_state_dict({"given": 3})
    rest = list(again)
    assert [batch.number for batch in rest] == [3, 4]
    assert all(torch.equal(a, b) for a, b in zip(rest[0].given, whole[3].given, strict=True))


def test_the_loss_is_the_mean_over_what_is_asked_for_in_any_chunks(encoder, texts):
    batch = next(iter(chains(encoder, texts)))
    found = []
    for chunk_tokens in (1000, 50):
        torch.manual_seed(2)
        module = MaskedModule(
            encoder, lambda *weights: adamw(*weights, lr=0.1, weight_decay=0.0, betas=[0.9, 0.999], layer_decay=1.0),
            steps=1, warmup_steps=0, seed=0,
            chunk_tokens=chunk_tokens, kept_tokens=0, return_memory=False, on_nonfinite="stop",
        )  # fmt: skip
        found.append(module.loss(batch))
    costs = []
    for given, wanted in zip(batch.given, batch.asked, strict=True):
        with torch.no_grad():
            hidden = encoder.backbone(input_ids=given[None], attention_mask=torch.ones(1, len(given))).last_hidden_state[0]
            logits = module.answers(hidden, encoder.backbone.get_input_embeddings().weight)
        costs += [-logits[i].log_softmax(-1)[wanted[i]] for i in range(len(given)) if wanted[i] != NOT_ASKED]
    torch.testing.assert_close(found[0].detach(), torch.stack(costs).mean(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found[1], found[0], atol=1e-5, rtol=1e-5)


def test_a_backbone_learns_what_was_hidden(encoder, texts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    (tmp_path / "curated/one").mkdir(parents=True)
    write(tmp_path / "curated/one/train.parquet", Row, ROWS)
    job = Job(
        encoder=encoder, section=TRAINING, runtime=RUNTIME, seed=0, name="pretrain-masking", curated=tmp_path / "curated", mined=None,
        inputs={}, scratch=tmp_path / "scratch",
    )  # fmt: skip
    curve = Masked(share=0.15, batch_size=8)(job).curve
    losses = [point["loss/masking"] for point in curve]
    assert len(losses) == 30
    assert sum(losses[-5:]) / 5 < math.log(len(LETTERS)) - 0.3  # what their frequencies alone give, all being equal
    assert not encoder.backbone.embeddings.word_embeddings.weight.equal(
        before["model.0.model.embeddings.word_embeddings.weight"]
    )
    assert encoder.state_dict().keys() == before.keys()  # what answered is gone
    job.forget()
    assert not list((tmp_path / "data/runs").iterdir())


def test_too_few_chains_or_a_tokenizer_without_a_mask_are_told(encoder, texts):
    with pytest.raises(ValueError, match="pretrain-masking: a batch of 64 texts, but there are 40"):
        chains(encoder, texts, batch_size=64)
    encoder.tokenizer.mask_token = None
    with pytest.raises(ValueError, match=r"has no mask token; take this phase out"):
        chains(encoder, texts)
