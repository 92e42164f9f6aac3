"""The tensors that objectives see."""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, slots=True)
class EmbeddedPairs:
    """Representations of one global batch of a single task, the same on every process.

    Rows have unit length. ``positive[i]`` holds the rows of ``document`` that answer query ``i``, the main one first, and
    ``negative[i]`` those mined for it; -1 where a query has fewer. All other rows of ``document`` are its in-batch negatives, but for
    those that read like it or like one of its positives, or are known to belong to it (`pipeline.objective.negatives`).

    ``query_text`` and ``document_text`` are hashes of the token ids that the encoder reads, so equal numbers are equal inputs.
    ``known`` holds pairs of such hashes that belong together by a row of the corpus, whether that row is in the batch or not: each pair
    both ways round, by rising first hash.

    ``anchors`` are the queries that this process answers for: an objective that is a mean over queries returns the mean over
    these alone, one that looks at the whole batch (a correlation, say) returns the loss of the whole batch. The mean of what the
    processes return is the loss of the global batch, and so are the gradients: gathering sums them, the strategy averages.

    ``slow`` holds one side of the task in the whole batch, without dropout; None where no objective asks for it, and in evaluation.
    """

    query: Float[Tensor, "B D"]
    document: Float[Tensor, "N D"]
    positive: Int[Tensor, "B P"]
    negative: Int[Tensor, "B H"]  # H may be 0
    query_text: Int[Tensor, " B"]
    document_text: Int[Tensor, " N"]
    known: Int[Tensor, "E 2"]
    anchors: slice
    score: Float[Tensor, " B"] | None = None  # graded similarity, None where the task has none
    teacher: Float[Tensor, "B C"] | None = None  # a teacher's scores of the main positive and of each mined negative, C = 1 + H
    own_alone: bool = False  # a query has no negatives but those mined for it: nothing else in the batch is one
    progress: float = 0.0  # share of the training that is done
    rows_at_once: int = 4096  # anchors whose similarities are held at a time; less memory, same loss
    layers: tuple[
        tuple[Float[Tensor, "B D"], Float[Tensor, "N D"]], ...
    ] = ()  # (query, document) after each block, if asked for
    slow: tuple[Float[Tensor, "M D"], Int[Tensor, " M"]] | None = None  # vectors by a slow copy of the encoder, and text hashes
