"""What tests of several folders share."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def stand_in() -> SimpleNamespace:
    """tests/stand_in.py: dvc.yaml as data."""
    return SimpleNamespace(**runpy.run_path(str(ROOT / "tests/stand_in.py")))
