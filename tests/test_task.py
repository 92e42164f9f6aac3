"""What a task is, said once: the table in docs/data.md, the evaluators and the catalogue agree with it."""

import ast

import pytest
import yaml

from pipeline.build import class_value
from pipeline.code_hash import Code
from pipeline.corpus.row import Row, teaches
from pipeline.task import KINDS, brought, kind_named, kind_of


def test_the_page_about_data_lists_every_kind_as_it_is(root):
    lines = (root / "docs/data.md").read_text(encoding="utf-8").splitlines()
    first = lines.index("| kind | a row | score | trained | scored by |") + 2
    expected = [
        f"| `{kind.name}` | {kind.meaning} | {kind.score} | {'yes' if kind.learned else 'no'} | "
        f"{kind.metric if kind.evaluated else 'not scored'} |"
        for kind in KINDS.values()
    ]
    assert lines[first : first + len(expected)] == expected
    assert not lines[first + len(expected)].startswith("|")


def test_every_kind_that_is_scored_has_one_evaluator_of_that_measure(root):
    found = {}
    for file in sorted((root / "conf/evaluator").glob("*.yaml")):
        target = yaml.safe_load(file.read_text(encoding="utf-8"))["_target_"]
        found[class_value(target, "kind", file.stem)] = class_value(target, "main", file.stem)
    assert found == {kind.name: kind.metric for kind in KINDS.values() if kind.evaluated}
    assert all(kind.metric_meaning and kind.items for kind in KINDS.values() if kind.evaluated)


def test_every_task_of_the_catalogue_is_a_kind_that_may_be_learned(root):
    assert all(KINDS[file.stem].learned for file in (root / "conf/task").glob("[!_]*.yaml"))


def test_nothing_but_task_py_compares_the_name_of_a_task(root):
    """In the syntax trees: no comparison, and no `in`, with the name of a kind as a literal."""
    found = []
    for file in sorted((root / "pipeline").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare):
                sides = [node.left, *node.comparators]
                sides += [one for side in sides if isinstance(side, ast.Tuple | ast.List | ast.Set) for one in side.elts]
                words = {one.value for one in sides if isinstance(one, ast.Constant) and isinstance(one.value, str)}
                found += [f"{file.relative_to(root)}:{node.lineno}" for _ in words & set(KINDS)]
    assert found == []


def test_a_task_of_any_name_is_of_the_kind_beside_it_and_one_called_like_a_kind_is_of_that():
    assert (
        kind_named("legal", "retrieval") is kind_named("retrieval") is kind_of(Row("x", "q", "t", "d", "u", kind="retrieval"))
    )
    assert teaches(Row("x", "q", "t", "d", "u", 0.0, kind="sts"))
    assert not teaches(Row("x", "q", "t", "d", "u", 0.0, kind="retrieval"))


@pytest.mark.parametrize(
    ("task", "kind", "message"),
    [
        (
            "legal",
            None,
            "'legal' is no kind of task; expected one of retrieval, .* with its kind beside it: `task: legal`, `kind: r",
        ),
        ("stss", None, r"'stss' is no kind of task \(did you mean 'sts'\?\)"),
        ("legal", "retreival", r"task 'legal': 'retreival' is no kind of task \(did you mean 'retrieval'\?\)"),
        ("sts", "retrieval", "a task called 'sts' is of that kind, got kind 'retrieval'; call the task otherwise"),
        ("a/b", "sts", "a task's name is of letters, digits, - and _, and begins with a letter, got 'a/b'"),
    ],
)
def test_what_is_no_task_is_told(task, kind, message):
    with pytest.raises(ValueError, match=message):
        kind_named(task, kind)


def test_a_kind_that_an_evaluator_brings_is_read_without_importing_it_and_counts_as_code(tmp_path):
    (tmp_path / "house/evaluator").mkdir(parents=True)
    (tmp_path / "house/task.py").write_text("")
    file = tmp_path / "house/evaluator/odd.py"
    hashes = []
    for meaning in ("two texts", "two odd texts"):
        file.write_text(
            f'import nowhere\n\n\nclass Odd:\n    kind = "odd"\n    defines = {{"shape": "paired", "meaning": "{meaning}"}}\n'
        )
        assert brought(tmp_path / "house") == {"odd": {"shape": "paired", "meaning": meaning}}
        hashes.append(Code(tmp_path / "house").hashed(["task.py"]))
    assert hashes[0] != hashes[1]
    file.write_text('class Odd:\n    kind = "sts"\n    defines = {"shape": "paired"}\n')
    with pytest.raises(ValueError, match=r"odd.py: a kind 'sts' is known already"):
        brought(tmp_path / "house")
