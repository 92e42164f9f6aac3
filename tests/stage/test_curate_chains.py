"""compose, ingest and curate of protein corpora, on made tables of the published columns."""

import random
import shutil

import pytest
import yaml

from pipeline.checkpoint import read_json
from pipeline.corpus.files import Dropped, read
from pipeline.corpus.row import SPLITS, Document, Row

LETTERS = "ACDEFGHIKLMNPQRSTVWY"
HEADER = (
    *("Source Data Set", "PDB", "Mutations", "Ligand Chains", "Receptor Chains", "Ligand Sequences", "Receptor Sequences"),
    *("KD(M)", "Affinity Method", "Subgroup"),
)
NUM_FAMILIES = 12
SET = {"ingest.max_rejected": 0.2, "runtime": {"accelerator": "cpu", "threads": 1, "tracker": "disabled", "mirror": None}}


def chain(draw, length=60):
    return "".join(draw.choices(LETTERS, k=length))


def good():
    """Twelve families of three complexes: one ligand with 9 in 10 residues kept, three receptors that nothing is related to."""
    draw = random.Random(0)
    found = []
    for family in range(NUM_FAMILIES):
        parent = chain(draw)
        for k in range(3):
            ligand = "".join(residue if draw.random() < 0.9 else draw.choice(LETTERS) for residue in parent)
            found.append(
                [
                    "SKEMPI v2",
                    f"{family % 9 + 1}{LETTERS[family]}X{LETTERS[k]}",
                    "",
                    "A",
                    "B",
                    ligand,
                    chain(draw),
                    1e-8,
                    "SPR",
                    "x",
                ]
            )
    return found


def bad(rows):
    """A record for each way to go before the split, with what its reason begins with."""
    again, lesser, apart = (list(rows[k]) for k in (0, 1, 2))
    lesser[8], lesser[7], apart[7] = "ITC", 1e-3, 1e-6
    other = ["SAbDab", "9ZZZ", "", "A", "B", rows[3][5], rows[4][6], 1e-8, "SPR", "x"]

    def but(**changes):
        return [changes.get(name, value) for name, value in zip("abcdefghij", other, strict=True)]

    return [
        (but(f=f"{rows[0][5]},"), "not readable"),  # a chain missing
        (but(h=0), "not readable"),
        (but(h=50), "not readable"),  # nM, not M
        (but(e="A"), "not readable"),  # one chain on both sides
        (but(g="B" * 60), "residues outside the alphabet"),
        (but(g="A" * 39), "chain under 40 residues"),
        (again, "complex measured again"),
        (lesser, "complex measured again, by a lesser assay"),
        (apart, "complex measured again, pKd apart by more than 0.5"),
    ]


@pytest.fixture
def workspace(root, tmp_path):
    """Makes a folder with the protein page and a table of ``records``; ``changes`` of the page's ``set``."""

    def made(records, **changes):
        shutil.copytree(root / "conf", tmp_path / "conf")
        for name in ("constraints.txt", "dvc.yaml"):
            shutil.copy(root / name, tmp_path)
        page = yaml.safe_load((root / "conf/page/ppb_affinity.yaml").read_text()) | {"set": SET | changes}
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(page, sort_keys=False))
        (tmp_path / "data/source").mkdir(parents=True)
        lines = [",".join(f'"{value}"' for value in record) for record in (HEADER, *records)]
        (tmp_path / "data/source/ppb_affinity.csv").write_text("\n".join(lines) + "\n")
        return tmp_path

    return made


@pytest.fixture(autouse=True)
def no_mirror(monkeypatch):
    monkeypatch.delenv("TRIBUTARY_DATA", raising=False)


