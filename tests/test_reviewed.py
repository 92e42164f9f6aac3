"""What can run code that a file brings stands in reviewed places alone, each with its reason. A new place fails here until it is read."""

import ast
import re
from collections import Counter

import pytest

WORDS = {
    "torch.load": r"torch\.load\b",
    "pickle": r"pickle",
    "trust_remote_code": r"trust_remote_code",
    "allow_pickle": r"allow_pickle",
    "shell=True": r"shell\s*=\s*True",
    "eval(": r"(?<![\w.])eval\(",
    "exec(": r"(?<![\w.])exec\(",
    "yaml.load(": r"yaml\.(load|unsafe_load|full_load)\w*\(",
    "os.system": r"os\.(system|popen)\b",
    "an import by name": r"__import__\(|import_module\(",
}
PICKLED = "a test gives it to code that must refuse it"
HOSTILE = "names in hostile files, which must not be called"
REMOTE = "a test of what the flag does"
# By place and word: how many lines, and why they are right.
REVIEWED = {
    ("pipeline/build.py", "eval("): (1, "annotations of this package's own source, among names that are given; no file of a user"),
    ("pipeline/checked.py", "an import by name"): (1, "of this package, by a literal of this package's own source"),
    ("pipeline/__main__.py", "an import by name"): (1, "a stage out of a fixed list"),
    ("pipeline/encoder/directory.py", "an import by name"): (1, "`check_code` let classes of pipeline.pooling and .projection pass alone"),
    ("pipeline/encoder/directory.py", "trust_remote_code"): (2, "False; and a key that saved files lose"),
    ("pipeline/encoder/directory.py", "pickle"): (1, "says that none is fetched"),
    ("pipeline/encoder/fitting.py", "trust_remote_code"): (1, "False"),
    ("pipeline/pooling/latent_attention.py", "trust_remote_code"): (1, "says what others need"),
    ("pipeline/stage/merge_command.py", "pickle"): (1, "says that none is fetched"),
    ("pipeline/copying.py", "pickle"): (1, "says that none is copied"),
    ("pipeline/weights.py", "pickle"): (5, "refuses them by name, and a file that is one under another name"),
    ("benchmarks/engines.py", "pickle"): (7, "answers of processes that the program itself started, in its own folder"),
    ("tests/stage/test_merge_command.py", "pickle"): (4, PICKLED),
    ("tests/test_weights.py", "pickle"): (4, PICKLED),
    ("tests/test_copying.py", "pickle"): (1, PICKLED),
    ("tests/encoder/test_settings.py", "os.system"): (2, "the name that must not be called"),
    ("tests/test_params.py", "os.system"): (1, "the name that must not be called"),
    ("pipeline/form/onnx.py", "an import by name"): (1, "onnx and onnxruntime by name, told where they are missing"),
    ("tests/test_checkpoint.py", "os.system"): (1, "the name that must not be called"),
    ("benchmarks/hostile_models.py", "torch.load"): (1, HOSTILE),
    ("benchmarks/hostile_models.py", "pickle"): (2, HOSTILE),
    ("benchmarks/hostile_models.py", "os.system"): (8, HOSTILE),
    ("tests/stage/isolated.py", "an import by name"): (1, "this package by its own name, in a process whose imports are watched"),
    ("tests/encoder/test_encoder.py", "trust_remote_code"): (2, REMOTE),
    ("tests/encoder/test_scratch.py", "eval("): (1, "of a text that the test wrote, in a process of its own"),
    ("tests/form/test_onnx.py", "exec("): (1, "of the card's own example, which it must run"),
}  # fmt: skip
LOADERS = ("from_pretrained", "from_config", "_load_with_module_classes", "Transformer", "SentenceTransformer", "load_dataset")
# Calls that take no flag, by place and function.
WITHOUT = {
    (
        "pipeline/encoder/directory.py",
        "assembled",
    ): "modules that this process just made and saved; no name, no directory of others",
    ("pipeline/derivation/static.py", "become_table"): "modules that this process made",
    ("pipeline/source/hub.py", "_loaded"): "`datasets` runs no code of a repository since 4.0 and has no flag",
}


def files(root):
    for folder in ("pipeline", "benchmarks", "tests"):
        for file in sorted((root / folder).rglob("*.py")):
            if file.name != "test_reviewed.py":
                yield file.relative_to(root).as_posix(), file.read_text(encoding="utf-8")
    for name in ("Makefile", ".ci/run"):
        yield name, (root / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("word", WORDS)
def test_each_place_is_reviewed(root, word):
    found = Counter({name: sum(bool(re.search(WORDS[word], line)) for line in text.splitlines()) for name, text in files(root)})
    expected = Counter({name: number for (name, of), (number, _) in REVIEWED.items() if of == word})
    assert +found == +expected


def test_each_reviewed_place_has_a_reason():
    assert [place for place, (number, reason) in REVIEWED.items() if not number or not reason.strip()] == []


def test_whatever_loads_a_model_passes_the_flag_as_false(root):
    bare = set()
    for name, text in files(root):
        if not name.startswith("pipeline/"):
            continue
        for function in (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)):
            calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
            named = {node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "") for node in calls}
            flag = re.search(r"trust_remote_code\W+False", ast.unparse(function))
            if named & set(LOADERS) and not flag:
                bare.add((name, function.name))
    assert bare == set(WITHOUT)


def test_nothing_sets_the_flag(root):
    texts = [(name, text) for name, text in files(root) if name.startswith("pipeline/")]
    texts += [(file.name, file.read_text(encoding="utf-8")) for file in sorted((root / "conf").rglob("*.yaml"))]
    found = [name for name, text in texts if re.search(r"trust_remote_code[\"']?\s*[=:]\s*(True|true)", text)]
    assert found == ["pipeline/pooling/latent_attention.py"]  # a docstring
