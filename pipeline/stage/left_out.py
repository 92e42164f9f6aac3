"""What a stage does for an item that the run leaves out (`pipeline.left_out`): a note in place of its outputs."""

from pathlib import Path

from pipeline.checkpoint import whole_directory, write_json, write_text


def write_note(stage: str, item: str, path: str, out: Path) -> None:
    """In place of the outputs of ``item`` of ``stage``, whose directory is ``path``."""
    note = {"left_out": item, "why": "no corpus has rows of a task that it needs; see stage compose"}
    if stage == "evaluate":
        for kind in ("evaluated", "metrics/evaluate", "metrics/geometry"):
            write_json(out / f"data/{kind}/{item}.json", {"validation": {}, "test": {}})
    folder = out / (f"data/mteb/{item}" if stage == "evaluate" else path)
    with whole_directory(folder) as partial:
        write_json(partial / "left_out.json", note)
    if stage == "train":
        write_text(out / f"data/metrics/train/{item}.csv", "step,loss\n")
    print(f"{stage} {item}: left out, {note['why']}")
