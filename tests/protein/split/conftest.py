import pytest

from pipeline.protein.split.chains import Chains
from pipeline.protein.split.mmseqs import Mmseqs
from pipeline.protein.split.shared import Stretches

SEARCH = {"sensitivity": 7.5, "identity": 0.25, "evalue": 10.0, "collapse": 0.5, "threads": 1, "binary": None}


@pytest.fixture(scope="session")
def mmseqs():
    """Makes the search, as conf/split/identity.yaml has it."""
    return lambda **changes: Mmseqs(**(SEARCH | changes))


@pytest.fixture(scope="session")
def audit(mmseqs):
    """Makes the audit of chains, as conf/audit/chains.yaml has it but for the size of its sample."""

    def made(**changes):
        stretches = Stretches(letters=[30, 60], columns=50, identity=0.3, score=92, forbid="none", workers=1)
        values = {"identity": 0.3, "coverage": 0.8, "coverage_of": "both", "sample": 100, "workers": 1, "max_shown": 3}
        return Chains(**(values | {"search": mmseqs(), "stretches": stretches} | changes))

    return made
