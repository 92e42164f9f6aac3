import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.corpus.row import Row
from pipeline.metric import spearman
from pipeline.protein.criterion.list_mle import ListMLE
from pipeline.protein.model import AffinityModel
from pipeline.protein.token_store import TokenStore
from pipeline.protein.training import AffinityModule, ComplexBatch, fit_affinity, line_through
from pipeline.training.control import shuffled
from pipeline.training.optimizer import adamw

BACKBONE = "model.0.model."  # where an encoder holds it

RUNTIME = {
    "accelerator": "cpu", "devices": 1, "num_nodes": 1, "strategy": "auto", "tracker": "disabled", "project": "t", "kept_tokens": 4096,
    "batch_tokens": 512, "return_memory": False, "checkpoint_every_steps": 1000, "checkpoint_every_minutes": 5, "tokens": "tokens",
}  # fmt: skip
NODES = {"load": {"_target_": "pipeline.protein.model.load"}, "merge": {"_target_": "pipeline.protein.beside.Beside"}}
HP = {"_target_": "pipeline.protein.architecture.hp.HP"}
HEAD = {
    "_target_": "pipeline.protein.head.convbert.ConvBert", "layers": 1, "heads": 8, "kernel": 7, "head_ratio": 2, "dropout": 0.1,
    "attention_dropout": 0.0,
}  # fmt: skip
LORA = {"_target_": "pipeline.adapter.lora.LoRA", "rank": 2, "alpha": 4, "dropout": 0.0, "targets": ["query", "value"]}
GPU = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
INPUTS = {"checkpoints/base": "0123456789abcdef0123", "data/curated": "c"}


def training(*, steps, lr, objective=None, head=HEAD, backbone="frozen", look=None):
    task = {
        "objective": objective or {"_target_": "pipeline.protein.criterion.mse.MSE"},
        "batch_size": 8,
        "shuffle_documents": False,
    }
    optimizer = {
        "_target_": "pipeline.training.optimizer.adamw",
        "lr": lr,
        "weight_decay": 0.0,
        "betas": [0.9, 0.999],
        "layer_decay": 1.0,
    }
    return {
        "tasks": {"affinity": task}, "optimizer": optimizer,
        "steps_per_task": steps, "budget_minutes": None, "best": None, "warmup": 0.0,
        "max_length_tokens": 64,
        "snapshots": None, "chunk_tokens": 256, "precision": "32-true", "gradient_clip": 1.0, "on_nonfinite": "stop", "early_stop": None,
        "by_length": False, "control": None,
        "affinity": {**NODES, "architecture": HP, "head": head, "backbone": backbone, "look": look},
    }  # fmt: skip


@pytest.fixture
def rows():
    """Affinity follows from the W in the ligand, which is easy to see."""
    draw = random.Random(0)
    found = []
    for i in range(64):
        ligand, receptor = ("".join(draw.choices("ACDEFGHIKLMNPQRSTVY", k=10)) for _ in range(2))
        strong = i % 2
        found.append(Row("affinity", f"l{i}", ligand + "WW" * strong, f"r{i}", receptor, score=6.0 + 2 * strong))
    return {"train": found[:40], "validation": found[40:52], "test": found[52:]}


