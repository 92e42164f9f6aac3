"""Every YAML of the catalogue composes, its nodes fit the code they name, and what they name keeps the contract of its group.

A file added to conf/ is tested here without an edit.
"""

import ast
import copy
import functools
import itertools
import json
import random
import re
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import hydra
import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from transformers import BertConfig, BertForSequenceClassification, Qwen3Config, Qwen3Model

from pipeline.behaviour.subject import Subject
from pipeline.build import build, check_node, nodes, signature
from pipeline.checked import shape_of
from pipeline.checkpoint import sha256
from pipeline.corpus.collection import Complexes, Judged, Labelled, Pairs
from pipeline.corpus.row import SPLITS, Row
from pipeline.delta import Models
from pipeline.derivation.derivation import Text
from pipeline.encoder.directory import assembled
from pipeline.encoder.encoder import Encoder
from pipeline.encoder.modules import pooling_modules
from pipeline.params import _register_resolvers
from pipeline.protein.architecture.architecture import Side
from pipeline.shape import Config
from pipeline.task import KINDS

CONF = Path(__file__).parents[1] / "conf"
DEFAULTS = yaml.safe_load((CONF / "config.yaml").read_text(encoding="utf-8"))["defaults"]
CHOSEN = sorted(group for one in DEFAULTS if isinstance(one, dict) for group in one)  # each has a default
ELSEWHERE = ("corpus", "page", "phase")  # tested by way of the experiments that name them; pages: test_params
# Each of the others is put in somewhere by another file.
PARTS = sorted({folder.name for folder in CONF.iterdir() if folder.is_dir()} - {*CHOSEN, *ELSEWHERE})


# Groups whose code stands elsewhere than in a package of their name.
NAMED_ELSEWHERE = {
    "expert": "settings of a training; the class that trains is named by `fit`",
    "phase": "settings of a training; the class that trains is named by `fit`",
    "reading": "settings of an affinity training; the model that loads them is named by `load`",
    "optimizer": "one function beside what it needs of the training: pipeline/training/optimizer.py",
}


def files(*groups):
    return [(group, file.stem) for group in groups for file in sorted((CONF / group).glob("[!_]*.yaml"))]


def names(group):
    return [name for _, name in files(group)]


@pytest.fixture(scope="module")
def composed():
    """The composition with one choice changed, as plain containers; ``???`` stays where a person must give a value."""
    _register_resolvers()
    GlobalHydra.instance().clear()

    @functools.cache
    def compose(*overrides):
        return OmegaConf.to_container(hydra.compose("config", overrides=list(overrides)), resolve=True)

    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        yield lambda *overrides: copy.deepcopy(compose(*overrides))


def checked(tree):
    found = list(nodes(tree))
    for path, node in found:
        check_node(node, path)
    return found


@pytest.mark.parametrize(("group", "name"), files(*CHOSEN))
def test_every_choice_composes_to_sections_of_the_known_shape(composed, group, name):
    whole = composed(f"{group}={name}")
    for section, field in Config.model_fields.items():
        if section in whole and section not in ("train", "merge", "seed"):
            field.annotation.model_validate(whole[section])
    for role, training in [("expert", whole["train"]), *(("phase", one) for one in whole["pretrain"]["phases"].values())]:
        shape_of(role, training["fit"], role).model_validate(training)
    assert checked(whole)


@pytest.mark.parametrize(("group", "name"), files("phase", "pretext"))
def test_every_phase_and_pretext_is_a_section_of_the_shape_that_its_training_names(composed, group, name):
    phase = composed(f"+{group}@pretrain.phases.one={name}")["pretrain"]["phases"]["one"]
    shape_of("phase", phase["fit"], name).model_validate(phase)
    trains = build(phase["fit"])
    assert callable(trains)
    assert set(trains.learns if "tasks" in phase else ()) <= {kind.shape for kind in KINDS.values()}


@pytest.mark.parametrize(("group", "name"), files(*PARTS))
def test_every_part_composes_and_fits_the_code_it_names(composed, group, name):
    part = composed(f"+{group}={name}", "optimizer.lr=1.0") if group == "optimizer" else composed(f"+{group}={name}")
    given = [(path, node) for path, node in nodes(part[group]) if "???" not in node.values()]
    assert "_target_" in str(part[group]) or group == "reading"  # which may have no head
    for path, node in given:
        check_node(node, path)


@pytest.mark.parametrize("group", sorted(folder.name for folder in CONF.iterdir() if folder.is_dir()))
def test_a_group_and_the_package_of_its_code_share_a_name(group):
    first = [
        re.search(r"_target_: *pipeline\.(?:protein\.)?(\w+)", file.read_text(encoding="utf-8"))
        for file in sorted((CONF / group).glob("*.yaml"))
    ]
    packages = {found[1] for found in first if found}
    assert (packages <= {group}) == (group not in NAMED_ELSEWHERE), f"{group}: {packages}"