def test_the_funnel_of_the_published_table_names_every_drop(workspace, run):
    rows = good()
    faults = bad(rows)
    folder = workspace([*rows, *(record for record, _ in faults)])
    for stage in ("compose", "ingest", "curate"):
        assert run(folder, stage) == 0
    curated = folder / "data/curated/ppb_affinity"
    card = read_json(curated / "card.json")
    assert card["funnel"] == [["read", 45], ["readable", 41], ["fit", 39], ["different", 36], ["kept", 36]]
    dropped = read(curated / "dropped.parquet", Dropped)
    assert sorted(row.reason for row in dropped) == sorted(reason for _, reason in faults)
    told = "\n".join(row.detail for row in dropped if row.reason == "not readable")
    for part in ("empty chain", "KD must be above 0, got 0", "is the unit right?", "A stands on both sides"):
        assert part in told
    kept = {split: read(curated / f"{split}.parquet", Row) for split in SPLITS}
    scores = {row.group: row.score for of in kept.values() for row in of}
    assert scores[rows[1][1].lower()] == pytest.approx(8)  # SPR alone
    assert scores[rows[2][1].lower()] == pytest.approx(6.297, abs=1e-3)  # the mean of 1e-8 and 1e-6 is 5.05e-7
    # No family stands in two splits; the random deal of the same rows tears some apart, and says how many.
    families = {split: {row.group[:-1] for row in of} for split, of in kept.items()}
    assert families["train"].isdisjoint(families["test"] | families["validation"])
    again = {split: read(curated / f"controls/random/{split}.parquet", Row) for split in SPLITS}
    assert sorted(row.query_id for of in again.values() for row in of) == sorted(
        row.query_id for of in kept.values() for row in of
    )
    leakage = read_json(folder / "data/curated/leakage.json")
    assert leakage["test in train"]["num_leaks"] == leakage["validation in train"]["num_leaks"] == 0
    own = {row.group[:-1] for row in again["train"]}
    near = [row for row in again["test"] if row.group[:-1] in own]
    assert near
    counts = leakage["test in train, dealt by random"]
    assert (counts["rows"], counts["groups"], counts["chains"]) == (4, 4, 8)
    assert counts["rows_near"] == counts["groups_near"] == counts["chains_near"] == len(near)
    assert card["controls"]["test in train, dealt by random"] == counts
    # Nothing is shared in part by the split; by the random deal, what families share.
    assert card["compared"]["test in train"] == "chains"
    own_parts, dealt_parts = leakage["test in train"]["stretches"], counts["stretches"]
    assert card["stretches"]["test in train"] == own_parts
    assert own_parts["of"] == {"rows": 3, "groups": 3, "chains": 6}
    assert own_parts["residues_in_a_row"]["30"] == {"rows": 0, "groups": 0, "chains": 0}
    assert own_parts["alignments"]["rows"] == own_parts["alignments"]["by_chance"]["rows"] == 0
    assert own_parts["longest"] < 30
    assert dealt_parts["alignments"]["rows"] == len(near)
    assert isinstance(leakage["test in train"]["looked"]["pairs_found_by_mmseqs2"], int)


def test_the_published_split_has_its_leaks_counted_beside(workspace, run):
    folder = workspace(good())
    for stage in ("compose", "ingest", "curate"):
        assert run(folder, stage) == 0
    paper = {split: read(folder / f"data/curated/ppb_affinity/controls/paper/{split}.parquet", Row) for split in SPLITS}
    assert sum(map(len, paper.values())) == 36
    own = {row.group[:-1] for row in paper["train"]}
    counts = read_json(folder / "data/curated/leakage.json")["test in train, dealt by paper"]
    assert counts["chains_near"] == sum(row.group[:-1] in own for row in paper["test"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"related.identity": 30}, "identity are shares, got 0.75 and 30; write 0.30 for 30 percent"),
        ({"curate.split.search.binary": "/nowhere/mmseqs"}, "MMseqs2 cannot be run"),
        (
            {"curate.split.search.binary": "/bin/false"},
            "MMseqs2 failed: `/bin/false easy-cluster` ended with status 1, expected 0",
        ),
    ],
)
def test_a_curation_that_cannot_be_done_says_why_and_leaves_nothing(workspace, run, capsys, changes, message):
    folder = workspace(good(), **changes)
    statuses = [run(folder, stage) for stage in ("compose", "ingest", "curate")]
    assert statuses[-1] == 1
    assert message in capsys.readouterr().err
    assert not (folder / "data/curated").exists()
    assert [path.name for path in (folder / "data").iterdir() if path.name.startswith(".")] == []


