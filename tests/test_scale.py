"""`benchmarks/scale.py`: its table holds what it says, and its summary takes the start of a process off."""

import pyarrow.parquet as pq
import pytest

from benchmarks.scale import make, summary


def test_the_table_holds_repeats_near_pairs_shared_documents_and_rows_without_a_text(tmp_path):
    make(tmp_path / "pairs.parquet", 2_000, "parquet")
    rows = pq.read_table(tmp_path / "pairs.parquet").to_pylist()
    pairs = [(row["query"], row["document"]) for row in rows if row["document"].strip()]
    cut = [tuple(text.rpartition(" ")[0] for text in pair) for pair in pairs]
    documents = {document for _, document in set(pairs)}
    assert len(rows) == 2_000
    assert 0.03 < 1 - len(set(pairs)) / len(rows) < 0.08
    assert 0.10 < 1 - len(set(cut)) / len(rows) < 0.22
    assert 0.01 < 1 - len(documents) / len(set(pairs)) < 0.05
    assert 0 < sum(not row["document"].strip() for row in rows) < 10


def test_an_exponent_is_of_what_the_rows_cost_themselves():
    def run(rows):
        used = {"wall_seconds": 3 + rows / 1e5, "cpu_seconds": 2 + (rows - 1_000) ** 1.5 / 1e6, "peak_bytes": 4e8 + 500 * rows}
        return {"rows": rows, "ingest": used, "curate": used}

    least, small, large = summary([run(rows) for rows in (1_000, 11_000, 101_000)])["curate"]
    assert "exponent" not in small
    assert large["exponent"] == pytest.approx(1.5, abs=0.02)
    assert large["bytes_per_further_row"] == pytest.approx(500)
    assert least["rows_per_second"] == pytest.approx(1_000 / 3.01, rel=1e-3)
