from pipeline.checkpoint import read_json


def test_bm25_is_scored_like_a_model_on_what_it_can_rank(finished):
    scores = read_json(finished / "data/metrics/evaluate/bm25.json")
    model = read_json(finished / "data/metrics/evaluate/base.json")
    for split in ("validation", "test"):
        assert list(scores[split]) == ["retrieval/questions"]
        assert scores[split]["retrieval/questions"].keys() == model[split]["retrieval/questions"].keys()


def test_shared_words_find_the_answer(finished):
    """Question and answer share deed, thing and place, which no other pair does."""
    assert read_json(finished / "data/metrics/evaluate/bm25.json")["test"]["retrieval/questions"]["ndcg@10"] == 1
    items = read_json(finished / "data/evaluated/bm25.json")["test"]["retrieval/questions"]
    model = read_json(finished / "data/evaluated/base.json")["test"]["retrieval/questions"]
    assert items["id"] == model["id"]
