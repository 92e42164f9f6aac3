import os

import pytest

from tests.claim.arms import Rows, real_rows


@pytest.fixture(scope="session")
def rows() -> Rows:
    root = os.environ.get("TRIBUTARY_DATA")
    if not root:
        pytest.skip("a claim needs benchmark data: set TRIBUTARY_DATA to the folder that holds medquad and stsb")
    return real_rows(root)
