import inspect
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

from pipeline.corpus.docstring import parsed_docstring, plain, sentences
from pipeline.corpus.documented import family, public_module
from pipeline.corpus.row import Rejected, Row
from pipeline.source.apidocs import ApiDocs

CONF = Path(__file__).parents[2] / "conf/source/apidocs.yaml"
SETTINGS = {
    "packages": {"tinypack": "1.5"},
    "deep_families": [],
    "skip": ["tests"],
    "min_summary_words": 3,
    "max_words": 50,
    "max_repeats": 10,
    "questions": {"said": 2, "shown": 2, "code": 1},
    "min_question_words": 4,
    "max_shared": 0.5,
    "tolerance": 1.0,
    "processes": 1,
}

# tinypack.signal: one family of three files. _filters is private, shown by name; windows and shapes are public.
FILES = {
    "__init__.py": "raise RuntimeError('a source must never import the package it reads')",
    "signal/__init__.py": "from ._filters import smooth, Filter\nfrom ._listed import *\n",
    "signal/_filters.py": '''
def smooth(x: list, width=3, *, mode: str = "same"):
    """Smooth a series of values.

    Every value is replaced by the mean of those around it, so that noise gets small.

    Parameters
    ----------
    x : list
        Not part of the description.

    See Also
    --------
    sharpen : The opposite, told
        over two lines.
    Filter.apply, windows.hann

    Notes
    -----
    smaller
    """
    def inner():
        """Functions inside functions are not documented objects."""

def hidden_helper():
    """This one is not shown by the package."""

def _private():
    """This one is private by its name."""

class Filter:
    """Keep the good frequencies. Drop all of the others, which is what a filter is for."""

    def __init__(self, cutoff, order=2):
        pass

    def apply(self, x, axis=-1):
        """Apply the filter to data.

        The data are filtered along one axis and the result has their shape.
        """

    @property
    def order(self):
        """The order of the filter."""

    @classmethod
    def default(cls):
        """Make a filter with defaults."""
''',
    "signal/_listed.py": '''
__all__ = ["sharpen"]

def sharpen(x):
    """Sharpen a series of values."""

def unlisted(x):
    """Not listed, so not public."""
''',
    "signal/windows.py": '''
def hann(length):
    """Return a Hann window.

    The window is a raised cosine that falls to zero at both of its ends.
    """

def flat(length):
    """Return a flat window."""
''',
    "signal/shapes.py": '''
def square(time):
    """Return a square wave."""
''',
    "tests/test_signal.py": '''
def test_it():
    """Tests are skipped by their folder."""
''',
    "broken.py": "def broken(:\n",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package `tinypack` 1.5, with its metadata."""
    site = tmp_path / "site"
    for name, text in FILES.items():
        (site / "tinypack" / name).parent.mkdir(parents=True, exist_ok=True)
        (site / "tinypack" / name).write_text(text)
    (site / "tiny_pack-1.5.dist-info").mkdir()
    (site / "tiny_pack-1.5.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: tiny-pack\nVersion: 1.5\n")
    (site / "tiny_pack-1.5.dist-info/top_level.txt").write_text("tinypack\n")
    monkeypatch.syspath_prepend(site)
    return site / "tinypack"


def read(**changes):
    return list(ApiDocs(**(SETTINGS | changes)).read())


def of_task(records, task):
    return [record for record in records if isinstance(record, Row) and record.task == task]


# Docstrings


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("See :func:`~scipy.fft.rfft` and :class:`Axes`.", "See scipy.fft.rfft and Axes."),
        ("The :ref:`User Guide <guide>` and `a page <https://a.b>`_.", "The User Guide and a page."),
        ("``x`` is *not* `y` [1]_,\n   **ever**", "x is not y, ever"),
        ("f(*args, **kwargs) gives a * b * c", "f(*args, **kwargs) gives a * b * c"),
    ],
)
def test_markup_is_taken_off_and_white_space_collapsed(markup, text):
    assert plain(markup) == text


def test_sentences_do_not_end_after_an_abbreviation():
    assert sentences("Filter data, e.g. Sounds. See Fig. 3 for it! So what") == [
        "Filter data, e.g. Sounds.",
        "See Fig. 3 for it!",
        "So what",
    ]


def test_only_prose_before_the_first_section_is_kept():
    prose = parsed_docstring(
        """smooth(x) -> list

Smooth the data. It has a second sentence.

.. versionadded:: 1.2
   With a note.

A formula follows::

    y = x

.. math:: x

>>> smooth([1])
[1]

| a | table |

The last paragraph.

Args:
    x: the data

Not prose any more.
"""
    )
    assert prose.summary == "Smooth the data."
    assert prose.description == ("It has a second sentence.", "A formula follows", "The last paragraph.")
    assert prose.see_also == ()
    assert prose.code == ("smooth([1])",)
    assert prose.shown == ()  # a formula stands before the prompt


def test_names_are_read_out_of_see_also_however_they_are_written():
    prose = parsed_docstring(
        """Summary of it.

See Also
--------
one : What it does, or not,
    over two lines.
two, pack.three
:func:`four`, `five` :
six:
    A line of its own.

Notes
-----
seven
"""
    )
    assert prose.see_also == (
        ("one", "What it does, or not, over two lines."),
        ("two", ""),
        ("pack.three", ""),
        ("four", ""),  # words about two objects are about neither
        ("five", ""),
        ("six", "A line of its own."),
    )


def test_what_stands_before_a_prompt_is_shown_and_output_is_not():
    prose = parsed_docstring(
        """Summary of it.

Examples
--------
>>> start()
Some output of it, which reads like prose.

Said in between. Make a table of two
columns:

>>> table(
...     2,
... )
   a  b
0  1  2

1 2 3 4 5 6

>>> table(3)
Without a blank before it:
>>> table(4)

A sentence without an example.
"""
    )
    assert prose.shown == ("Make a table of two columns",)
    assert prose.code == ("start()", "table(", "table(3)", "table(4)")


@pytest.mark.parametrize(
    "example",
    ["Examples\n--------\nTo be written.", "Examples\n--------", "Example::\n\n    x = 1", ">>>", ">>> \n...", "Say so.\n"],
)
def test_an_example_without_code_shows_nothing(example):
    prose = parsed_docstring(f"Summary of it.\n\n{example}")
    assert (prose.shown, prose.code) == ((), ())


@pytest.mark.parametrize(
    "section", ["See Also\n--------", "See Also\n--------\n\n", "See Also\n--------\n    an indented line\n", "See Also"]
)
def test_an_empty_see_also_names_nothing(section):
    assert parsed_docstring(f"Summary of it.\n\n{section}").see_also == ()


@pytest.mark.parametrize("docstring", ["", "   ", "----\n", "Returns\n-------\nx", ">>> x"])
def test_a_docstring_without_prose_gives_empty_texts(docstring):
    assert parsed_docstring(docstring)[:3] == ("", (), ())


# Names


def test_private_parts_are_left_out_of_a_module_path():
    assert public_module("scipy.signal._signaltools") == "scipy.signal"
    assert public_module("numpy._core.fromnumeric") == "numpy"
    assert public_module("networkx.algorithms.dag") == "networkx.algorithms.dag"


def test_a_family_has_two_parts_or_three_below_a_deep_one():
    assert family("scipy.signal.windows", ["torch.nn"]) == "scipy.signal"
    assert family("torch.nn.modules.linear", ["torch.nn"]) == "torch.nn.modules"
    assert family("torch.nnx.modules", ["torch.nn"]) == "torch.nnx"
    assert family("numpy", ["torch.nn"]) == "numpy"


# Records


def test_the_yaml_names_every_argument():
    conf = yaml.safe_load(CONF.read_text())
    assert conf.pop("_target_") == "pipeline.source.apidocs.ApiDocs"
    assert set(conf) == set(inspect.signature(ApiDocs).parameters)
    ApiDocs(**conf)


def test_what_another_object_says_of_it_finds_its_document(package):
    asked = {row.query: row for row in of_task(read(), "retrieval") if "#said" in row.query_id}
    assert list(asked) == ["The opposite, told over two lines."]
    row = asked["The opposite, told over two lines."]
    assert row.document_id == row.thing == "tinypack.signal.sharpen"
    assert (row.document, row.group) == ("Sharpen a series of values.", "tinypack.signal")


def test_packages_speak_of_each_other(package):
    site = package.parent
    (site / "tinytwo").mkdir()
    (site / "tinytwo/__init__.py").write_text(
        """
def blur(x):
    \"\"\"Make an image soft.

    See Also
    --------
    tinypack.signal.sharpen : Gives edges back.
    tinypack.nowhere : Does not exist.
    \"\"\"

def square(time):
    \"\"\"Multiply time by itself.\"\"\"
"""
    )
    (site / "tiny_two-2.0.dist-info").mkdir()
    (site / "tiny_two-2.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: tiny-two\nVersion: 2.0\n")
    (site / "tiny_two-2.0.dist-info/top_level.txt").write_text("tinytwo\n")
    packages = {"tinypack": "1.5", "tinytwo": "2.0"}
    records = read(packages=packages, min_question_words=3)
    (said,) = [row for row in of_task(records, "retrieval") if row.query == "Gives edges back."]
    assert "Gives edges back." not in {row.query for row in of_task(read(packages=packages), "retrieval")}  # too short
    assert (said.query_id, said.group) == ("tinypack.signal.sharpen#said2", "tinypack.signal")
    across = {(row.query_id, row.document_id, row.group) for row in of_task(records, "sts") if "two" in row.document_id}
    assert across == {  # See Also, and two functions called square with a parameter time
        ("tinypack.signal.sharpen#summary", "tinytwo.blur#summary", "tinypack.signal"),
        ("tinypack.signal.shapes.square#summary", "tinytwo.square#summary", "tinypack.signal"),
    }


def test_a_package_without_docstrings_gives_no_rows(package):
    for file in package.rglob("*.py"):
        file.write_text("def public(x):\n    return x\n")
    assert read() == []


def test_only_public_objects_are_read_and_named_without_private_modules(package):
    names = {row.document_id for row in of_task(read(), "weak") + of_task(read(), "retrieval")}
    assert names == {
        "tinypack.signal.Filter",
        "tinypack.signal.Filter.apply",
        "tinypack.signal.Filter.default",
        "tinypack.signal.sharpen",
        "tinypack.signal.smooth",
        "tinypack.signal.shapes.square",
        "tinypack.signal.windows.flat",
        "tinypack.signal.windows.hann",
    }


def test_a_signature_has_no_self_and_no_annotations_and_a_property_has_none(package):
    signatures = {row.query_id.removesuffix("#signature"): row.query for row in of_task(read(), "weak")}
    assert signatures["tinypack.signal.smooth"] == "smooth(x, width=3, *, mode='same')"
    assert signatures["tinypack.signal.Filter"] == "Filter(cutoff, order=2)"
    assert signatures["tinypack.signal.Filter.apply"] == "Filter.apply(x, axis=-1)"
    assert signatures["tinypack.signal.Filter.default"] == "Filter.default()"
    assert "tinypack.signal.Filter.order" not in signatures


def test_a_link_of_the_authors_is_graded_1_and_one_beside_it_that_nobody_made_0(package):
    graded = defaultdict(list)
    for row in of_task(read(), "sts"):
        pair = (name.removeprefix("tinypack.signal.").removesuffix("#summary") for name in (row.query_id, row.document_id))
        graded[row.score].append(tuple(pair))
    # smooth names sharpen (another file), Filter.apply (its own) and windows.hann.
    linked = {("Filter.apply", "smooth"), ("sharpen", "smooth"), ("smooth", "windows.hann")}
    assert set(graded) == {0.0, 1.0}
    assert set(graded[1.0]) <= linked
    assert graded[1.0]
    assert [left for left, _ in graded[0.0]] == [left for left, _ in graded[1.0]]
    neighbours = {"Filter.apply", "sharpen", "windows.hann"}
    for left, right in graded[0.0]:
        assert "smooth" not in (left, right) or neighbours.isdisjoint((left, right))  # not linked
        assert not neighbours.issuperset((left, right))  # both linked to smooth


def test_texts_of_one_id_are_equal_in_every_row_and_of_one_group(package):
    texts, groups = defaultdict(set), defaultdict(set)
    for row in (record for record in read() if isinstance(record, Row)):
        for name, text in ((row.query_id, row.query), (row.document_id, row.document)):
            texts[name].add(text)
            groups[name].add(row.group)
    assert {len(each) for each in texts.values()} == {1}
    assert {len(each) for each in groups.values()} == {1}


def test_short_texts_are_left_out_and_long_ones_cut(package):
    documents = {row.thing: row.document for row in of_task(read(min_summary_words=5, max_words=13), "weak")}
    assert documents == {
        "tinypack.signal.Filter.default": "Make a filter with defaults.",  # Filter itself says four words
        "tinypack.signal.Filter.apply": "Apply the filter to data. The data are filtered along one axis and",
        "tinypack.signal.sharpen": "Sharpen a series of values.",
        "tinypack.signal.smooth": "Smooth a series of values. Every value is replaced by the mean of",
    }


def test_a_sentence_that_many_objects_say_is_left_out(package):
    docstring = '"""Do thing number {0}.\n\n    Read more in the guide. But this is said of {0} alone.\n    """'
    (package / "said.py").write_text("".join(f"def f{number}():\n    {docstring.format(number)}\n" for number in range(4)))

    def documents(max_repeats):
        rows = of_task(read(max_repeats=max_repeats), "weak")
        return [row.document for row in rows if row.group == "tinypack.said"]

    said = [(f"Do thing number {number}.", f"But this is said of {number} alone.") for number in range(4)]
    assert documents(4) == [f"{first} Read more in the guide. {last}" for first, last in said]
    assert documents(3) == [f"{first} {last}" for first, last in said]


def test_a_file_that_is_not_python_is_rejected_by_name(package):
    (package / "latin.py").write_bytes(b'"""\xe9"""\n')
    (package / "null.py").write_bytes(b"x = 1\0")
    rejected = [record for record in read() if isinstance(record, Rejected)]
    assert [record.file for record in rejected] == ["tinypack/broken.py", "tinypack/latin.py", "tinypack/null.py"]
    assert all(record.reason.startswith("not valid Python") for record in rejected)


def test_two_processes_give_the_same_records_in_the_same_order(package):
    assert read(processes=2) == read(processes=1)


def test_reading_imports_neither_the_package_nor_torch(package):
    code = (
        "import sys; from pipeline.source.apidocs import ApiDocs\n"
        f"assert list(ApiDocs(**{SETTINGS!r}).read())\n"
        "print(sorted({'tinypack', 'torch', 'numpy', 'hydra', 'pytorch_lightning'} & set(sys.modules)))"
    )
    paths = {"PYTHONPATH": f"{package.parent}:{CONF.parents[2]}"}
    done = subprocess.run([sys.executable, "-c", code], env=paths, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_builds_of_one_version_are_one_version(package):
    metadata = package.parent / "tiny_pack-1.5.dist-info/METADATA"
    metadata.write_text(metadata.read_text().replace("1.5", "1.5+cpu"))
    assert of_task(read(), "weak")


@pytest.mark.parametrize(
    ("packages", "message"),
    [
        ({"tinypacks": "1.5"}, "expected 'tinypacks' to be an installed package, found nothing of that name; install it"),
        ({"tinypack": "1.6"}, r"expected version 1\.6 of 'tinypack', found {'tiny-pack': '1\.5'}; run stage compose again"),
        ({"tinypack.signal": "1.5"}, "top-level import names, got 'tinypack.signal'; write 'tinypack'"),
        ({"this": "1.0"}, "found a single file or a namespace"),
    ],
)
def test_a_package_that_is_not_there_is_an_error_that_says_what_to_do(package, packages, message):
    with pytest.raises(ValueError, match=message):
        read(packages=packages)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"processes": 0}, "processes must be 1 or more, got 0"),
        ({"min_summary_words": 0}, "expected 0 < min_summary_words"),
        ({"max_words": 2}, "expected 0 < min_summary_words <= max_words, got 3, 2"),
        ({"max_shared": 50}, r"shares of words from 0 to 1, got 50 and 1\.0"),
        ({"tolerance": -0.1}, r"shares of words from 0 to 1, got 0\.5 and -0\.1"),
        ({"questions": {"said": 1}}, "questions must say how many of said, shown, code"),
        ({"questions": {"said": 1, "shown": 1, "code": -1}}, "questions must say how many of said, shown, code"),
    ],
)
def test_a_wrong_number_is_an_error(changes, message):
    with pytest.raises(ValueError, match=message):
        ApiDocs(**(SETTINGS | changes))


def test_every_document_names_the_object_that_it_is_about(package):
    rows = of_task(read(), "weak") + of_task(read(), "retrieval")
    assert {row.thing for row in rows} >= {"tinypack.signal.windows.hann"}
    for row in rows:
        assert row.query_id.startswith(f"{row.thing}#")
        assert row.document_id == row.thing
    assert {row.thing for row in of_task(read(), "sts")} == {None}
