"""merge --base: a merge without the DAG, of any directories or Hub ids (``id@commit``) with a common base.

``python -m pipeline merge --base DIR --expert DIR --expert DIR merging=ties out=DIR [merge.method.density=0.5]``
"""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from pipeline.choice import CONF, check_choice
from pipeline.params import resolved
from pipeline.sweeping import check_overrides

HUB_FILES = ["*.safetensors", "*.json", "*.txt", "*.yaml", "*.model"]


def run(words: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline merge")
    parser.add_argument("--base", required=True)
    parser.add_argument("--expert", action="append", required=True)
    parser.add_argument("values", nargs="*", help="merging=<conf/merging> out=<new directory> merge.method.<key>=<value>")
    found = parser.parse_args(list(words))
    values = dict(value.split("=", 1) for value in found.values if "=" in value)
    for key in ("merging", "out"):
        if key not in values:
            raise ValueError(f"{key}= is missing: python -m pipeline merge --base DIR --expert DIR merging=ties out=DIR")
    check_choice("merging", values["merging"], "merging")
    target = Path(values.pop("out"))
    if target.exists():
        raise ValueError(f"out={target} exists; name a directory that does not, or remove it")
    check_overrides([], [f"{key}={value}" for key, value in values.items()])
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF.absolute()), version_base="1.3"):
        cfg = compose("config", overrides=[f"{key}={value}" for key, value in values.items()])
    sections = resolved(cfg, {}, "conf")
    names = [found.base, *found.expert]
    base, *experts = [_local(name) for name in names]
    if len(set(experts)) < len(experts):
        raise ValueError(f"an expert is named twice: {', '.join(found.expert)}; give weights instead")
    from pipeline.stage.merge import merge_directories  # seconds of torch, after all that a person may have written wrong

    merge_directories(base, experts, names, sections["merge"], target, runtime=sections["runtime"], seed=sections["seed"])


def _local(name: str) -> Path:
    """The directory, or that of the Hub's ``id@commit``, fetched without code and pickles. ValueError where no commit is named: a branch is
    another model tomorrow."""
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import snapshot_download

    repository, _, revision = name.partition("@")
    if not re.fullmatch("[0-9a-f]{40}", revision):
        raise ValueError(
            f"{name}: expected a directory, or a model of the Hub at a commit, {repository}@<40 hex digits>, "
            f"{f'found {revision!r}' if revision else 'found no commit'}; copy it from "
            f"https://huggingface.co/{repository}/commits/{revision or 'main'}"
        )
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=HUB_FILES))
    except Exception as error:
        raise ValueError(f"{name} is no directory, and the Hub does not give it: {str(error).splitlines()[0]}") from error
