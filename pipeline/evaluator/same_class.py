"""Texts of one class: does a new text find the train texts of its class? Retrieval, with every train text as a document."""

from typing import Annotated

from pydantic import Field

from pipeline.evaluator.retrieval import Retrieval


class SameClass(Retrieval):
    """``depth``: train texts ranked per text, at least 100 for recall@100."""

    kind = "same_class"
    main = "ndcg@10"

    def __init__(self, *, depth: Annotated[int, Field(ge=100)]) -> None:
        super().__init__(depth=depth)
