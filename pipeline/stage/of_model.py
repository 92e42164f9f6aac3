"""stress <model> and form <model>: what the stages do with the final model, for any other, beside the DAG.

python -m pipeline stress joint                       into outputs/stress/joint.json
python -m pipeline form joint out=DIR half binary     into DIR: the model, these forms (none named: all of `final.forms`), and forms.json

A model is a name of `models` in params.yaml, or a directory. What is measured and how is said by sections `stress` and `final`.

Reads:  data/config.yaml, the model's directory, data/curated/
Writes: outputs/stress/<model>.json (out=FILE), or DIR. DVC knows neither.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.build import build, load
from pipeline.checkpoint import whole_directory, write_json
from pipeline.copying import copy_model
from pipeline.encoder.encoder import Encoder
from pipeline.evaluator.scores import by_kind
from pipeline.spelling import nearest
from pipeline.stage.forms import forms_of, measured
from pipeline.stage.stress import stressed
from pipeline.training.prepare import prepare

MADE = ("data", "checkpoints")  # what DVC keeps


def run(stage: str, words: Sequence[str]) -> None:
    config = load()
    out = next((word.removeprefix("out=") for word in words if word.startswith("out=")), None)
    name, *named = [word for word in words if not word.startswith("out=")] or [""]
    directory = _directory(config["models"], name, stage)
    if out is not None and any(Path(out).resolve().is_relative_to(Path(place).resolve()) for place in MADE):
        raise ValueError(f"out={out}: what lies there is made by stages; name a place elsewhere")
    if stage == "stress":
        if named:
            raise ValueError(f"stress takes one model, got {', '.join([name, *named])}")
        target = Path(out or f"outputs/stress/{directory.name if name not in config['models'] else name}.json")
        write_json(target, stressed(config, config["runtime"], directory))
        print(f"written: {target}")
    elif out is None:
        raise ValueError(f"form needs a folder to write to: python -m pipeline form {name} out=DIR")
    else:
        _form(config, directory, named, Path(out))


def _directory(models: Mapping[str, str], name: str, stage: str) -> Path:
    """Of a model by its name, or of a directory. ValueError says which there are."""
    place = Path(models.get(name, name))
    if name in models and not place.is_dir():
        raise ValueError(f"{place} is missing; run `dvc repro`, which makes it")
    if not name or not place.is_dir():
        known = ", ".join(sorted(models))
        raise ValueError(f"{stage} needs a model: expected a directory, or one of {known}; got {name!r}{nearest(name, models)}")
    return place


def _form(config: Mapping[str, Any], directory: Path, named: Sequence[str], out: Path) -> None:
    known = {name: node for name, node in config["final"]["forms"].items() if node is not None}
    for name in named:
        if name not in known:
            raise ValueError(f"form: no form {name!r}{nearest(name, known)}; final.forms names {', '.join(sorted(known))}")
    if out.exists():
        raise ValueError(f"out={out} exists; name a directory that does not, or remove it")
    prepare(config["runtime"], config["seed"])
    chosen = config["final"] | {"forms": {name: known[name] for name in named or known}}
    evaluators = by_kind({name: build(node) for name, node in config["evaluate"]["evaluators"].items() if node is not None})
    with whole_directory(out) as folder:
        copy_model(directory, folder)
        encoder = Encoder.load(folder)
        forms = forms_of({**config, "final": chosen}, config["runtime"], folder, encoder, evaluators, path=str(out))
        write_json(folder / "forms.json", forms)
    measured(forms)
    print(f"written: {out}")
