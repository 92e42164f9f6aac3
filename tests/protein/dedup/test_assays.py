import math

import pytest

from pipeline.corpus.row import Row
from pipeline.protein.dedup.assays import LESSER, REPEATED, Assays
from pipeline.protein.filter.residues import Residues

VALUES = {"priority": ["SPR", "ITC"], "average": "kd", "any_order": True, "max_spread": 0.5, "conflicts": "average"}


def row(ligand, receptor, score, assay):
    return Row("affinity", ligand, ligand, receptor, receptor, score, strata=f"assay={assay}")


def resolved(*rows, **changes):
    kept, dropped = Assays(**(VALUES | changes))("corpus", list(rows), str)
    return kept, [one.reason for one in dropped]


def test_the_best_assay_counts_and_its_kd_are_averaged():
    kept, reasons = resolved(row("AC", "DE", 5.0, "ITC"), row("AC", "DE", 9.0, "SPR"), row("AC", "DE", 9.2, "SPR"))
    assert [one.score for one in kept] == pytest.approx([-math.log10((10**-9.0 + 10**-9.2) / 2)])
    assert reasons == [LESSER, REPEATED]


def test_sides_and_chains_in_another_order_are_the_same_complex_unless_told_otherwise():
    rows = row("AC:GH", "DE", 5.0, "ITC"), row("DE", "GH:AC", 5.0, "ITC")
    assert [len(resolved(*rows, any_order=flag)[0]) for flag in (True, False)] == [1, 2]


def test_a_conflict_is_named_and_may_let_the_complex_go():
    rows = row("AC", "DE", 5.0, "SPR"), row("AC", "DE", 7.0, "SPR")
    kept, reasons = resolved(*rows)
    assert (len(kept), reasons) == (1, [f"{REPEATED}, pKd apart by more than 0.5"])
    kept, reasons = resolved(*rows, conflicts="drop")
    assert (len(kept), len(reasons)) == (0, 2)


def test_residues_chains_and_lengths_are_judged():
    judge = Residues(alphabet="ACDE", min_residues=2, max_residues=6)
    texts = [("AC", "DE"), ("AC:A", "DE"), ("AW", "DE"), ("AC:", "DE"), ("ACAC", "DED")]
    reasons = [one and one.reason for one in judge([row(*sides, 1.0, "SPR") for sides in texts])]
    assert reasons == [
        None, "chain under 2 residues", "residues outside the alphabet", "empty chain", "complex over 6 residues"
    ]  # fmt: skip
