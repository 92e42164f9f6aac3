"""Every claim has a result file, complete and made by the code that stands here; docs quote such files only."""

import json
import re
from pathlib import Path

import pytest

from tests.claim.written import FIELDS, FOLDER, Claim, hash_of, verdict

HERE = Path(__file__).parent / "claim"
NAMES = sorted(file.stem.removeprefix("test_") for file in HERE.glob("test_*.py"))


def test_each_claim_has_a_file_and_each_file_a_claim():
    assert sorted(file.stem for file in FOLDER.glob("*.json")) == NAMES
    assert NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_result_is_complete_and_of_todays_code(name):
    found = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    assert set(FIELDS) <= set(found)
    assert len(found["seeds"]) >= 3
    assert {len(scores) for scores in found["arms"].values()} == {len(found["seeds"])}
    difference = {key: found["difference"][key] for key in ("value", "low", "high", "p")}
    assert difference["low"] <= difference["value"] <= difference["high"]
    assert found["verdict"] == verdict(Claim(**difference))
    assert found["control"]["low"] <= 0
    assert found["code"] == hash_of(found["about"]), f"what {name} is about has changed: make claims"


def test_what_a_claim_is_about_is_known(tmp_path):
    for name in NAMES:
        listed = re.search(r"^ABOUT = \((.*?)\)", (HERE / f"test_{name}.py").read_text(encoding="utf-8"), re.S | re.M)
        assert listed
        about = re.findall(r'"(.*?)"', listed[1])
        assert about == json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))["about"]
        assert hash_of(about) != hash_of([])


def test_verdicts():
    assert [verdict(Claim(v, low, high, 0.5)) for v, low, high in ((1, 0.5, 2), (-1, -2, -0.5), (0, -1, 1))] == [
        "holds",
        "reversed",
        "open",
    ]
