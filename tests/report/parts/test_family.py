"""What is shown of a family: sizes read from files, and which member to take."""

import pytest

from pipeline.evaluator.scores import Scores
from pipeline.evaluator.sts import Sts
from pipeline.report.gather import Verdict
from pipeline.report.parts.family import grids, recommended
from pipeline.report.sizes import Size, sizes
from pipeline.report.told import Model

OF = "checkpoints/controls/joint"


def size(number, *, layers=None, dims=None, cut_of=None):
    return Size(bytes=1000 * number, per_token=10 * number, longest=32, layers=layers, dims=dims, cut_of=cut_of)


def test_the_files_of_a_transformer_and_of_a_table_say_what_a_token_costs(tiny_encoder, tmp_path, monkeypatch):
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding

    monkeypatch.chdir(tmp_path)
    encoder = tiny_encoder()
    encoder.save(tmp_path / "one")
    table = StaticEmbedding(encoder.tokenizer.backend_tokenizer, embedding_weights=torch.ones(len(encoder.tokenizer), 6))
    SentenceTransformer(modules=[table, Normalize()], device="cpu").save("table", create_model_card=False)
    found = sizes(["one", "table", "nowhere"])
    assert set(found) == {"one", "table"}
    blocks = sum(weight.numel() for name, weight in encoder.weights().items() if not name.endswith("_embeddings.weight"))
    width = encoder.trunk_width
    assert found["one"].per_token == blocks + 3 * width  # a row of words, one of positions, one of types
    assert found["one"].bytes > 4 * sum(weight.numel() for weight in encoder.weights().values())
    assert (found["one"].layers, found["one"].longest) == (encoder.blocks, encoder.max_length_tokens)
    assert found["table"].per_token == 6


def test_a_larger_model_is_recommended_only_where_it_scores_more():
    members = {"small": (10, 0.5), "twin": (10, 0.4), "worse": (20, 0.49), "large": (30, 0.7), "largest": (40, 0.7)}
    assert recommended(members) == ["small", "large"]
    assert recommended({}) == []


def test_a_grid_holds_each_cut_at_its_place_as_a_share_of_the_whole_score():
    known = {
        "joint": size(9, layers=6, dims=8),
        "three": size(5, layers=3, dims=8, cut_of=OF),
        "both": size(5, layers=3, dims=4, cut_of=OF),
        "other": size(5, layers=2, dims=8, cut_of="checkpoints/experts/sts"),
    }
    scores = {"joint": 0.8, "three": 0.6, "both": 0.4, "other": 0.1}
    (grid,) = grids(known, scores, {OF: "joint"})
    assert (grid["of"], grid["dims"]) == ("joint", [4, 8])
    assert grid["rows"] == {3: [pytest.approx(0.5), pytest.approx(0.75)], 6: [None, 1.0]}
    assert grids(known, {**scores, "joint": 0.0}, {OF: "joint"}) == []


def scored(validation, test):
    one = {"task": "sts", "kind": "sts", "corpus": "a", "deal": None, "metric": "spearman"}
    splits = [{"sts/a": one | {"value": value, "num_items": 9, "num_groups": 9}} for value in (validation, test)]
    return Scores(dict(zip(("validation", "test"), splits, strict=True)))


def test_the_page_recommends_by_validation_and_shows_test(facts, shown):
    names = {"base": "checkpoints/base", "joint": OF, "three": "checkpoints/derived/three", "both": "checkpoints/derived/both"}
    run = facts(
        verdict=Verdict(
            model="joint", sentence="", rows="", best_single="joint", merges={}, refused=[], kept={}, forgot=[], notices=[]
        ),
        models={name: Model(path=path, gated=False, about="") for name, path in names.items()},
        scores={"base": scored(0.5, 0.9), "joint": scored(0.8, 0.8), "three": scored(0.7, 0.6), "both": scored(0.6, 0.4)},
        sizes={
            names["base"]: size(9),
            OF: size(9, layers=6, dims=8),
            names["three"]: size(5, layers=3, dims=8, cut_of=OF),
            names["both"]: size(4, layers=3, dims=4, cut_of=OF),
        },
        evaluators={"sts": Sts()},
    )
    html, plain = shown("family", run), shown("family", run, plain=True)
    for name, best in (("base", False), ("joint", True), ("three", True), ("both", True)):
        (line,) = [line for line in plain.splitlines() if line.startswith(f"| {name} |")]
        assert line.endswith("| recommended |") == best
    assert "| base | 0.0 | 90 | 32 | 0.9000 |" in plain
    assert "joint, cut to fewer layers and numbers" in html
    assert "75.0 %" in html
    assert html.count("<svg") == 1
    assert shown("family", facts()) is None
