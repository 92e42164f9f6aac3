import pytest

from pipeline.corpus.docstring import Mention, Prose
from pipeline.corpus.documented import Documented


@pytest.fixture
def documented():
    """A public object of a module: ``documented("pack.signal", "smooth(x)", "What it does.", see_also=[("hann", "")])``."""

    def made(module, signature, summary, *, see_also=(), shown=(), code=()):
        prose = Prose(summary, see_also=tuple(Mention(*each) for each in see_also), shown=tuple(shown), code=tuple(code))
        family = ".".join(module.split(".")[:2])
        return Documented(f"{module}.{signature.partition('(')[0]}", module, family, signature, prose)

    return made