@pytest.mark.parametrize("name", names("corpus"))
def test_every_corpus_composes_to_a_complete_source(composed, name):
    corpus = composed(f"+corpus={name}")["corpus"]
    Config.model_fields["ingest"].annotation.model_validate({"corpora": {name: corpus}, "max_rejected": 0.0})
    assert checked(corpus)
    assert "???" not in str(corpus)


@pytest.mark.parametrize("name", names("experiment"))
def test_every_experiment_names_corpora_of_the_catalogue(composed, name):
    assert set(composed(f"experiment={name}")["corpora"]) <= set(names("corpus"))


# --- objectives


def lined_up(pairs, *, turned):
    """Four pairs whose cosines fall as their scores do; ``turned``: each query stands nearest to its neighbour's document.

    Each query has a mined negative, which it stands near to if ``turned``; the teacher prefers the positive.
    """
    cosine = torch.tensor([0.9, 0.6, 0.3, 0.1])
    document = torch.eye(16)[:8]
    query = cosine[:, None] * (document[4:] if turned else document[:4])
    query = query + (1 - cosine**2).sqrt()[:, None] * torch.eye(16)[8:12]
    if turned:
        query = F.normalize(query + 0.5 * document[:4].roll(1, 0), dim=-1)
    query.requires_grad_()
    return pairs(
        query, document, score=torch.tensor([1.0, 0.6, 0.2, 0.0]), negative=torch.arange(4, 8)[:, None],
        teacher=torch.stack([cosine, torch.zeros(4)], dim=1), layers=((query, document),) * 3, progress=0.5,
        slow=(torch.eye(16)[12:], torch.arange(4) + 2000),
    )  # fmt: skip


FOR_FOUR = {"whitened": ["objective.width=2"]}  # what four pairs need


@pytest.mark.parametrize("name", names("objective"))
def test_every_objective_costs_less_where_pairs_stand_right_and_pulls_them_there(composed, pairs, name):
    objective = build(composed(f"+objective={name}", *FOR_FOUR.get(name, []))["objective"])
    for need in ("score", "negatives", "teacher", "layers", "slow"):
        assert isinstance(getattr(objective, f"needs_{need}"), bool)
    right, wrong = lined_up(pairs, turned=False), lined_up(pairs, turned=True)
    costs = [copy.deepcopy(objective)(one) for one in (right, wrong)]  # some have a state, which a batch moves
    assert all(cost.shape == () and torch.isfinite(cost) for cost in costs)
    assert costs[0].item() < costs[1].item()
    costs[1].backward()
    assert torch.isfinite(wrong.query.grad).all()
    step = F.normalize((wrong.query - 0.01 * wrong.query.grad).detach(), dim=-1)
    layers = ((step, wrong.document),) * 3
    assert objective(replace(wrong, query=step, layers=layers)).item() < costs[1].item()


