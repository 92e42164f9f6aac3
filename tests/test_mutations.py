"""The list of planted faults fits the tree; `python benchmarks/mutations.py` plants them."""

import runpy
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[1] / "benchmarks/mutations.py"


@pytest.fixture(scope="module")
def program():
    return runpy.run_path(str(PROGRAM))


def test_every_fault_has_its_place_in_the_code_and_its_tests(program):
    assert program["faults_of_the_list"](program["MUTATIONS"]) == []


def test_a_place_or_a_test_that_is_gone_is_told(program):
    one = program["MUTATIONS"][0]
    file = one.tests[0].partition("::")[0]
    gone = one._replace(old="no such text"), one._replace(name="other", tests=("tests/test_none.py", f"{file}::test_none"))
    told = program["faults_of_the_list"](gone)
    for part, line in zip(["found it 0 times", "no tests/test_none.py", f"no {file}::test_none"], told, strict=True):
        assert part in line


def test_the_table_is_of_these_faults(program):
    rows = [
        line.split(" | ") for line in PROGRAM.with_suffix(".md").read_text(encoding="utf-8").splitlines() if line[:2] == "| "
    ]
    listed = [(f"| {one.name}", one.file.removeprefix("pipeline/")) for one in program["MUTATIONS"]]
    assert [tuple(row[:2]) for row in rows[1:]] == listed
