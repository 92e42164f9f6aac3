from pipeline.checkpoint import read_json


def test_bm25_is_scored_like_a_model_on_what_it_can_rank(finished):
    scores = read_json(finished / "data/metrics/evaluate/bm25.json")
    model = read_json(finished / "data/metrics/evaluate/base.json")
    for split in ("validation", "test"):
        assert list(scores[split]) == ["retrieval/questions"]
        assert scores[split]["retrieval/questions"].keys() == model[split]["retrieval/questions"].keys()


def test_shared_words_find_the_answer(finished):
    """Question and answer share deed, thing and place, which no other pair does."""
    assert read_json(finished / "data/metrics/evaluate/bm25.json")["test"]["retrieval/questions"]["value"] == 1
    items = read_json(finished / "data/evaluated/bm25.json")["test"]["retrieval/questions"]
    model = read_json(finished / "data/evaluated/base.json")["test"]["retrieval/questions"]
    assert items["id"] == model["id"]


def test_static_embeddings_answer_every_task_as_a_model_does(finished):
    scores = read_json(finished / "data/metrics/evaluate/static.json")
    model = read_json(finished / "data/metrics/evaluate/base.json")
    for split in ("validation", "test"):
        assert {name: score.keys() for name, score in scores[split].items()} == {
            name: score.keys() for name, score in model[split].items()
        }
    assert scores["test"] != model["test"]


def test_an_unknown_baseline_is_told_with_the_known_ones(copied, run, capsys):
    folder = copied("data/config.yaml")
    assert run(folder, "baseline", "bm52") == 1
    assert "baseline needs one baseline of bm25, static; got 'bm52'" in capsys.readouterr().err
    assert not (folder / "data/metrics").exists()
