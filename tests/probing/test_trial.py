"""What a trial tells a method, against loops over batches and tokens on weights placed by hand."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from pipeline.corpus.files import write
from pipeline.corpus.row import Row
from pipeline.probing import trial as module
from pipeline.probing.trial import Trial, drawn

WIDTH, WORDS, LENGTH = 3, 10, 4


class Encoder(nn.Module):
    """Tokens through a linear layer, their masked mean through another."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.ModuleDict({
            "word": nn.Embedding(WORDS, WIDTH), "token": nn.Linear(WIDTH, WIDTH), "text": nn.Linear(WIDTH, 2),
        }).double()  # fmt: skip

    def forward(self, ids, mask):
        hidden = torch.tanh(self.backbone["token"](self.backbone["word"](ids)))
        return self.backbone["text"]((hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True))


class Judge:
    def __init__(self):
        self.encoder = Encoder()

    def loss(self, batch):
        return self.encoder(batch.ids, batch.mask).square().mean()


def batch_of(task, random):
    mask = (torch.arange(LENGTH)[None] < torch.randint(1, LENGTH + 1, (5, 1), generator=random)).double()
    ids = torch.randint(WORDS, (5, LENGTH), generator=random)
    return SimpleNamespace(ids=ids, mask=mask, parts=[SimpleNamespace(task=task)])


@pytest.fixture
def tried():
    """Two experts, of task x and of task y; search and held-out half hold other batches."""
    random = torch.Generator().manual_seed(0)
    judge = Judge()
    parameters = dict(judge.encoder.backbone.named_parameters())
    rows = {n: torch.randn(3, v.numel(), generator=random, dtype=torch.float64) for n, v in parameters.items()}
    halves = {half: [batch_of(task, random) for task in "xyxyx"] for half in ("search", "held_out")}
    return Trial(judge, parameters, rows, halves, [["x"], ["y"]])


def placed(trial, c):
    """An encoder of its own at ``base + sum c_k delta_k``."""
    encoder = copy.deepcopy(trial.judge.encoder)
    with torch.no_grad():
        for name, value in encoder.backbone.named_parameters():
            rows = trial.rows[name]
            value.copy_((rows[0] + c[0] * rows[1] + c[1] * rows[2]).view_as(value))
    return encoder


@pytest.mark.parametrize("half", ["search", "held_out"])
def test_losses_are_means_by_task_over_the_half_that_is_asked_for(tried, half):
    encoder = placed(tried, (0.5, -1.0))
    found = tried.losses({"all": torch.tensor([0.5, -1.0], dtype=torch.float64)}, half=half)
    for task in "xy":
        values = [encoder(b.ids, b.mask).square().mean().item() for b in tried.batches[half] if b.parts[0].task == task]
        assert found[task] == pytest.approx(sum(values) / len(values), abs=1e-12)
    first = tried.losses({"all": torch.tensor([0.5, -1.0], dtype=torch.float64)}, half=half, per_task=1)
    one = next(b for b in tried.batches[half] if b.parts[0].task == "x")
    assert first["x"] == pytest.approx(encoder(one.ids, one.mask).square().mean().item(), abs=1e-12)


@pytest.mark.parametrize("expert", [0, 1])
def test_squared_gradients_are_those_of_the_batches_of_the_experts_own_task(tried, expert):
    encoder = placed(tried, [float(k == expert) for k in range(2)])
    own = [b for b in tried.batches["search"] if b.parts[0].task == "xy"[expert]]
    expected = {name: torch.zeros_like(value) for name, value in encoder.backbone.named_parameters()}
    for batch in own:
        encoder.zero_grad()
        encoder(batch.ids, batch.mask).square().mean().backward()
        for name, value in encoder.backbone.named_parameters():
            expected[name] += value.grad**2 / len(own)
    found = tried.squared_gradients(expert)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value.flatten(), atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("expert", [0, 1])
def test_input_grams_are_sums_over_the_tokens_that_are_no_padding(tried, expert):
    encoder = placed(tried, [float(k == expert) for k in range(2)])
    tokens, texts = [], []
    with torch.no_grad():
        for batch in tried.batches["search"]:
            if batch.parts[0].task != "xy"[expert]:
                continue
            for ids, mask in zip(batch.ids, batch.mask, strict=True):
                read = [encoder.backbone["word"].weight[i] for i, m in zip(ids, mask, strict=True) if m]
                tokens += read
                hidden = [torch.tanh(encoder.backbone["token"](x)) for x in read]
                texts.append(sum(hidden) / len(hidden))
    found = tried.input_grams(expert)
    assert set(found) == {"token.weight", "text.weight"}
    for name, inputs in (("token.weight", tokens), ("text.weight", texts)):
        expected = sum(torch.outer(x, x) for x in inputs) / len(inputs)
        torch.testing.assert_close(found[name], expected, atol=1e-12, rtol=1e-9)


def test_an_expert_of_tasks_that_no_probe_has_is_asked_about_all(tried):
    tried.tasks = [["z"], ["x", "y"]]
    batches = [tried._own(k) for k in range(2)]
    assert [[b.parts[0].task for b in own] for own in batches] == [list("xyxyx")] * 2


@pytest.fixture
def curated(tmp_path, monkeypatch):
    """A curated folder of thirty rows set aside, and as many train rows."""
    rows = {
        name: [Row("retrieval", f"{name} q{i}", f"{name} query {i}", f"{name} d{i}", f"{name} document {i}") for i in range(30)]
        for name in ("train", "probe")
    }
    (tmp_path / "one").mkdir()
    for name, own in rows.items():
        write(tmp_path / f"one/{name}.parquet", Row, own)
    monkeypatch.setattr(module, "CURATED", tmp_path)
    return rows


def test_halves_hold_rows_set_aside_none_twice(curated):
    halves = drawn("retrieval", 12, 4, seed=0)
    assert [len(half) for half in halves] == [12, 12]
    found = [row for half in halves for _, row in half]
    assert len(set(found)) == 24
    assert set(found) <= set(curated["probe"])
    assert drawn("retrieval", 12, 4, seed=0) == halves
    assert drawn("retrieval", 12, 4, seed=1) != halves
    assert [len(half) for half in drawn("retrieval", 100, 4, seed=0)] == [15, 15]


def test_a_probe_that_nothing_was_set_aside_for_says_what_to_do(curated):
    with pytest.raises(ValueError, match=r"has 0 set aside; set curate\.probe\.rows\.sts to 256 and run `dvc repro`"):
        drawn("sts", 128, 16, seed=0)
