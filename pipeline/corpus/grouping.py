"""Which items of an evaluation are evidence of their own: items of one group resemble each other and are drawn together.

An item whose rows name a group (a module family, a PDB entry) belongs to that. Others are tied where they share a text. Where that
would tie most of them into one group (a few documents that answer all queries), only a shared first text ties: then the interval
holds for further queries to these documents, not for other documents.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

_MOST = 0.5  # of the items: a larger group of shared texts leaves nothing to draw from


class Tied(NamedTuple):
    """``texts``: those of an item that tie it to others, the first one first. ``group``: what its rows name; None: nothing."""

    texts: Sequence[str]
    group: str | None


def tied(items: Mapping[str, Tied]) -> dict[str, str]:
    """The group of each item: the name its rows give, else ``text <id>`` after the first item it shares texts with."""
    named = {key: f"group {item.group}" for key, item in items.items() if item.group is not None}
    others = {key: item for key, item in items.items() if item.group is None}
    by_text = _components({key: item.texts for key, item in others.items()})
    if by_text and max(Counter(by_text.values()).values()) > max(1, _MOST * len(by_text)):
        by_text = _components({key: item.texts[:1] for key, item in others.items()})
    return {key: named.get(key) or f"text {by_text[key]}" for key in items}


def _components(texts: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Of each item the first (by name) that it is tied to by a chain of shared texts."""
    names = sorted(texts)
    place = {text: i for i, text in enumerate(dict.fromkeys(text for name in names for text in texts[name]))}
    left = np.array([i for i, name in enumerate(names) for _ in texts[name]], dtype=np.int64)
    right = np.array([len(names) + place[text] for name in names for text in texts[name]], dtype=np.int64)
    size = len(names) + len(place)
    edges = coo_array((np.ones(len(left), dtype=np.int8), (left, right)), shape=(size, size))
    _, component = connected_components(edges, directed=False)
    first: dict[int, str] = {}
    return {name: first.setdefault(int(component[i]), name) for i, name in enumerate(names)}
