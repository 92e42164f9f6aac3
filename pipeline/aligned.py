"""The tensors of an expert by the base's names.

Libraries save one model in several ways: with a prefix or without, with a head or without, with rows of the embedding table that stand
for no token. Where a task vector is exact all the same, the names and shapes are aligned and a line says what was done; else it is a
ValueError.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pipeline.manifest import read_json
from pipeline.weights import Place, Weights

HEADS = ("pooler.", "lm_head.", "cls.", "classifier.", "score.", "contact_head.")  # no vector of a text depends on them
INPUT = (
    "word_embeddings.weight",
    "tok_embeddings.weight",
    "embed_tokens.weight",
    "shared.weight",
    "wte.weight",
)  # by token, in
TABLES = (*INPUT, "lm_head.weight", "predictions.bias")  # and out
SHOWN = 3


def align(expert: Weights, base: Weights) -> None:
    """Give the places in ``expert`` the names that ``base`` has, and the base's places for what no vector depends on.

    ValueError, with file and names, where tensors are left that have no counterpart, or have other shapes or types.
    """
    told = _rename(expert, base)
    extra = sorted(set(expert.places) - set(base.places))
    missing = sorted(set(base.places) - set(expert.places))
    lacking = [name for name in missing if not _unread(base, name)]
    unknown = [name for name in extra if not _unread(expert, name)]
    if lacking or unknown:
        parts = [f"missing {lacking[:SHOWN]}, as in {base.places[lacking[0]].file}"] if lacking else []
        parts += [f"unknown {unknown[:SHOWN]}, in {expert.places[unknown[0]].file}"] if unknown else []
        raise ValueError(
            f"{expert.directory} and {base.directory} hold different tensors: {'; '.join(parts)}; same architecture and base?"
        )
    for name in extra:
        del expert.places[name]
    if extra:
        told.append(f"{_some(extra)}, which the base has not and no vector depends on, are left out")
    for name in missing:
        expert.places[name] = _tied(expert, name) or base.places[name]
    if missing:
        told.append(f"{_some(missing)}, which it lacks and no vector depends on, stay the base's")
    told += _check_shapes(expert, base)
    if told:
        print(f"{expert.directory}: {'; '.join(told)}")


def _rename(expert: Weights, base: Weights) -> list[str]:
    """Take a prefix off the expert's names, or put one before them, where more of them are the base's then."""
    own, theirs = set(expert.places), set(base.places)
    best, prefix, off = len(own & theirs), "", False
    for found in sorted(_prefixes(own, theirs) | _prefixes(theirs, own)):
        for taken in (True, False):
            shared = len({_renamed(name, found, taken) for name in own} & theirs)
            if shared > best:
                best, prefix, off = shared, found, taken
    if not prefix:
        return []
    renamed = {name: (_renamed(name, prefix, off) if _renamed(name, prefix, off) in theirs else name) for name in own}
    if len(set(renamed.values())) < len(renamed):
        return []
    expert.places = {renamed[name]: place for name, place in expert.places.items()}
    return [f"its tensors are matched {'without' if off else 'with'} the prefix {prefix!r}"]


def _prefixes(long: set[str], short: set[str]) -> set[str]:
    """What stands before a name of ``short`` in one of ``long``."""
    found: set[str] = set()
    for name in long:
        rest = name
        while "." in rest and "/" not in name:
            rest = rest.partition(".")[2]
            if rest in short:
                found.add(name.removesuffix(rest))
    return found


def _renamed(name: str, prefix: str, off: bool) -> str:
    return name.removeprefix(prefix) if off else prefix + name


def _unread(model: Weights, name: str) -> bool:
    return not model.places[name].dtype.is_floating_point or name.startswith(HEADS)


def _tied(expert: Weights, name: str) -> Place | None:
    """The input embeddings, where config.json says that a missing output table is the same."""
    config = read_json(expert.directory / "config.json")
    if name != "lm_head.weight" or not config.get("tie_word_embeddings"):
        return None
    return next((place for other, place in expert.places.items() if other.endswith(INPUT)), None)


def _check_shapes(expert: Weights, base: Weights) -> list[str]:
    """ValueError where shapes or types differ; what is told of tables with other numbers of rows that stand for no token."""
    told: list[str] = []
    for name, place in base.places.items():
        other = expert.places[name]
        if other.dtype.is_floating_point != place.dtype.is_floating_point:
            raise ValueError(f"{other.file}, tensor {name}: type {other.kind}, the base has {place.kind}; same architecture?")
        if other.shape == place.shape:
            continue
        tokens = num_tokens(base.directory) if name.endswith(TABLES) and other.shape[1:] == place.shape[1:] else None
        if tokens is None or tokens > min(other.shape[0], place.shape[0]):
            why = "" if tokens is None else f", and the tokenizer has {tokens} tokens: rows of words are missing"
            raise ValueError(
                f"{other.file}, tensor {name}: shape {other.shape}, the base has {place.shape}{why}; same architecture?"
            )
        if other.shape[0] > place.shape[0]:
            expert.places[name] = replace(other, shape=place.shape)
        told.append(f"{name} has {other.shape[0]} rows, the base {place.shape[0]}, and only {tokens} stand for tokens")
    return told


def num_tokens(directory: Path) -> int | None:
    """One more than the largest id of a tokenizer; None where its file does not say."""
    content = read_json(directory / "tokenizer.json")
    vocabulary = content.get("model", {}).get("vocab")
    if not vocabulary:
        return None
    ids = [*vocabulary.values()] if isinstance(vocabulary, Mapping) else [len(vocabulary) - 1]
    return 1 + max([*ids, *(token["id"] for token in content.get("added_tokens", []))])


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
