"""Rows that a step of curation left out, as columns; `pipeline.corpus.files.dropped_row` says the same of one row."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from pipeline.corpus.files import Dropped
from pipeline.corpus.records import Records, Rows, compute, written_out

DroppedRows = Records[Dropped]


def dropped_rows(
    corpus: str,
    rows: Rows,
    reasons: str | Sequence[str],
    details: Sequence[str] | None = None,
    *,
    twins: Rows | None = None,
    similarity: Float[np.ndarray, " N"] | None = None,
) -> DroppedRows:
    """``rows`` as left out, each with its reason. ``twins``: the row that stays instead of each, whose ids are the detail unless one is
    given. ``similarity`` None: 1, where there are twins."""
    same = (
        pa.repeat(pa.scalar(reasons, pa.large_string()), len(rows))
        if isinstance(reasons, str)
        else pa.array(reasons, pa.large_string())
    )
    columns = {
        "corpus": pa.repeat(pa.scalar(corpus, pa.large_string()), len(rows)),
        "task": rows.columns["task"],
        "reason": same,
        "query": written_out(rows.columns["query"]),
        "document": written_out(rows.columns["document"]),
    }
    if twins is None:
        nothing = pa.nulls(len(rows), pa.large_string())
        columns |= {"detail": pa.array(details or [""] * len(rows), pa.large_string())}
        columns |= {"twin_query": nothing, "twin_document": nothing, "similarity": pa.nulls(len(rows), pa.float64())}
    else:
        ids = compute.binary_join_element_wise(
            twins.columns["query_id"], twins.columns["document_id"], pa.scalar(" | ", pa.large_string())
        )
        columns |= {"detail": ids if details is None else pa.array(details, pa.large_string())}
        columns |= {f"twin_{side}": written_out(twins.columns[side]) for side in ("query", "document")}
        columns |= {"similarity": pa.array(np.ones(len(rows)) if similarity is None else similarity, pa.float64())}
    return Records(Dropped, columns)
