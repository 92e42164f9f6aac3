"""Near texts as a plain list of pairs, for comparisons with searches that give such a list."""

from collections.abc import Iterator

from pipeline.corpus.near import Near


def text_pairs(near: Near) -> Iterator[tuple[int, int, float]]:
    """Every near pair of texts ``(i, j, similarity)`` with ``i < j``, equal ones with 1. Grows with the square of a cluster."""
    members: dict[int, list[int]] = {}
    for text, one in enumerate(near.set_of.tolist()):
        members.setdefault(one, []).append(text)
    for texts in members.values():
        yield from ((i, j, 1.0) for k, i in enumerate(texts) for j in texts[k + 1 :])
    for left, right, similarity in zip(near.left.tolist(), near.right.tolist(), near.similarity.tolist(), strict=True):
        yield from ((min(i, j), max(i, j), similarity) for i in members[left] for j in members[right])
