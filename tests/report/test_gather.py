import json
from pathlib import Path

from pipeline.report.gather import _pooling, _searches


def test_the_report_shows_the_search_and_its_picture(tmp_path, monkeypatch, facts, shown):
    monkeypatch.chdir(tmp_path)
    folder = Path("checkpoints/merged/found")
    folder.mkdir(parents=True)
    (folder / "trajectory.csv").write_text("step,loss,coefficient/0,norm\n0,1.5,0.5,1.0\n1,1.25,0.75,1.1\n")
    (folder / "landscape.png").write_bytes(b"picture")
    losses = {"start": {"sts": 2.0}, "found": {"sts": 1.0}}
    (folder / "merge.json").write_text(json.dumps({"experts": ["sts"], "search": {"held_out_loss": losses}}))
    (search,) = _searches({"x": str(folder), "base": "elsewhere"})
    assert search.picture == "cGljdHVyZQ=="
    assert [point["coefficient/0"] for point in search.points] == ["0.5", "0.75"]
    assert search.held_out == losses
    html = shown("searches", facts(searches=[search]))
    assert "sts 2.0000 at the start, 1.0000 at what was found." in html
    assert "<td>1</td><td>0.750</td><td>1.100</td><td>1.2500</td>" in html
    assert "data:image/png;base64,cGljdHVyZQ==" in html
    assert shown("searches", facts()) is None


def test_a_pooling_in_place_of_the_backbones_own_is_read_where_the_backbone_says_how_it_was_made(tmp_path):
    node = {"_target_": "pipeline.pooling.standard.standard", "mode": "cls"}
    (tmp_path / "provenance.json").write_text(json.dumps({"config": {"encoder": {"pooling": node}}}))
    assert _pooling(tmp_path) == node
    (tmp_path / "provenance.json").write_text(json.dumps({"config": {"encoder": {"pooling": None}}}))
    assert _pooling(tmp_path) is None
    assert _pooling(tmp_path / "nowhere") is None
