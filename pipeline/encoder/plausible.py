"""Whether a model's files ask for no more than they hold: told before anything of their size is made.

A config.json of a few bytes can ask for a million layers, a tokenizer.json for texts that grow sixteenfold a step.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.manifest import read_json
from pipeline.weights import Weights

FEW_LAYERS, SMALL = 64, 1 << 24  # what is asked for without a word, whatever the weights hold
MOST_GROWTH = 64  # characters that a tokenizer's rules may make of one


def check_config(file: Path, weights: Weights) -> None:
    """ValueError where ``file``, a config.json, names more layers than ``weights`` have tensors, or a size beyond all their numbers."""
    tensors, numbers = len(weights.places), sum(place.numel for place in weights.places.values())
    for key, value in _numbers(read_json(file)):
        most = max(FEW_LAYERS, tensors) if "layers" in key or key in ("n_layer", "num_blocks") else max(SMALL, numbers)
        if value > most:
            held = f"{tensors} tensors of {numbers:,} numbers"
            raise ValueError(f"{file}: {key} is {value:,}, but the weights hold {held}; take the config.json of these weights")


def _numbers(tree: Any) -> Iterator[tuple[str, int]]:
    """The whole numbers of a configuration and of its parts, by their key."""
    for key, value in tree.items() if isinstance(tree, dict) else ():
        if isinstance(value, dict) and key.endswith("_config"):
            yield from _numbers(value)
        elif type(value) is int and not key.endswith(("_token_id", "seed")) and "length" not in key:
            yield key, value


def check_growth(file: Path) -> None:
    """ValueError where the rules of ``file``, a tokenizer.json, make more than `MOST_GROWTH` characters of one."""
    growth, written = 1.0, ""
    for rule in _rules(read_json(file).get("normalizer")):
        pattern, content = rule.get("pattern"), str(rule.get("content", ""))
        found = pattern.get("String") if isinstance(pattern, dict) else None
        own = max(1.0, len(content) / max(1, len(found) if isinstance(found, str) else 1))
        again = not isinstance(found, str) or found in written  # it may meet what an earlier rule wrote
        growth, written = growth * own if again else max(growth, own), written + content
    if growth > MOST_GROWTH:
        raise ValueError(
            f"{file}: its normalizer may make {growth:,.0f} characters of one, expected at most {MOST_GROWTH}; take the tokenizer of these "
            f"weights"
        )


def _rules(normalizer: Any) -> Iterator[dict[str, Any]]:
    if not isinstance(normalizer, dict):
        return
    if normalizer.get("type") == "Replace":
        yield normalizer
    inner = normalizer.get("normalizers")
    for one in inner if isinstance(inner, list) else ():
        yield from _rules(one)