def whole_and_parts(node, pairs, parts, *, rows_at_once=4096):
    """Loss and gradients of one process that answers for all queries, and the means over ``parts`` that share them."""
    random = torch.Generator().manual_seed(0)
    num, hard = 12, 2
    drawn = [F.normalize(torch.randn(*shape, 8, generator=random).double(), dim=-1) for shape in [(num,), (num * 4,)] * 4]
    documents = torch.arange(num * 4)
    positive = torch.stack([documents[:num], torch.where(documents[:num] % 3 == 0, -1, documents[num : 2 * num])], dim=1)
    text = documents.clone()
    text[5], text[-1] = text[4], text[2]  # two queries have one answer; a mined negative is a copy of an answer
    found = []
    for anchors in [slice(k * num // parts, (k + 1) * num // parts) for k in range(parts)]:
        leaves = [one.clone().requires_grad_() for one in drawn]
        batch = pairs(
            leaves[0], leaves[1], positive, torch.arange(num) % 5 / 4, negative=documents[2 * num :].reshape(num, hard),
            document_text=text, anchors=anchors, teacher=torch.randn(num, 1 + hard, generator=torch.Generator().manual_seed(1)),
            progress=0.5, rows_at_once=rows_at_once, layers=tuple(zip(leaves[2::2], leaves[3::2], strict=True)),
            slow=(drawn[0].flip(1), documents[:num] + 2000),
        )  # fmt: skip
        objective = build(node).double()  # one of its own in each process
        objective(batch)  # some have a state, which the first batch moves
        loss = objective(batch)
        gradients = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
        found.append([loss.detach(), *gradients, *(value.double() for value in objective.buffers())])
    return [torch.stack(values).mean(0) for values in zip(*found, strict=True)]


@pytest.mark.parametrize("parts", [2, 3, 12])
@pytest.mark.parametrize("name", names("objective"))
def test_the_mean_over_processes_of_every_objective_is_the_loss_of_the_whole_batch(composed, pairs, name, parts):
    node = composed(f"+objective={name}")["objective"]
    expected = whole_and_parts(node, pairs, 1)
    assert all(torch.isfinite(value).all() for value in expected)
    assert expected[1].any()
    for found, value in zip(whole_and_parts(node, pairs, parts), expected, strict=True):
        torch.testing.assert_close(found, value, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("rows_at_once", [1, 5])
@pytest.mark.parametrize("name", names("objective"))
def test_every_objective_gives_the_same_a_few_anchors_at_a_time(composed, pairs, name, rows_at_once):
    node = composed(f"+objective={name}")["objective"]
    found = whole_and_parts(node, pairs, 1, rows_at_once=rows_at_once)
    for ours, value in zip(found, whole_and_parts(node, pairs, 1), strict=True):
        torch.testing.assert_close(ours, value, rtol=1e-9, atol=1e-12)


def under_autocast(node, pairs, *, autocast, rounded=False, dtype=torch.float32):
    """Loss and gradients of vectors that the encoder hands over in ``dtype``, their values ``rounded`` to bfloat16 or not. Backward
    stands outside of autocast, as in the trainer."""
    random = torch.Generator().manual_seed(0)
    num, hard = 12, 2
    shapes = [(num,), (num * 4,)] * 4
    drawn = [F.normalize(torch.randn(*shape, 64, generator=random), dim=-1) for shape in shapes]
    leaves = [(one.bfloat16().float() if rounded else one).requires_grad_() for one in drawn]
    documents = torch.arange(num * 4)
    positive = torch.stack([documents[:num], torch.where(documents[:num] % 3 == 0, -1, documents[num : 2 * num])], dim=1)
    given = [leaf.to(dtype) for leaf in leaves]
    batch = pairs(
        given[0], given[1], positive, torch.arange(num) % 5 / 4, negative=documents[2 * num :].reshape(num, hard),
        known=[(1003, 7), (2, 5)], teacher=torch.randn(num, 1 + hard, generator=torch.Generator().manual_seed(1)), progress=0.5,
        layers=tuple(zip(given[2::2], given[3::2], strict=True)), slow=(given[0].detach().flip(1), documents[:num] + 2000),
    )  # fmt: skip
    objective = build(node)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        objective(batch)  # some have a state, which the first batch moves
        loss = objective(batch)
    assert loss.dtype == torch.float32
    gradients = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
    return [loss.detach(), *gradients, *(value.float() for value in objective.buffers())]


def relative(found, expected):
    return float((found - expected).norm() / expected.norm().clamp(min=1e-12))


# Settings that compute what the defaults do not.
ALSO = {
    "infonce": ["objective.symmetric=true", "objective.same_side=[query,document]"],
    "progressive": ["objective.kind=curricular"],
    "triplet": ["objective.negatives=mined"],
    "angle": ["objective.cosine=1.0"],
}
ALL_OBJECTIVES = [(name, ()) for name in names("objective")] + [(name, tuple(words)) for name, words in ALSO.items()]


@pytest.mark.parametrize("rounded", [False, True])
@pytest.mark.parametrize(("name", "words"), ALL_OBJECTIVES)
def test_no_objective_is_rounded_by_autocast(composed, pairs, name, words, rounded):
    node = composed(f"+objective={name}", *words)["objective"]
    expected = under_autocast(node, pairs, autocast=False, rounded=rounded)
    assert expected[1].any()
    for found, value in zip(under_autocast(node, pairs, autocast=True, rounded=rounded), expected, strict=True):
        assert relative(found, value) <= 1e-6


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize(("name", "words"), ALL_OBJECTIVES)
def test_vectors_in_half_precision_cost_what_the_same_values_cost_in_full(composed, pairs, name, words, autocast):
    node = composed(f"+objective={name}", *words)["objective"]
    expected = under_autocast(node, pairs, autocast=False, rounded=True)
    found = under_autocast(node, pairs, autocast=autocast, rounded=True, dtype=torch.bfloat16)
    assert relative(found[0], expected[0]) <= 1e-4
    for ours, value in zip(found[1:], expected[1:], strict=True):
        assert relative(ours, value) <= 2**-6  # the gradient of such a vector is one itself, and summed as one


# --- teachers


def cross_encoder_at(place, encoder, group):
    """The words that choose a small cross-encoder with random weights, saved in ``place``, for a choice of ``group``."""
    torch.manual_seed(0)
    config = BertConfig.from_dict(encoder.backbone.config.to_dict() | {"num_labels": 1})
    BertForSequenceClassification(config).save_pretrained(place)
    encoder.tokenizer.save_pretrained(place)
    return [f"{group}.name={place}", f"{group}.sha256={sha256(place)}"]


@pytest.mark.parametrize("name", names("teacher"))
def test_every_teacher_scores_the_main_positive_and_the_mined_negatives_of_each_query(
    composed, tiny_encoder, tmp_path, monkeypatch, name
):
    for place in ("base", "backbone"):
        tiny_encoder().save(tmp_path / f"checkpoints/{place}")
    monkeypatch.chdir(tmp_path)
    given = cross_encoder_at(tmp_path / "reranker", tiny_encoder(), "teacher") if name == "cross_encoder" else []
    teacher = build(composed(f"+teacher={name}", *given)["teacher"])
    teacher.load(max_length_tokens=12, batch_tokens=64)
    asked = ["the cat", "a dog"], ["a mat", "the park", "rows"], torch.tensor([[0, 2], [1, -1]]), torch.tensor([[2], [-1]])
    found = teacher.scores("retrieval", *asked)
    assert found.shape == (2, 2)
    assert torch.isfinite(found).all()
    assert found[1, 1] == 0 != found[0, 1]
    assert torch.equal(found, teacher.scores("retrieval", *asked))
    alone = teacher.scores("retrieval", asked[0][:1], asked[1], asked[2][:1], asked[3][:1])
    torch.testing.assert_close(found[:1], alone)


# --- views


@pytest.mark.parametrize("name", names("view"))
def test_every_view_gives_rows_of_the_task_and_draws_the_same_from_the_same_seed(composed, name):
    view = build(composed(f"+view={name}")["view"])
    given = [Row("legal", f"q{i}", f"query {i} of many", f"d{i}", f"document {i}", kind="retrieval") for i in range(6)]
    found = view.rows(given)
    assert found == view.rows(given)
    assert found
    assert {(row.task, row.kind) for row in found} == {("legal", "retrieval")}
    texts = [[view.text(row.query, "query", random.Random(seed)) for row in found] for seed in (0, 0, 1)]
    ids = [[view.ids(list(range(9)), "document", random.Random(seed), 10) for _ in range(6)] for seed in (0, 0, 1)]
    assert (texts[0], ids[0]) == (texts[1], ids[1])
    assert all(0 < len(one) <= 10 for one in ids[0])
    if not view.varies:
        assert texts[0] == [row.query for row in found]
        assert ids[0] == [list(range(9))] * 6


# --- affinity


@pytest.mark.parametrize("name", names("criterion"))
def test_every_criterion_costs_less_where_values_are_right_and_pulls_them_there(composed, name):
    criterion = build(composed(f"+criterion={name}")["criterion"])
    score = torch.tensor([7.0, 5.0, 9.0, 6.0])
    right, wrong = score.clone(), score.flip(0).clone().requires_grad_()
    cost = criterion(wrong, score)
    assert cost.shape == ()
    assert criterion(right, score) < cost
    cost.backward()
    assert criterion((wrong - 0.01 * wrong.grad).detach(), score) < cost
    assert isinstance(criterion.in_units, bool)


@pytest.mark.parametrize("head", [None, *names("head")])
@pytest.mark.parametrize("name", names("architecture"))
def test_every_architecture_gives_each_complex_a_value_that_starts_where_it_is_told(composed, name, head):
    torch.manual_seed(0)
    architecture = build(composed(f"+architecture={name}")["architecture"])
    architecture.set_width(16, build(composed(f"+head={head}")["head"])(16) if head else None)
    architecture.start_at(7.0)
    random = torch.Generator().manual_seed(0)
    sides = [
        Side(
            torch.randn(2, 5, 16, generator=random),
            torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]]),
            torch.tensor([[0], [1], [0]]),
        )
        for _ in architecture.texts("AC:D", "EF")
    ]
    found = architecture.eval()(sides)
    assert found.shape == (3,)
    assert found[0] == found[2] != found[1]
    assert (found - 7).abs().max() < 2


