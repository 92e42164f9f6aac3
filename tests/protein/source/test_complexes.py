import openpyxl
import pytest

from pipeline.corpus.row import Rejected, Row
from pipeline.protein.chain import cut, mutated, pkd
from pipeline.protein.source.complexes import Complexes
from pipeline.protein.source.fasta import Fasta
from pipeline.protein.source.ppi import Ppi

PUBLISHED = {
    "ligand": "Ligand Sequences", "receptor": "Receptor Sequences", "ligand_letters": "Ligand Chains",
    "receptor_letters": "Receptor Chains", "affinity": "KD(M)", "group": "PDB", "mutations": "Mutations", "assay": "Affinity Method",
}  # fmt: skip
SETTINGS = {
    "path": "table.csv", "root": None, "fasta": None, "columns": PUBLISHED, "separator": ",", "cuts": None, "unit": "M", "lowest_pkd": 0,
    "highest_pkd": 16, "apply_mutations": False, "drop": "X", "strata": {"source": "Source Data Set"},
    "marks": {"antibody": {"column": "Subgroup", "word": "antibody"}}, "delimiter": None, "quoting": True,
}  # fmt: skip
HEADER = [*PUBLISHED.values(), "Source Data Set", "Subgroup"]
GOOD = ["ACDX", "EFG,HIK", "A", "H, L", 1e-9, "1ABC", "", "SPR", "SAbDab", "Antibody-Antigen"]


def changed(**values):
    return [
        values.get(name.replace(" ", "_").replace("(", "").replace(")", ""), old)
        for name, old in zip(HEADER, GOOD, strict=True)
    ]


@pytest.fixture
def read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def made(*records, **settings):
        lines = [",".join(f'"{value}"' for value in record) for record in (HEADER, *records)]
        (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
        return list(Complexes(**(SETTINGS | settings)).read())

    return made


def test_the_published_columns_become_a_row(read):
    [row] = read(GOOD)
    assert (row.task, row.query, row.document, row.group) == ("affinity", "ACD", "EFG:HIK", "1abc")
    assert row.score == pytest.approx(9)
    assert row.strata == "antibody=yes;assay=SPR;mutated=no;source=SAbDab"


def test_a_workbook_is_read_as_a_table_is(tmp_path, read):
    [expected] = read(GOOD)
    book = openpyxl.Workbook()
    for record in (HEADER, GOOD):
        book.active.append(record)
    book.save(tmp_path / "table.xlsx")
    assert list(Complexes(**(SETTINGS | {"path": "table.xlsx"})).read()) == [expected]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (changed(KDM=0), "KD must be above 0, got 0 M"),
        (changed(KDM=5), "pKd must lie in [0, 16], got -0.70 from 5 M: is the unit right?"),
        (changed(Receptor_Sequences="EFG,"), "empty chain: receptor holds 2 chains, of which 1 are empty"),
        (changed(PDB="1.00E+50"), "has a spreadsheet changed it?"),
        (changed(Receptor_Chains="A, L"), "repeated chain: A stands on both sides"),
    ],
)
def test_what_contradicts_itself_is_rejected_with_the_reason(read, record, reason):
    found, row = read(record, GOOD)
    assert isinstance(found, Rejected)
    assert found.line == 2
    assert reason in found.reason
    assert isinstance(row, Row)


def test_an_id_with_two_different_sequences_is_rejected(read):
    found = read(GOOD, changed(Ligand_Sequences="ACC"), columns=PUBLISHED | {"id": "Source Data Set"})
    assert "id 'SAbDab' stands for different sequences" in found[1].reason


def test_chains_come_from_a_fasta_file_and_mutations_are_made_there(tmp_path, read):
    (tmp_path / "chains.fasta").write_text(">1abc_A\nACDE\n>1ABC_H\nFGH\n>1abc_L\nIKL\n")
    columns = PUBLISHED | {"ligand": None, "receptor": None}
    settings = {"fasta": "chains.fasta", "columns": columns, "apply_mutations": True}
    row, wrong, absent = read(
        changed(Mutations="A_C2W, GH2Y"), changed(Mutations="A_D2W"), changed(Receptor_Chains="H, Z"), **settings
    )
    assert (row.query, row.document) == ("AWDE", "FYH:IKL")
    assert "mutated=yes" in row.strata
    assert "mutation contradicts the wild type: A_D2W, but residue 2 of A is C" in wrong.reason
    assert "missing chain: 1abc_Z" in absent.reason


def test_units_agree():
    assert pkd(1.0, "nM", lowest=0, highest=16) == pytest.approx(9)
    assert pkd(9.0, "pkd", lowest=0, highest=16) == 9
    with pytest.raises(ValueError, match="unit must be one of"):
        pkd(1.0, "nmol", lowest=0, highest=16)


def test_several_mutations_of_one_chain_are_checked_against_the_wild_type():
    assert mutated({"I": "ACDEF"}, "AI1W,EI4K") == {"I": "WCDKF"}
    with pytest.raises(ValueError, match="has 5 residues"):
        mutated({"I": "ACDEF"}, "AI9W")


