"""Whitening: vectors are centred, and each direction in which they vary is given the same variance. The directions that vary most are kept.

A few common directions dominate most models' vectors, so that all cosines are high and much alike; whitening takes them back. It is one
linear map of the vector, fitted on train texts. Price: what a model put into those directions on purpose is taken back too, and the map
is only as good as the texts are like those that it will meet.

Source: Su et al. 2021, arXiv:2103.15316, eq. 4 to 8 and algorithm 1.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from pipeline.corpus.train_texts import Text
from pipeline.derivation.derivation import end_with_dense, without_normalize
from pipeline.encoder.encoder import Encoder

LEAST_SPREAD = 1e-4  # of a direction, as a share of the vectors' length: below, rounding of 32-bit numbers would be blown up


def whitening(
    vectors: Float[np.ndarray, "N D"], dims: int | None
) -> tuple[Float[np.ndarray, "K D"], Float[np.ndarray, " K"], float]:
    """``(weight, bias, share)``: ``weight @ x + bias`` has mean 0 and covariance 1 over ``vectors``.

    ``dims`` None keeps every direction that varies. ``share``: of the variance, what the kept directions held. All in float64.
    ValueError where there are no more vectors than numbers in one, or where fewer than ``dims`` directions vary.
    """
    number, width = vectors.shape
    if number <= width:
        raise ValueError(
            f"whitening needs more texts than a vector has numbers ({width}), got {number}; add train rows, or take a smaller model"
        )
    vectors = vectors.astype(np.float64)
    mean = vectors.mean(0)
    centred = vectors - mean
    variance, directions = np.linalg.eigh(centred.T @ centred / (number - 1))
    variance, directions = variance[::-1], directions[:, ::-1]
    least = (LEAST_SPREAD**2) * float((vectors**2).sum(1).mean())
    varying = int((variance > least).sum())
    kept = varying if dims is None else dims
    if not 0 < kept <= varying:
        raise ValueError(
            f"dims must be from 1 to {varying}, the directions in which vectors of {width} numbers vary over {number} texts, got {dims}; "
            f"null keeps them all"
        )
    directions = directions[:, :kept]
    largest = directions[np.abs(directions).argmax(0), np.arange(kept)]
    weight = (
        directions * np.sign(largest) / np.sqrt(variance[:kept])
    ).T  # of either sign: the one whose largest number is positive
    return weight, -weight @ mean, float(variance[:kept].sum() / variance.sum())


class Whiten:
    """`whitening` fitted on ``texts`` of the train texts, drawn by ``seed`` (all, where there are fewer), each cut at ``max_length_tokens``
    (None: where the model cuts it). ``dims`` of the directions are kept; None: all that vary."""

    needs_texts = True
    bounded = ("dims",)

    def __init__(self, *, dims: int | None, texts: int, max_length_tokens: int | None, seed: int) -> None:
        if texts < 2 or (dims is not None and dims < 1):
            raise ValueError(f"expected two texts or more and one dimension or more, got texts {texts} and dims {dims}")
        self.dims = dims
        self.texts = texts
        self.max_length_tokens = max_length_tokens
        self.seed = seed

    def derive(self, encoder: Encoder, texts: Sequence[Text], *, batch_tokens: int) -> Mapping[str, Any]:
        without_normalize(encoder)
        vectors = self._vectors(encoder, texts, batch_tokens)
        weight, bias, share = whitening(vectors, self.dims)
        end_with_dense(encoder, torch.from_numpy(weight), torch.from_numpy(bias))
        return {"texts": len(vectors), "dims": len(weight), "variance_kept": share}

    def _vectors(self, encoder: Encoder, texts: Sequence[Text], batch_tokens: int) -> Float[np.ndarray, "N D"]:
        """Of a draw of the texts, each once with each prompt."""
        known = {(encoder.reading(one.task, one.side), one.text): one for one in sorted(texts, reverse=True)}
        drawn = random.Random(self.seed).sample(sorted(known), min(self.texts, len(known)))
        by_reading: dict[str, list[Text]] = {}
        for reading, text in sorted(drawn):
            by_reading.setdefault(reading, []).append(known[reading, text])
        parts = [
            encoder.encode(
                [one.text for one in of],
                max_length_tokens=self.max_length_tokens,
                batch_tokens=batch_tokens,
                title="whiten",
                task=of[0].task,
                side=of[0].side,
            )
            for of in by_reading.values()
        ]
        return np.concatenate(parts) if parts else np.zeros((0, encoder.width), np.float32)
