import pytest

from pipeline.protein.split.alignment import aligned

CORE = "WHWHWH"  # a match gives 11 or 8, a gap costs 11


@pytest.mark.parametrize(
    ("left", "right", "same", "columns", "residues"),
    [
        (CORE, CORE, 6, 6, (6, 6)),
        ("GGGG" + CORE, CORE + "PPPPPPP", 6, 6, (6, 6)),  # what hangs over is no part of the alignment
        (CORE + CORE, CORE + "A" + CORE, 12, 13, (12, 13)),  # a gap is a column
        ("GG" + CORE + "A" + CORE, CORE + CORE + "PPP", 12, 13, (13, 12)),
        (CORE + "D" + CORE, CORE + "E" + CORE, 12, 13, (13, 13)),
    ],
)
def test_identity_is_the_share_of_equal_columns_of_the_local_alignment(left, right, same, columns, residues):
    found = aligned(left, right)
    assert found.identity == pytest.approx(same / columns)
    assert found.residues == residues
    assert [len(line) for line in found.lines] == [columns, columns]