@pytest.mark.parametrize(("task", "num"), [("partners", 1), ("pair_classification", 2)])
def test_pairs_of_proteins_bind_or_do_not(tmp_path, monkeypatch, task, num):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pairs.tsv").write_text("a\tb\tbinds\nP\tQ\t1\nQ\tP\t0\nP\tR\t1\n")
    (tmp_path / "chains.fasta").write_text(">P\nACD\n>Q\nEFG\n")
    columns = {"protein1": "a", "protein2": "b", "binds": "binds"}
    found = list(Ppi(path="pairs.tsv", fasta="chains.fasta", root=None, columns=columns, task=task, delimiter=None).read())
    assert len(found) == num + 1
    assert isinstance(found[-1], Rejected)


MARKED = {"path": "marked.csv", "group": "pdb", "sides": ["one", "two"], "separator": ":"}


def chains_stratum(row):
    return dict(part.split("=") for part in row.strata.split(";")).get("chains")


def test_joined_sides_are_cut_where_another_table_marks_the_same_chains_of_the_same_entry(tmp_path, read):
    (tmp_path / "marked.csv").write_text("pdb,one,two\n1ABC,aCD,EFG:HIK\n1ABC,WCD,EFG:HIK\n2XYZ,ACD,KKK:LLL\n")
    rows = read(
        changed(Ligand_Sequences="ACD", Receptor_Sequences="EFGHIK"),
        changed(Ligand_Sequences="WCD", Receptor_Sequences="HIKEFG"),  # a mutant, and the other order
        changed(Ligand_Sequences="ACD", Receptor_Sequences="EFGHIL"),  # one letter apart
        changed(Ligand_Sequences="ACD", Receptor_Sequences="KKKLLL"),  # chains of another entry
        separator="", cuts=MARKED, columns=PUBLISHED | {"ligand_letters": None, "receptor_letters": None},
    )  # fmt: skip
    assert [(row.query, row.document) for row in rows] == [
        ("ACD", "EFG:HIK"), ("WCD", "HIK:EFG"), ("ACD", "EFGHIL"), ("ACD", "KKKLLL"),
    ]  # fmt: skip
    assert [chains_stratum(row) for row in rows] == ["marked", "marked", "joined", "joined"]


def test_a_side_that_could_be_cut_in_two_ways_stays_whole():
    assert cut("ACDEF", ["ACD", "EF", "AC", "GGG"]) == ("ACD", "EF")
    assert cut("ACDEF", ["ACD", "EF", "AC", "DEF"]) is None
    assert cut("ACDACD", ["ACD"]) == ("ACD", "ACD")
    assert cut("ACDE", ["ACD"]) is cut("ACD", []) is None
    assert cut("A" * 60, ["A", "AA"]) is None  # too many ways to try them one by one


def test_lengths_tell_where_a_joined_side_is_cut(read):
    columns = PUBLISHED | {
        "ligand_lengths": "Mutations",
        "receptor_lengths": "Affinity Method",
        "mutations": None,
        "assay": None,
    }
    columns |= {"ligand_letters": None, "receptor_letters": None}
    row, wrong = read(
        changed(Ligand_Sequences="ACDE", Receptor_Sequences="EFGHIK", Mutations="4", Affinity_Method="2, 4"),
        changed(Ligand_Sequences="ACDE", Receptor_Sequences="EFGHIK", Mutations="4", Affinity_Method="2, 3"),
        separator="", columns=columns,
    )  # fmt: skip
    assert (row.query, row.document, chains_stratum(row)) == ("ACDE", "EF:GHIK", "marked")
    assert "chains of 2, 3 residues are 5 in all, but the side has 6" in wrong.reason


def test_a_side_of_several_letters_and_one_text_is_told_as_joined(read):
    joined, plain = read(changed(Receptor_Sequences="EFGHIK"), GOOD)
    assert chains_stratum(joined) == "joined"
    assert chains_stratum(plain) is None  # a separator marks all chains


def test_cuts_and_a_separator_contradict_each_other(read):
    with pytest.raises(ValueError, match="cuts are for sides that are joined without a mark"):
        read(GOOD, cuts=MARKED)


def test_every_source_of_chains_gives_upper_case_without_white_space(tmp_path, read):
    """A mutant written in small letters is its wild type's relative, and one chain in two spellings is one."""
    (tmp_path / "chains.fasta").write_text(">1abc_A one\nac\nDe\n>1abc_H\nfgh\n>1abc_L\nikl\n")
    (tmp_path / "pairs.tsv").write_text("a\tb\tbinds\n1abc_A\t1abc_H\t1\n")
    columns = PUBLISHED | {"ligand": None, "receptor": None}
    (of_fasta,) = read(GOOD, fasta="chains.fasta", columns=columns)
    (of_table,) = read(changed(Ligand_Sequences="acDe", Receptor_Sequences="fgh, ik l"))
    assert (of_fasta.query, of_fasta.document) == (of_table.query, of_table.document) == ("ACDE", "FGH:IKL")
    binds = {"protein1": "a", "protein2": "b", "binds": "binds"}
    settings = {"path": "pairs.tsv", "fasta": "chains.fasta", "root": None, "task": "partners", "delimiter": None}
    (pair,) = Ppi(columns=binds, **settings).read()
    assert (pair.query, pair.document) == ("ACDE", "FGH")
    assert [one.document for one in Fasta(path="chains.fasta", root=None).read()] == ["ACDE", "FGH", "IKL"]