@pytest.fixture
def fitted(encoder, rows, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def made(settings, name="train-hp", adapter=None, rows=rows, accelerator="cpu"):
        one = encoder(adapter)
        before = {key: value.clone() for key, value in one.state_dict().items()}
        model, curve = fit_affinity(
            one, rows, settings, RUNTIME | {"accelerator": accelerator}, seed=0, name=name, inputs=INPUTS
        )
        return model, curve, before

    return made


def moved(model, before):
    return {name for name, value in model.encoder.state_dict().items() if name in before and not value.equal(before[name])}


@pytest.mark.parametrize(
    ("accelerator", "precision"),
    [("cpu", "32-true"), *(pytest.param("gpu", one, marks=GPU) for one in ("32-true", "bf16-mixed"))],
)
def test_a_head_learns_on_a_frozen_backbone(fitted, rows, accelerator, precision):
    model, curve, before = fitted(training(steps=40, lr=0.01) | {"precision": precision}, accelerator=accelerator)
    assert not moved(model, before)
    assert np.mean([p["loss"] for p in curve[-5:]]) < 0.5 * np.mean([p["loss"] for p in curve[:5]])
    test = [(row.query, row.document) for row in rows["test"]]
    predicted = model.predict(test, batch_tokens=512, title="")
    assert spearman(predicted, np.array([row.score for row in rows["test"]])) > 0.7


def test_partners_dealt_at_random_teach_nothing_that_holds(fitted, rows):
    """The affinity follows from the receptor here, which the control deals anew: what it then learns is the mean, and no more than
    chance of the ranks. Of 600 complexes chance gives a correlation beyond .16 once in ten thousand times (4 / sqrt(600))."""
    draw = random.Random(1)

    def complexes(num, name):
        found = []
        for i in range(num):
            ligand, receptor = ("".join(draw.choices("ACDEFGHIKLMNPQRSTVY", k=10)) for _ in range(2))
            strong = i % 2
            found.append(
                Row("affinity", f"l{name}{i}", ligand, f"r{name}{i}", receptor + "WW" * strong, score=6.0 + 2 * strong)
            )
        return found

    given, test = {"train": complexes(40, "a"), "validation": []}, complexes(600, "b")
    score = np.array([row.score for row in test])
    found = {}
    for shuffle in (False, True):
        settings = training(steps=40, lr=0.01)
        settings["tasks"]["affinity"]["shuffle_documents"] = shuffle
        model, _, _ = fitted(settings, rows=given)
        predicted = model.predict([(row.query, row.document) for row in test], batch_tokens=2048, title="")
        found[shuffle] = float(spearman(predicted, score)), float(np.sqrt(np.mean((predicted - score) ** 2)))
    assert found[False][0] > 0.7
    assert found[False][1] < 0.6
    dealt = [row.document.endswith("WW") == (row.score > 7) for row in shuffled(given["train"], 0)]
    assert np.mean(dealt) == pytest.approx(
        0.5, abs=0.15
    )  # the deal that the control of this seed learns from is near a fair one
    assert found[True][0] < found[False][0] - 0.4
    assert found[True][1] > 0.9  # the scores' own spread is 1


def test_full_fine_tuning_and_an_adapter_move_the_backbone(fitted, tmp_path):
    model, _, before = fitted(training(steps=2, lr=0.01, backbone="trained", head=None))
    assert {f"{BACKBONE}embeddings.word_embeddings.weight", f"{BACKBONE}encoder.layer.0.attention.self.query.weight"} <= moved(
        model, before
    )
    model, _, before = fitted(training(steps=2, lr=0.01, backbone="trained", head=None), adapter=LORA)
    model.save(tmp_path / "lora")
    after = AffinityModel.load(tmp_path / "lora").encoder.state_dict()
    changed = {name for name in before if not after[name].equal(before[name])}
    assert changed == {
        f"{BACKBONE}encoder.layer.{i}.attention.self.{part}.weight" for i in (0, 1) for part in ("query", "value")
    }


def test_the_loss_of_a_list_longer_than_a_chunk_is_that_of_the_whole_list(encoder, rows):
    found = []
    for chunk_tokens, kept_tokens in ((10_000, 10_000), (60, 10_000), (60, 0)):
        torch.manual_seed(1)
        model = AffinityModel(
            encoder(), {**NODES, "architecture": HP, "head": {**HEAD, "dropout": 0.0}}, max_length_tokens=64, control=None
        )
        module = AffinityModule(
            model, ListMLE(), lambda *weights: adamw(*weights, lr=0.1, weight_decay=0.0, betas=[0.9, 0.999], layer_decay=1.0),
            tokens=None, steps=1,
            warmup_steps=0, seed=0, chunk_tokens=chunk_tokens, kept_tokens=kept_tokens, return_memory=False, on_nonfinite="stop",
        )  # fmt: skip
        batch = ComplexBatch(
            0, [(row.query, row.document) for row in rows["train"]], torch.tensor([row.score for row in rows["train"]])
        )
        loss = module.loss(batch)
        loss.backward()
        found.append(
            (loss.detach(), {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None})
        )
    for loss, gradients in found[1:]:
        torch.testing.assert_close(loss, found[0][0])
        for name, gradient in found[0][1].items():
            torch.testing.assert_close(gradients[name], gradient, atol=1e-6, rtol=1e-4)


def test_a_ranking_criterion_ends_in_units_of_the_score(fitted, rows):
    model, _, _ = fitted(training(steps=40, lr=0.01, objective={"_target_": "pipeline.protein.criterion.list_mle.ListMLE"}))
    predicted = model.predict([(row.query, row.document) for row in rows["test"]], batch_tokens=512, title="")
    assert model.line.slope != 1
    assert np.sqrt(np.mean((predicted - [row.score for row in rows["test"]]) ** 2)) < 1.2  # the scores' own spread is 1
    line = line_through(np.array([1.0, 2.0, 3.0]), np.array([5.0, 7.0, 9.0]))
    assert (line.slope, line.offset) == pytest.approx((2.0, 3.0))
    assert line_through(np.ones(3), np.array([1.0, 2.0, 6.0])).offset == pytest.approx(3.0)


def test_the_weights_that_ranked_validation_best_are_kept(fitted, monkeypatch):
    told = iter([0.1, 0.9, 0.3, 0.2])
    seen = []

    def ranks(module, *given, **named):
        seen.append({name: weight.detach().clone() for name, weight in module.model.named_parameters()})
        return next(told)

    monkeypatch.setattr(AffinityModule, "ranks", ranks)
    model, _, _ = fitted(training(steps=8, lr=0.01, look={"every_steps": 2, "complexes": 12}))
    assert len(seen) == 4
    assert all(weight.equal(seen[1][name]) for name, weight in model.named_parameters())
    assert not all(weight.equal(seen[3][name]) for name, weight in model.named_parameters())


def test_the_best_weights_are_chosen_on_validation_and_not_on_test(fitted, rows, monkeypatch):
    """Test holds the validation complexes with the opposite scores: what ranks the one best ranks the other worst."""
    given = rows | {"test": [replace(row, score=14 - row.score) for row in rows["validation"]]}
    pairs, score = (
        [(row.query, row.document) for row in rows["validation"]],
        np.array([row.score for row in rows["validation"]]),
    )
    found = []
    true = AffinityModule.ranks

    def ranks(module, *given, **named):
        found.append(float(spearman(module.model.predict(pairs, batch_tokens=512, title="", tokens=module.tokens), score)))
        return true(module, *given, **named)

    monkeypatch.setattr(AffinityModule, "ranks", ranks)
    model, _, _ = fitted(training(steps=16, lr=0.01, look={"every_steps": 2, "complexes": 12}), rows=given)
    assert max(found) > min(found) + 0.2
    assert float(spearman(model.predict(pairs, batch_tokens=512, title=""), score)) == pytest.approx(max(found), abs=0.02)


def test_experts_of_other_names_start_alike_and_see_other_batches(fitted):
    one, first, _ = fitted(training(steps=3, lr=0.0), "train-hp")
    other, second, _ = fitted(training(steps=3, lr=0.0), "train-hp_2")
    assert all(a.equal(b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert [p["loss"] for p in first] != [p["loss"] for p in second]


def test_token_vectors_are_computed_once_and_are_those_of_the_backbone(encoder, tmp_path, monkeypatch):
    one = encoder()
    texts = ["ACD", "ACDEFGHIKL", "MKV:GHT"]
    limits = {"max_length_tokens": 64, "batch_tokens": 20}
    (tmp_path / "old").mkdir()
    store = TokenStore(tmp_path, one, texts, mark="mark", **limits)
    assert not (tmp_path / "old").exists()  # of another base
    for text in texts:
        ids = torch.tensor(one.token_ids([text], 64))
        with torch.no_grad():
            expected = one.backbone(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0]
        torch.testing.assert_close(store(text).float(), expected, atol=2e-3, rtol=2e-3)  # 16 bits
    monkeypatch.setattr("pipeline.protein.token_store._write", None)
    assert torch.equal(TokenStore(tmp_path, one, texts, mark="mark", **limits)("ACD"), store("ACD"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"early_stop": {}}, "early_stop: expected null"),
        ({"tasks": {"affinity": {}, "sts": {}}}, "has one task, of kind affinity, got affinity, sts"),
    ],
)
def test_what_does_not_fit_is_told_before_anything_is_trained(fitted, change, message):
    with pytest.raises(ValueError, match=message):
        fitted(training(steps=1, lr=0.1) | change)


def test_rows_without_a_score_are_told(fitted, rows):
    unscored = {**rows, "train": [replace(row, score=None) for row in rows["train"]]}
    with pytest.raises(ValueError, match="got 40 of which 40 have none"):
        fitted(training(steps=1, lr=0.1), rows=unscored)
