import random
from pathlib import Path

import pytest
import torch
import yaml

from pipeline.encoder.encoder import Encoder
from pipeline.protein.audit.chains import Chains
from pipeline.protein.audit.shared import Stretches
from pipeline.protein.encoder.esm_scratch import EsmScratchBackbone
from pipeline.protein.model import AffinityModel
from pipeline.protein.split.mmseqs import Mmseqs
from tests.protein.relatives import families

CONF = Path(__file__).parents[2] / "conf"
NODES = {"load": {"_target_": "pipeline.protein.model.load"}, "merge": {"_target_": "pipeline.protein.beside.Beside"}}
HEAD = yaml.safe_load((CONF / "head/convbert.yaml").read_text())
SEARCH = {"sensitivity": 7.5, "identity": 0.25, "evalue": 10.0, "collapse": 0.5, "threads": 1, "binary": None}
ARCHITECTURES = {file.stem: yaml.safe_load(file.read_text()) for file in sorted((CONF / "architecture").glob("*.yaml"))}


@pytest.fixture
def encoder():
    def made(adapter=None, *, width=16):
        torch.manual_seed(0)
        model = EsmScratchBackbone(width=width, layers=2, heads=2, intermediate=32, dropout=0.0)([])
        return Encoder(model, max_length_tokens=64, adapter=adapter)

    return made


@pytest.fixture(params=[*ARCHITECTURES])
def architecture(request):
    return ARCHITECTURES[request.param]


@pytest.fixture
def model(encoder):
    """Weights are enlarged: as they begin, they hardly tell two complexes apart."""

    def made(architecture, head=HEAD, adapter=None):
        torch.manual_seed(1)
        found = AffinityModel(
            encoder(adapter), {**NODES, "architecture": architecture, "head": head}, max_length_tokens=64, control=None
        )
        with torch.no_grad():
            for weight in found.parameters():
                weight.add_(0.2 * torch.randn(weight.shape))
        return found.eval()

    return made


@pytest.fixture(scope="session")
def rows():
    return families(random.Random(0))


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
