"""Every YAML of the catalogue composes, its nodes fit the code they name, and what they name keeps the contract of its group.

A file added to conf/ is tested here without an edit.
"""

from dataclasses import replace
from pathlib import Path

import hydra
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from pipeline.corpus.collection import Collection
from pipeline.corpus.row import SPLITS, Row
from pipeline.params import Config, Training, _register_resolvers, build, check_node, nodes

CONF = Path(__file__).parents[1] / "conf"
CHOSEN = ("dedup", "encoder", "experiment", "expert", "method", "miner", "pooling", "split")  # each has a default
PARTS = (
    "cluster",
    "evaluator",
    "filter",
    "objective",
    "optimizer",
    "source",
    "task",
)  # each is put in somewhere by another file


def files(*groups):
    return [(group, file.stem) for group in groups for file in sorted((CONF / group).glob("*.yaml"))]


def names(group):
    return [name for _, name in files(group)]


@pytest.fixture(scope="module")
def composed():
    """The composition with one choice changed, as plain containers; ``???`` stays where a person must give a value."""
    _register_resolvers()
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        yield lambda *overrides: OmegaConf.to_container(hydra.compose("config", overrides=list(overrides)), resolve=True)


def checked(tree):
    found = list(nodes(tree))
    for path, node in found:
        check_node(node, path)
    return found


def test_every_folder_of_the_catalogue_is_tested():
    groups = {folder.name for folder in CONF.iterdir() if folder.is_dir()}
    assert groups - set(CHOSEN) - set(PARTS) == {"corpus", "phase"}  # by way of the experiments that name them


@pytest.mark.parametrize(("group", "name"), files(*CHOSEN))
def test_every_choice_composes_to_sections_of_the_known_shape(composed, group, name):
    whole = composed(f"{group}={name}")
    for section, field in Config.model_fields.items():
        if section in whole and section not in ("train", "merge", "seed"):
            field.annotation.model_validate(whole[section])
    Training.model_validate(whole["train"])
    assert checked(whole)


@pytest.mark.parametrize(("group", "name"), files(*PARTS))
def test_every_part_composes_and_fits_the_code_it_names(composed, group, name):
    part = composed(f"+{group}={name}", "optimizer.lr=1.0") if group == "optimizer" else composed(f"+{group}={name}")
    given = [(path, node) for path, node in nodes(part[group]) if "???" not in node.values()]
    assert "_target_" in str(part[group])
    for path, node in given:
        check_node(node, path)


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
    """Four pairs whose cosines fall as their scores do; ``turned``: each query stands nearest to its neighbour's document."""
    cosine = torch.tensor([0.9, 0.6, 0.3, 0.1])
    document = torch.eye(8)[:4]
    query = cosine[:, None] * document.roll(1, 0) if turned else cosine[:, None] * document
    query = (query + (1 - cosine**2).sqrt()[:, None] * torch.eye(8)[4:]).requires_grad_()
    return pairs(query, document, score=torch.tensor([5.0, 3.0, 1.0, 0.0]))


@pytest.mark.parametrize("name", names("objective"))
def test_every_objective_costs_less_where_pairs_stand_right_and_pulls_them_there(composed, pairs, name):
    objective = build(composed(f"+objective={name}")["objective"])
    assert isinstance(objective.needs_score, bool)
    right, wrong = lined_up(pairs, turned=False), lined_up(pairs, turned=True)
    costs = [objective(one) for one in (right, wrong)]
    assert all(cost.shape == () and torch.isfinite(cost) for cost in costs)
    assert costs[0].item() < costs[1].item()
    costs[1].backward()
    assert torch.isfinite(wrong.query.grad).all()
    step = F.normalize((wrong.query - 0.01 * wrong.query.grad).detach(), dim=-1)
    assert objective(replace(wrong, query=step)).item() < costs[1].item()


# --- poolings


@pytest.mark.parametrize("name", names("pooling"))
def test_every_pooling_gives_one_vector_a_text_and_does_not_see_padding(composed, name):
    pooling = build(composed(f"pooling={name}")["encoder"]["pooling"])
    assert pooling.flag.startswith("pooling_mode_")
    hidden = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0]])
    found = pooling(hidden, mask)
    assert found.shape == (3, 4)
    torch.testing.assert_close(found[2], hidden[2, 0])  # a text of one token
    other = torch.where(mask[:, :, None] == 1, hidden, torch.full_like(hidden, 99.0))
    torch.testing.assert_close(pooling(other, mask), found)
    found.sum().backward()
    assert torch.isfinite(hidden.grad).all()
    assert not hidden.grad[mask == 0].any()


# --- merge methods


def state(seed):
    random = torch.Generator().manual_seed(seed)
    return {"w": torch.randn(3, 4, generator=random), "b": torch.randn(4, generator=random)}


@pytest.mark.parametrize("num_experts", [1, 2, 3])
@pytest.mark.parametrize("name", names("method"))
def test_every_method_makes_one_model_of_the_experts_and_changes_none(composed, name, num_experts):
    method = build(composed(f"method={name}")["merge"]["method"])
    base = state(0) | {"ids": torch.arange(3)}
    deltas = [state(k) for k in range(1, num_experts + 1)]
    before = [{key: value.clone() for key, value in one.items()} for one in (base, *deltas)]
    found = method(base, deltas)
    assert {key: (value.dtype, value.shape) for key, value in found.items()} == {
        key: (value.dtype, value.shape) for key, value in base.items()
    }
    assert all(torch.isfinite(value).all() and value.is_contiguous() for value in found.values())
    assert any(not torch.equal(found[key], base[key]) for key in ("w", "b"))
    assert len(method.coefficients(deltas)) == num_experts
    for one, old in zip((base, *deltas), before, strict=True):
        assert all(torch.equal(one[key], old[key]) for key in old)


