"""Affinity experts: what stands beside the encoder (`architecture.safetensors`) is merged by the same rule, from its own base.

An expert's `architecture.yaml` names this under `merge`; stage `merge` builds it.

The base of a head is where it started, which each expert keeps: experts of one architecture, seed and deal that saw other batches
started at one point. Others do not merge, and are told so.
"""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from pipeline.checkpoint import ARCHITECTURE, sha256, write_yaml
from pipeline.delta import Models
from pipeline.merging.method import Method

WEIGHTS, START = "architecture.safetensors", "architecture_start.safetensors"


class Beside:
    """What `pipeline.stage.merge` asks of experts that are more than an encoder."""

    def check(self, experts: Sequence[Path], method: Method) -> None:
        """ValueError where the experts do not fit together, or the method does not merge them."""
        if method.needs_probe:
            raise ValueError(
                f"{type(method).__name__} tries merges on pairs of texts, which affinity experts have none of; take soup, slerp or ties"
            )
        settings = [_settings(expert) for expert in experts]
        for expert, own in zip(experts, settings, strict=True):
            for key in ("architecture", "head", "max_length_tokens", "control"):
                if own[key] != settings[0][key]:
                    raise ValueError(
                        f"{expert / ARCHITECTURE}: {key} is {own[key]}, that of {experts[0]} is {settings[0][key]}; "
                        f"merge experts of one architecture"
                    )
            if not (expert / START).is_file() or sha256(expert / START) != sha256(experts[0] / START):
                raise ValueError(
                    f"{expert} started at other weights than {experts[0]} ({START}): merge experts of one seed and one set of train rows"
                )

    def write(self, experts: Sequence[Path], method: Method, target: Path) -> None:
        """Into ``target``, which holds the merged encoder. The line to units of the score is the mean of the experts' lines."""
        with tempfile.TemporaryDirectory() as name:
            folders = [Path(name) / str(k) for k in range(len(experts) + 2)]
            for folder, file in zip(folders, [experts[0] / START, *(expert / WEIGHTS for expert in experts)], strict=False):
                folder.mkdir()
                shutil.copy(file, folder / "model.safetensors")
            folders[-1].mkdir()
            models = Models(folders[0], folders[1:-1])
            method.prepare(models)
            models.write(folders[-1], method.merge, whole=method.whole)
            shutil.copy(folders[-1] / "model.safetensors", target / WEIGHTS)
        settings = [_settings(expert) for expert in experts]
        line = {key: sum(one["line"][key] for one in settings) / len(settings) for key in ("slope", "offset")}
        write_yaml(target / ARCHITECTURE, settings[0] | {"line": line})


def _settings(expert: Path) -> dict[str, Any]:
    return yaml.safe_load((expert / ARCHITECTURE).read_text(encoding="utf-8"))
