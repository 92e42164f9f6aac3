"""Which of near texts stay, where texts stand alone: a pass over the sets that a search found. Curation drops pairs of texts instead."""

import numpy as np
from jaxtyping import Int

from pipeline.corpus.near import Near


def kept_twins(near: Near, rank: Int[np.ndarray, " T"], *, chains: bool) -> Int[np.ndarray, " T"]:
    """For each text the text kept in its place: itself, or a near one of lower ``rank`` (a number per text, none twice).

    ``chains`` False: texts are taken by rank, and one is kept unless a kept one is near. So every dropped text is near its twin, and
    no two kept ones are near. True: one text of each cluster is kept; a dropped one may be tied to it by a chain only.
    """
    by_set = np.lexsort((rank, near.set_of))
    sets, first = np.unique(near.set_of[by_set], return_index=True)
    if len(sets) != near.num_sets:
        raise ValueError(f"sets are numbered without gaps, expected {near.num_sets}, got {len(sets)}")
    best = by_set[first]  # of each set the text of lowest rank
    if chains:
        component = near.components()
        by_component = np.lexsort((rank, component))
        _, first = np.unique(component[by_component], return_index=True)
        return by_component[first][component]
    twin = np.arange(near.num_sets)
    kept = np.zeros(near.num_sets, dtype=bool)
    ends = np.concatenate([near.left, near.right])
    others = np.concatenate([near.right, near.left])[np.argsort(ends, kind="stable")].tolist()
    starts = np.concatenate([[0], np.cumsum(np.bincount(ends, minlength=near.num_sets))]).tolist()
    set_rank = rank[best].tolist()
    tied = np.unique(ends)
    for one in tied[np.argsort(rank[best[tied]])].tolist():
        ahead = [other for other in others[starts[one] : starts[one + 1]] if kept[other]]
        if ahead:
            twin[one] = min(ahead, key=set_rank.__getitem__)
        else:
            kept[one] = True
    return best[twin][near.set_of]