@pytest.mark.parametrize("name", names("method"))
def test_every_method_gives_the_base_back_where_nothing_was_learned(composed, name):
    base = state(0)
    zeros = [{key: torch.zeros_like(value) for key, value in base.items()}] * 2
    found = build(composed(f"method={name}")["merge"]["method"])(base, zeros)
    assert all(torch.equal(found[key], base[key]) for key in base)


# --- curation, mining, evaluation


def rows(num):
    return [Row("retrieval", f"q{i % 40}", f"query {i % 40}", f"d{i}", f"document {i}") for i in range(num)]


def spread(texts):
    """A model for curation: a vector of its own for every text."""
    vectors = np.stack([np.random.default_rng(sum(map(ord, text))).normal(size=32) for text in texts])
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def with_model(node):
    """What ``node`` names; a model of the catalogue, hundreds of megabytes, is stood in for by `spread`."""
    inner = node.get("neighbours", node)
    if "model" in inner:
        part = build({key: value for key, value in inner.items() if key != "model"} | {"model": None})
        part.model = spread
        if inner is node:
            return part
        whole = build(node | {"neighbours": None})
        whole.neighbours = part
        return whole
    return build(node)


@pytest.mark.parametrize("name", names("cluster"))
def test_every_cluster_puts_equal_texts_into_one_set_and_strangers_into_others(composed, name):
    near = with_model(composed(f"+cluster={name}")["cluster"])(
        ["one two three four", "five six seven", "one two three four", "!"]
    )
    assert near.set_of[0] == near.set_of[2]
    assert len(set(near.set_of.tolist())) == near.num_sets == 3
    assert not len(near.left)


@pytest.mark.parametrize("name", names("filter"))
def test_every_filter_says_of_each_row_that_it_may_stay_or_why_not(composed, name):
    judge = with_model(composed(f"+filter={name}")["filter"])
    verdicts = judge([*rows(5), Row("sts", "a", "equal text", "b", "equal text", 5.0)])
    assert len(verdicts) == 6
    assert all(one is None or (one.reason and isinstance(one.detail, str)) for one in verdicts)
    assert verdicts[5] is None


@pytest.mark.parametrize("name", names("dedup"))
def test_every_dedup_keeps_or_drops_each_row_and_drops_a_repeated_one(composed, name):
    dedup = with_model(composed(f"dedup={name}")["curate"]["dedup"])
    given = rows(20)
    kept, dropped = dedup("corpus", [*given, replace(given[0], query_id="again")], str.lower)
    assert len(kept) + len(dropped) == 21
    assert [(one.corpus, one.query) for one in dropped] == [("corpus", "query 0")]


@pytest.mark.parametrize("name", names("split"))
def test_every_split_gives_each_row_a_split_and_keeps_a_query_whole(composed, name):
    found = build(composed(f"split={name}")["curate"]["split"])(rows(200))
    assert [row.document_id for row in found] == [row.document_id for row in rows(200)]
    assert {row.split for row in found} == set(SPLITS)
    assert len({(row.query_id, row.split) for row in found}) == 40


@pytest.mark.parametrize("name", names("miner"))
def test_every_miner_gives_each_query_documents_that_are_not_its_own(composed, name):
    miner = build(composed(f"miner={name}")["mine"]["miner"])
    document = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    document /= np.linalg.norm(document, axis=1, keepdims=True)
    found = miner(document[:5], document, [{i} for i in range(5)])
    assert len(found) == 5
    assert all(negatives and i not in negatives and len(set(negatives)) == len(negatives) for i, negatives in enumerate(found))


@pytest.mark.parametrize("name", names("evaluator"))
def test_every_evaluator_has_a_main_score_that_one_full_draw_gives_again(composed, name):
    evaluator = build(composed(f"+evaluator={name}")["evaluator"])
    texts = {f"{kind}{i}": f"{kind} {i}" for kind in "qd" for i in range(6)}
    documents = {key: text for key, text in texts.items() if key[0] == "d"}
    judgements = {f"q{i}": {f"d{i}": 1} for i in range(6)}
    pairs = [(str(i), f"q {i}", f"d {i}", float(i)) for i in range(6)]
    collections = {
        "retrieval": Collection("x", "retrieval", {q: texts[q] for q in judgements}, documents, judgements),
        "sts": Collection("x", "sts", pairs=pairs),
    }
    scores, items = evaluator.evaluate(_vectors, collections[evaluator.task])
    assert -1 <= scores[evaluator.main] <= 1
    assert len(items["id"]) == 6
    assert evaluator.resampled(items, np.arange(6)[None, :]) == pytest.approx([scores[evaluator.main]])
    assert evaluator.resampled(items, np.zeros((3, 6), dtype=int)).shape == (3,)


def _vectors(texts, side, task):
    drawn = np.stack([np.random.default_rng(sum(map(ord, text))).normal(size=4) for text in texts]).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
