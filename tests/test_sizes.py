"""The code stays in pieces that a person takes in at a look."""

import ast
from statistics import median


def test_modules_functions_and_the_list_of_stages_stay_small(root):
    files = {file: file.read_text(encoding="utf-8") for file in sorted((root / "pipeline").rglob("*.py"))}
    lines = {file.relative_to(root).as_posix(): text.count("\n") for file, text in files.items() if text}
    functions = {
        f"{file.relative_to(root)}:{node.lineno}": (node.end_lineno or 0) - node.lineno + 1
        for file, text in files.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: num for name, num in lines.items() if num > 350} == {}
    assert median(lines.values()) <= 100
    assert {name: num for name, num in functions.items() if num > 45} == {}
    assert sum(text.count("# fmt: skip") for text in files.values()) <= 10
    assert (root / "dvc.yaml").read_text(encoding="utf-8").count("\n") <= 160
