"""Concat: the vectors of several models side by side. A cosine is the mean of theirs, which is what keeping all of them would give.

An upper bound beside every merge: what a merge is below it is the price of one model's width and time. Models of one tokenizer and the same
prompts alone, as the experts of a run are. The directory needs this package to be loaded (`pipeline/encoder/side_by_side.py` says why).
Price: all models are run for each text, and an index is as many times as large.

Source: Zhang and Bottou 2022, arXiv:2212.07346 (Cat), as far as networks of several seeds are put side by side; the scale is our own.
"""

from collections.abc import Sequence
from typing import Any

from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize
from sentence_transformers.sentence_transformer.modules import Pooling

from pipeline.encoder.encoder import Encoder
from pipeline.encoder.side_by_side import SideBySide


class Concat:
    """``members``: names of models below the directory that it is of; None: all that are there, in the order of their names."""

    several = True
    needs_texts = False

    def __init__(self, *, members: Sequence[str] | None) -> None:
        if members is not None and len(set(members)) < 2:
            raise ValueError(f"members must name two models or more, got {list(members)}; null takes all")
        self.members = None if members is None else list(members)

    def join(self, encoders: Sequence[Encoder]) -> tuple[Encoder, dict[str, Any]]:
        """One encoder of all, and what there is to say of it. ValueError where they do not read texts alike."""
        first = encoders[0]
        for other in encoders:
            if len(other.routes) > 1 or not other.trunks:
                raise ValueError("a model has routes, or no transformer; expected models of one transformer each")
            if other.tokenizer.get_vocab() != first.tokenizer.get_vocab() or other.prompts != first.prompts:
                raise ValueError(
                    "the models have unlike tokenizers or prompts, so they do not read the same ids; take models of one base"
                )
        if first.prompts["texts"] and not first.prompts["pooled"]:
            raise ValueError(
                "prompts are not pooled, which models side by side cannot tell; set encoder.prompts.pooled to true"
            )
        beside = SideBySide([encoder.model for encoder in encoders])
        model = SentenceTransformer(
            modules=[beside, Pooling(beside.get_embedding_dimension(), "mean"), Normalize()],
            device=str(next(first.parameters()).device),
            prompts={name: text or "" for name, text in first.model.prompts.items()},
        ).eval()
        prompts = first.prompts if first.prompts["texts"] else None
        return Encoder(model, prompts=prompts), {"members": len(encoders), "dims": beside.get_embedding_dimension()}