# --- poolings


@pytest.mark.parametrize("name", [name for name in names("pooling") if name != "own"])
def test_every_pooling_gives_one_vector_a_text_and_does_not_see_padding(composed, name):
    made = pooling_modules(composed(f"pooling={name}")["encoder"]["pooling"], 16, 2)
    assert all(type(one).__module__.startswith(("sentence_transformers.", "pipeline.pooling.")) for one in made)
    pooling = made[-1]
    assert pooling.include_prompt
    hidden = torch.randn(3, 5, 16, generator=torch.Generator().manual_seed(0), requires_grad=True)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0]])

    def pooled(vectors):
        features = {"token_embeddings": vectors, "attention_mask": mask, "all_layer_embeddings": (vectors,) * 3}
        return functools.reduce(lambda given, one: one(given), made, features)["sentence_embedding"]

    found = pooled(hidden)
    assert found.shape == (3, pooling.get_embedding_dimension())
    assert not found.shape[1] % 16
    torch.testing.assert_close(found[2], hidden[2, 0].repeat(found.shape[1] // 16))  # a text of one token
    other = torch.where(mask[:, :, None] == 1, hidden, torch.full_like(hidden, 99.0))
    torch.testing.assert_close(pooled(other), found)
    found.sum().backward()
    assert torch.isfinite(hidden.grad).all()
    assert not hidden.grad[mask == 0].any()


@pytest.mark.parametrize("name", [name for name in names("projection") if name != "none"])
def test_every_projection_is_a_module_of_an_encoder_that_saves_and_loads_with_it(composed, tiny_encoder, tmp_path, name):
    node = composed(f"projection={name}")["encoder"]["projection"]
    plain = tiny_encoder()
    encoder = Encoder(plain.model, projection=node)
    (new,) = [
        module for module in encoder.model if module not in list(plain.model)[:-1] and hasattr(module, "get_config_dict")
    ][:1]
    assert type(new).__module__.startswith(("sentence_transformers.", "pipeline.projection."))
    limits = {"max_length_tokens": 12, "batch_tokens": 64, "title": ""}
    vectors = encoder.encode(["the cat", "a dog ran"], **limits)
    assert vectors.shape == (2, encoder.width)
    assert np.isfinite(vectors).all()
    encoder.save(tmp_path / "saved")
    np.testing.assert_allclose(Encoder.load(tmp_path / "saved").encode(["the cat", "a dog ran"], **limits), vectors, atol=1e-6)


# --- merge methods


def state(seed):
    random = torch.Generator().manual_seed(seed)
    return {"w": torch.randn(3, 4, generator=random), "b": torch.randn(4, generator=random)}


def expert(seed):
    return {key: value + 0.3 * state(seed)[key] for key, value in state(0).items()}


@pytest.fixture
def merged(composed, tmp_path):
    """The state a method of the catalogue makes, by way of files; every call writes anew."""
    count = itertools.count()

    def made(name, base, experts, *overrides):
        method = build(composed(f"merging={name}", *overrides)["merge"]["method"])
        folders = [tmp_path / f"{next(count)}" for _ in (base, *experts, "out")]
        for folder, one in zip(folders, (base, *experts, {}), strict=True):
            folder.mkdir()
            if one:
                save_file(one, folder / "model.safetensors")
        before = [(folder / "model.safetensors").read_bytes() for folder in folders[:-1]]
        models = Models(folders[0], folders[1:-1])
        method.prepare(models)
        models.write(folders[-1], method.merge, whole=method.whole)
        assert before == [(folder / "model.safetensors").read_bytes() for folder in folders[:-1]]
        json.dumps(method.record())
        return load_file(folders[-1] / "model.safetensors")

    return made


@pytest.mark.parametrize("num_experts", [1, 2, 3])
@pytest.mark.parametrize("name", names("merging"))
def test_every_method_makes_one_model_of_the_experts_in_the_types_of_the_base(merged, name, num_experts):
    base = state(0) | {"ids": torch.arange(3), "half": torch.ones(4, dtype=torch.bfloat16)}
    experts = [base | expert(k) for k in range(1, num_experts + 1)]
    found = merged(name, base, experts)
    assert {k: (v.dtype, v.shape) for k, v in found.items()} == {k: (v.dtype, v.shape) for k, v in base.items()}
    assert all(torch.isfinite(value).all() for value in found.values())
    again = merged(name, base, experts)
    assert all(torch.equal(found[key], again[key]) for key in found)


@pytest.mark.parametrize("name", names("merging"))
def test_every_method_gives_the_base_back_where_nothing_was_learned(merged, name):
    found = merged(name, state(0), [state(0), state(0)])
    assert all(torch.equal(found[key], value) for key, value in state(0).items())


# What each method needs to be told so that it thins nothing out and adds the whole task vector.
WHOLE = {
    "task_arithmetic": {1: ["merge.method.norm=1.0"], 2: ["merge.method.norm=0.5"]},
    "ties": {1: ["merge.method.density=1.0"], 2: ["merge.method.density=1.0"]},
    "dare": {1: ["merge.method.density=1.0"], 2: ["merge.method.density=1.0"]},
    "della": {k: ["merge.method.density=1.0", "merge.method.spread=0.0"] for k in (1, 2)},
}


@pytest.mark.parametrize("num_experts", [1, 2])
@pytest.mark.parametrize("name", names("merging"))
def test_every_method_gives_one_expert_back_and_equal_experts_too(merged, name, num_experts):
    found = merged(name, state(0), [expert(1)] * num_experts, *WHOLE.get(name, {}).get(num_experts, []))
    for key, value in expert(1).items():
        torch.testing.assert_close(found[key], value, atol=1e-6, rtol=0)  # rounding of fp32 near 1


@pytest.mark.parametrize("name", names("merging"))
def test_every_method_with_a_norm_gives_the_base_at_norm_zero(composed, merged, name):
    if "norm" in composed(f"merging={name}")["merge"]["method"]:
        found = merged(name, state(0), [expert(1), expert(2)], "merge.method.norm=0.0")
        assert all(torch.equal(found[key], value) for key, value in state(0).items())


@pytest.mark.parametrize("name", names("merging"))
def test_every_symmetric_method_is_the_same_in_any_order(composed, merged, name):
    if build(composed(f"merging={name}")["merge"]["method"]).symmetric:
        expected = merged(name, state(0), [expert(k) for k in (1, 2, 3)])
        for order in ((2, 3, 1), (3, 2, 1)):
            found = merged(name, state(0), [expert(k) for k in order])
            for key, value in expected.items():
                torch.testing.assert_close(found[key], value, atol=1e-6, rtol=0)


def variants(composed, name):
    """The overrides that choose each option of a method in turn, whatever its YAML chose; none first."""
    node = composed(f"merging={name}")["merge"]["method"]
    found = [[]]
    for key, annotation in signature(node["_target_"], name).items():
        if annotation.startswith("Literal["):
            options = ast.literal_eval(annotation.removeprefix("Literal"))
            found += [[f"merge.method.{key}={option}"] for option in options if option != node[key]]
    return [*found, ["merge.method.beta=-1.0"]] if "beta" in node else found


ODD = {"empty": (0, 4), "none": (0,), "scalar": (), "column": (5, 1), "still": (3, 4), "w": (3, 4)}


def odd(seed):
    """Of all shapes that a rule may trip over; 0 is the base, no expert has moved `still`."""
    random = torch.Generator().manual_seed(seed)
    moved = {name: (seed > 0 and name != "still") * 0.3 * torch.randn(shape, generator=random) for name, shape in ODD.items()}
    return {name: 1 + 0.01 * torch.arange(value.numel()).view_as(value) + value for name, value in moved.items()}


@pytest.mark.parametrize("num_experts", [2, 3])
@pytest.mark.parametrize("name", names("merging"))
def test_every_method_takes_tensors_without_elements_with_one_and_such_as_no_expert_moved(composed, merged, name, num_experts):
    base, experts = odd(0), [odd(k) for k in range(1, num_experts + 1)]
    for chosen in variants(composed, name):
        found = merged(name, base, experts, *chosen)
        assert {key: value.shape for key, value in found.items()} == {key: torch.Size(shape) for key, shape in ODD.items()}
        assert all(torch.isfinite(value).all() for value in found.values())
        assert torch.equal(found["still"], base["still"])
        alone = merged(name, base, experts[:1], *chosen, *WHOLE.get(name, {}).get(1, []))
        for key, value in experts[0].items():
            torch.testing.assert_close(alone[key], value, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", names("merging"))
def test_beside_an_expert_that_is_the_base_every_method_stays_on_the_way_to_the_other(composed, merged, name):
    base, one = odd(0), odd(1)
    for chosen in variants(composed, name):
        for experts in ([base, one], [one, base]):
            found = merged(name, base, experts, *chosen)
            for key, value in found.items():
                moved, way = value - base[key], one[key] - base[key]
                share = torch.where(way != 0, moved / way, 0.0)
                # Nothing is turned round, nor enlarged beyond 1 / density of the smallest chance in conf/merging (della, 0.5).
                assert torch.isfinite(value).all()
                assert ((share >= -1e-5) & (share <= 2 + 1e-5)).all(), (chosen, key)
                assert torch.equal(value[way == 0], base[key][way == 0])


# --- curation, mining, evaluation


def rows(num):
    return [Row("retrieval", f"q{i % 40}", f"query {i % 40}", f"d{i}", f"document {i}") for i in range(num)]


def spread(texts):
    """A model for curation: a vector of its own for every text."""
    vectors = np.stack([np.random.default_rng(sum(map(ord, text))).normal(size=32) for text in texts])
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def with_model(monkeypatch):
    """`build`; a model of the catalogue, hundreds of megabytes, is stood in for by `spread`."""
    monkeypatch.setattr("pipeline.encoder.frozen.Frozen", lambda **_: spread)
    return build


@pytest.mark.parametrize("name", names("cluster"))
def test_every_cluster_puts_equal_texts_into_one_set_and_strangers_into_others(composed, with_model, name):
    near = with_model(composed(f"+cluster={name}")["cluster"])(
        ["one two three four", "five six seven", "one two three four", "!"]
    )
    assert near.set_of[0] == near.set_of[2]
    assert len(set(near.set_of.tolist())) == near.num_sets == 3
    assert not len(near.left)


@pytest.mark.parametrize("name", names("filter"))
def test_every_filter_says_of_each_row_that_it_may_stay_or_why_not(composed, with_model, name):
    judge = with_model(composed(f"+filter={name}")["filter"])
    verdicts = judge([*rows(5), Row("sts", "a", "equal text", "b", "equal text", 5.0)])
    assert len(verdicts) == 6
    assert all(one is None or (one.reason and isinstance(one.detail, str)) for one in verdicts)
    assert verdicts[5] is None


@pytest.mark.parametrize("name", names("dedup"))
def test_every_dedup_keeps_or_drops_each_row_and_drops_a_repeated_one(composed, with_model, name):
    dedup = with_model(composed(f"dedup={name}")["curate"]["dedup"])
    given = rows(20)
    kept, dropped = dedup("corpus", [*given, replace(given[0], query_id="again")], str.lower)
    assert len(kept) + len(dropped) == 21
    assert [(one.corpus, one.query) for one in dropped] == [("corpus", "query 0")]


@pytest.mark.parametrize("name", names("measure"))
def test_every_measure_counts_each_evaluation_text_once_and_changes_nothing(composed, with_model, name):
    measure = with_model(composed(f"+measure={name}")["measure"])
    train, evaluation = rows(20), [Row("retrieval", "q", "query 3", "d", "unheard of")]
    found = measure(train, evaluation, str.lower)
    assert sum(found["nearest"]) == found["texts"] == 2
    assert found == json.loads(json.dumps(measure(train, evaluation, str.lower)))
    assert train == rows(20)
    assert sum(measure([], evaluation, str)["nearest"]) == 2


@pytest.mark.parametrize("name", names("audit"))
def test_every_audit_finds_what_stands_in_both_splits(composed, name):
    audit = build(composed(f"audit={name}")["curate"]["audit"])
    one, other, third = ("".join(np.random.default_rng(seed).choice(list("ACDEFGHIKLMNPQRSTVWY"), 80)) for seed in range(3))
    train, held = Row("affinity", "a", one, "b", other, 7.0), Row("affinity", "c", third, "d", other, 7.0)
    found = audit([train], [held], str)
    assert found.num_leaks or found.sharing
    found = audit([train], [replace(held, document=third)], str)
    assert (found.num_leaks, found.sharing) == (0, [])


@pytest.mark.parametrize("name", names("split"))
def test_every_split_gives_each_row_a_split_and_keeps_a_query_whole(composed, name):
    found = build(composed(f"split={name}")["curate"]["split"])(rows(200))
    assert [row.document_id for row in found] == [row.document_id for row in rows(200)]
    assert {row.split for row in found} == set(SPLITS)
    if name != "random":  # the control parts what belongs together on purpose
        assert len({(row.query_id, row.split) for row in found}) == 40


@pytest.mark.parametrize("name", names("mining"))
def test_every_miner_gives_each_query_documents_that_are_not_its_own(composed, name):
    miner = build(composed(f"mining={name}")["mine"]["miner"])
    document = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    document /= np.linalg.norm(document, axis=1, keepdims=True)
    found = miner(document[:5], document, [{i} for i in range(5)])
    assert len(found) == 5
    assert all(negatives and i not in negatives and len(set(negatives)) == len(negatives) for i, negatives in enumerate(found))


def small_collection(task):
    """Six items of a task."""
    texts = {f"{kind}{i}": f"{kind} {i}" for kind in "qd" for i in range(6)}
    documents = {key: text for key, text in texts.items() if key[0] == "d"}
    judgements = {f"q{i}": {f"d{i}": 1} for i in range(6)}
    pairs = [(str(i), f"q {i}", f"d {i}", float(i)) for i in range(6)]
    classes = [(str(i), f"q {i}", "ab"[i % 2]) for i in range(6)]
    return {
        "affinity": Complexes(
            "x", "affinity", pairs=pairs, trained=pairs, strata=[""] * len(pairs), groups={pair[0]: "g" for pair in pairs}
        ),
        "bitext": Pairs("x", "bitext", pairs=pairs),
        "classification": Labelled("x", "classification", labelled=classes, examples=[(k, f"e {t}", c) for k, t, c in classes]),
        "clustering": Labelled("x", "clustering", labelled=classes),
        "pair_classification": Pairs("x", "pair_classification", pairs=[(*p[:3], float(p[3] > 2)) for p in pairs]),
        "reranking": Judged("x", "reranking", {q: texts[q] for q in judgements}, documents, judgements),
        "retrieval": Judged("x", "retrieval", {q: texts[q] for q in judgements}, documents, judgements),
        "same_class": Judged("x", "same_class", {q: texts[q] for q in judgements}, documents, judgements),
        "sts": Pairs("x", "sts", pairs=pairs),
    }[task]


@pytest.mark.parametrize("name", names("evaluator"))
def test_every_evaluator_has_a_main_score_that_one_full_draw_gives_again(composed, name):
    evaluator = build(composed(f"+evaluator={name}")["evaluator"])
    predicts = getattr(evaluator, "predicts", False)
    scores, items = evaluator.evaluate(_values if predicts else _vectors, small_collection(evaluator.kind))
    assert -1 <= scores[evaluator.main] <= 1
    num = len(items["id"])
    assert num == (10 if evaluator.kind == "clustering" else 6)
    assert evaluator.resampled(items, np.ones((1, num), dtype=np.uint16)) == pytest.approx([scores[evaluator.main]])
    assert evaluator.resampled(items, np.full((3, num), 2, dtype=np.uint16)) == pytest.approx([scores[evaluator.main]] * 3)
    assert evaluator.lowest <= scores[evaluator.main] <= evaluator.highest
    none, all_of_them = np.zeros((1, num), dtype=bool), np.ones((1, num), dtype=bool)
    other = evaluator.evaluate(
        (lambda ligands, receptors: _values([f"{one}!" for one in ligands], receptors))
        if predicts
        else lambda texts, side, task: _vectors([f"{text}!" for text in texts], side, task),
        small_collection(evaluator.kind),
    )
    there = evaluator.exchanged(items, other[1], none)
    assert there == pytest.approx([scores[evaluator.main] - other[0][evaluator.main]], abs=1e-6)
    assert evaluator.exchanged(items, other[1], all_of_them) == pytest.approx(-there, abs=1e-6)


@pytest.mark.parametrize("name", names("behaviour"))
def test_every_behaviour_gives_a_value_for_each_of_its_columns_or_is_not_measured(composed, name):
    """Where there is nothing to measure, None: so on pairs alone, for what looks at searches."""
    behaviour = build(composed(f"+behaviour={name}")["behaviour"])
    words = ["lamp is red", "kettle was blue", "table can turn", "window has glass", "carpet must dry"]
    documents = {f"d{i}": f"the {words[i % 5]} number {i} and more of it " * 8 for i in range(60)}
    queries = {f"q{i}": f"which {words[i % 5]} number {i}" for i in range(60)}
    ranked = Judged("limit_small", "retrieval", queries, documents, {f"q{i}": {f"d{i}": 1} for i in range(60)})
    subject = Subject(
        encode=lambda texts, side, task, *, max_length_tokens=None: _vectors(texts, side, task),
        tokens=lambda texts, side, task: [_vectors(text.split(), side, task) for text in texts],
        count=lambda texts: [len(text.split()) + 2 for text in texts], max_length_tokens=64, collections=[ranked], seed=0,
        train=lambda: [f"{text} for {i} times" for i, text in enumerate(documents.values())],
    )  # fmt: skip
    found = behaviour.measure(subject)
    assert found.rows
    assert found.at
    assert all(len(values) == len(found.at) and np.isfinite(values).all() for values in found.rows.values())
    assert behaviour.measure(subject) == found  # the same from the same seed
    assert json.loads(json.dumps(asdict(found))) == asdict(found)
    nothing = replace(subject, collections=[])
    assert behaviour.measure(nothing) is None or name == "passkey"


LINE = "the cat sat on a mat dog ran in park rolling window over rows sum of all numbers"
ALSO_GIVEN = {"shallow": ["derivation.layers=1"]}  # what a person must say


def widened(encoder):
    """With weights so large that attention is not flat."""
    torch.manual_seed(0)
    for weight in encoder.parameters():
        torch.nn.init.normal_(weight, std=0.3) if weight.ndim > 1 else None
    return encoder


def rotary_encoder(tiny_encoder):
    """A small decoder, which has no table of positions."""
    tokenizer = tiny_encoder().tokenizer
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, head_dim=8,
        intermediate_size=32, max_position_embeddings=64, pad_token_id=0,
    )  # fmt: skip
    return Encoder(assembled(Qwen3Model(config), tokenizer), max_length_tokens=12)


@pytest.mark.parametrize("name", names("derivation"))
def test_every_derivation_makes_another_model_that_every_loader_reads_alike(
    composed, tiny_encoder, tmp_path, monkeypatch, name
):
    tiny_encoder(seed=1).save(tmp_path / "checkpoints/backbone")
    monkeypatch.chdir(tmp_path)
    derivation = build(composed(f"+derivation={name}", *ALSO_GIVEN.get(name, []))["derivation"])
    texts = [Text("retrieval", "query", f"{a} {b}") for a in LINE.split() for b in ["cat", "dog", "sum", "mat", "all"]]
    made = partial(rotary_encoder, tiny_encoder) if "rotary" in getattr(derivation, "needs", ()) else tiny_encoder
    encoders = [widened(made()) for _ in range(2)]
    found = []
    several = getattr(derivation, "several", False)
    for place, encoder in enumerate(encoders):
        if several:
            encoder, told = derivation.join([encoder, tiny_encoder(seed=3)])
        else:
            told = derivation.derive(encoder, texts if derivation.needs_texts else [], batch_tokens=64)
        found.append(told)
        encoder.save(tmp_path / str(place))
    assert json.loads(json.dumps(found[0])) == found[0] == found[1]
    assert sha256(tmp_path / "0") == sha256(tmp_path / "1")
    given = [one.text for one in texts[:6]]
    plain = widened(made()).encode(given, max_length_tokens=12, batch_tokens=64, title="")
    ours = Encoder.load(tmp_path / "0").encode(given, max_length_tokens=12, batch_tokens=64, title="")
    loaded = SentenceTransformer(
        str(tmp_path / "0"), device="cpu", trust_remote_code=several
    )  # a module of ours, where there are several
    theirs = loaded.encode(given, show_progress_bar=False)
    np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=0)  # float32 in batches of other shapes
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-5)
    assert ours.shape != plain.shape or np.abs(ours - plain).max() > 1e-3