def test_two_sequences_under_one_id_stop_ingest_and_leave_nothing(workspace, run, capsys):
    rows = good()
    rows[1][0] = rows[0][0] = "one name"
    for k, row in enumerate(rows[2:]):
        row[0] = f"name {k}"
    folder = workspace(rows, **{"ingest.max_rejected": 0.0})
    corpus = folder / "conf/corpus/ppb_affinity.yaml"
    corpus.write_text(
        corpus.read_text().replace("    assay: Affinity Method\n", "    assay: Affinity Method\n    id: Source Data Set\n")
    )
    assert [run(folder, stage) for stage in ("compose", "ingest")] == [0, 1]
    told = capsys.readouterr().err
    assert "ppb_affinity.csv:3: id 'one name' stands for different sequences" in told
    assert not (folder / "data/raw").exists()


def test_pairs_that_bind_and_loose_chains_are_dealt_by_the_same_split(workspace, run):
    """Yeast's columns and a FASTA file of chains, with affinities beside them."""
    folder = workspace(good())
    source, draw = folder / "data/source", random.Random(1)
    names = [f"P{k}" for k in range(30)]
    (source / "yeast_ppi.fasta").write_text("".join(f">{name}\n{chain(draw)}\n" for name in names))
    pairs = [f"{names[2 * k]}\t{names[2 * k + 1]}\t{int(k % 3 > 0)}\n" for k in range(15)]
    (source / "yeast_ppi.pairs.tsv").write_text("protein_1\tprotein_2\tinteracts\n" + "".join(pairs))
    (source / "loose.fasta").write_text("".join(f">L{k}\n{chain(draw)}\n" for k in range(5)))
    page = yaml.safe_load((folder / "params.yaml").read_text())
    page["corpora"] = {"loose": {"source": "fasta", "path": "data/source/loose.fasta"}}
    (folder / "params.yaml").write_text(yaml.safe_dump(page, sort_keys=False))
    experiment = folder / "conf/experiment/ppb_affinity.yaml"
    experiment.write_text(experiment.read_text().replace("corpora: [ppb_affinity]", "corpora: [ppb_affinity, yeast_ppi]"))
    for stage in ("compose", "ingest", "curate"):
        assert run(folder, stage) == 0
    curated = folder / "data/curated"
    bound = [row for split in SPLITS for row in read(curated / f"yeast_ppi/{split}.parquet", Row)]
    assert sorted(row.query_id for row in bound) == sorted(names[2 * k] for k in range(15) if k % 3)
    assert len(read(curated / "loose/documents.parquet", Document)) == 5
    assert read_json(curated / "leakage.json")["test in train"]["num_leaks"] == 0


def test_mutants_made_from_their_wild_types_go_through_curation(workspace, run):
    """SKEMPI's columns; one mutation contradicts its wild type."""
    rows = good()
    folder = workspace(rows)
    lines = ["complex\tpdb\tmutations\tseq_1_wt\tseq_2_wt\tpkd_mut\tmethod"]
    for k, row in enumerate(rows):
        mutation = f"{row[5][4]}E5{'G' if row[5][4] != 'G' else 'A'}" if k else f"{'W' if row[5][4] != 'W' else 'Y'}E5G"
        lines.append(f"{row[1]}_E_I\t{row[1]}\t{mutation}\t{row[5]}\t{row[6]}\t7.5\tITC")
    (folder / "data/source/skempi.tsv").write_text("\n".join(lines) + "\n")
    experiment = folder / "conf/experiment/ppb_affinity.yaml"
    experiment.write_text(experiment.read_text().replace("corpora: [ppb_affinity]", "corpora: [skempi]"))
    for stage in ("compose", "ingest", "curate"):
        assert run(folder, stage) == 0
    curated = folder / "data/curated/skempi"
    (dropped,) = read(curated / "dropped.parquet", Dropped)
    assert dropped.reason == "not readable"
    found = {row.group: row for split in SPLITS for row in read(curated / f"{split}.parquet", Row)}
    assert len(found) == 35
    wild, mutant = rows[1][5], found[rows[1][1].lower()]
    assert [k for k, (a, b) in enumerate(zip(wild, mutant.query, strict=True)) if a != b] == [4]
    assert "mutated=yes" in mutant.strata