@pytest.mark.parametrize("name", names("baseline"))
def test_every_baseline_answers_a_task_like_a_model_or_leaves_it(composed, tiny_encoder, tmp_path, monkeypatch, name):
    tiny_encoder().save(tmp_path / "checkpoints/backbone")
    monkeypatch.chdir(tmp_path)
    given = cross_encoder_at(tmp_path / "reranker", tiny_encoder(), "baseline") if name == "reranked" else []
    baseline = build(composed(f"+baseline={name}", *given)["baseline"])
    answered = []
    for evaluator in (build(composed(f"+evaluator={task}")["evaluator"]) for task in names("evaluator")):
        answer = baseline.answer(evaluator, small_collection(evaluator.kind))
        if answer is not None:
            scores, items = answer
            answered.append(evaluator.kind)
            everything = np.ones((1, len(items["id"])), dtype=np.uint16)
            assert evaluator.resampled(items, everything) == pytest.approx([scores[evaluator.main]])
    assert answered


def _vectors(texts, side, task):
    drawn = np.stack([np.random.default_rng(sum(map(ord, text))).normal(size=4) for text in texts]).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def _values(ligands, receptors):
    return np.array([np.random.default_rng(sum(map(ord, a + b))).normal() for a, b in zip(ligands, receptors, strict=True)])
