"""A new choice of each kind is one Python file and one YAML: written into a copy of the tree, named by a page, and run.

Nothing else of the copy is touched, so a third edit that a kind came to need would show here. Two kinds still need one, and are left
out: an evaluator of a new kind of task (`pipeline.task.KINDS`), and an input that is no text.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
import yaml
from safetensors.torch import load_file

STAGES = (
    *("compose", "ingest", "curate", "pretrain", "mine", "train retrieval", "train sts", "merge drift", "derive flipped"),
    *("evaluate drift", "evaluate flipped", "evaluate base", "evaluate retrieval", "evaluate sts", "baseline bm25"),
    *("final", "stress", "report"),
)
ADDED = {
    # kind: (Python below pipeline/, its text, YAML below conf/, its text)
    "source": (
        "source/counted.py", """
        from pipeline.corpus.row import Row

        class Counted:
            tasks = ("retrieval",)

            def __init__(self, *, num: int) -> None:
                self.num = num

            def read(self):
                for i in range(self.num):
                    query, document = f"which number is word{i % 40} {i} ?", f"the number word{i % 40} stands at {i}"
                    yield Row("retrieval", f"q{i}", query, f"d{i}", document)
        """,
        "source/counted.yaml", "_target_: pipeline.source.counted.Counted\nnum: 120\n",
    ),
    "filter": (
        "filter/unlucky.py", """
        from pipeline.corpus.verdict import Fault

        class Unlucky:
            def __init__(self, *, number: int) -> None:
                self.number = number

            def __call__(self, rows):
                return [Fault("unlucky", row.query) if str(self.number) in row.query.split() else None for row in rows]
        """,
        "filter/unlucky.yaml", "_target_: pipeline.filter.unlucky.Unlucky\nnumber: 13\n",
    ),
    "objective": (
        "objective/pull.py", """
        from pipeline.objective.objective import Objective

        class Pull(Objective):
            def __init__(self, *, weight: float) -> None:
                super().__init__()
                self.weight = weight

            def forward(self, pairs):
                own = pairs.document.index_select(0, pairs.positive[:, 0])
                return self.weight * (1 - (pairs.query * own).sum(1))[pairs.anchors].mean()
        """,
        "objective/pull.yaml", "_target_: pipeline.objective.pull.Pull\nweight: 2.0\n",
    ),
    "pooling": (
        "pooling/first.py", """
        from sentence_transformers.sentence_transformer.modules import Pooling

        def first(width: int) -> Pooling:
            return Pooling(width, "cls")
        """,
        "pooling/first.yaml", "# @package encoder.pooling\n_target_: pipeline.pooling.first.first\n",
    ),
    "projection": (
        "projection/half.py", """
        from sentence_transformers.sentence_transformer.modules import Dense
        from torch import nn

        def half(embedding_dimension: int) -> Dense:
            return Dense(embedding_dimension, embedding_dimension // 2, activation_function=nn.Identity())
        """,
        "projection/half.yaml", "# @package encoder.projection\n_target_: pipeline.projection.half.half\n",
    ),
    "view": (
        "view/shuffled_words.py", """
        from pipeline.view.view import View

        class ShuffledWords(View):
            varies = True

            def text(self, text, side, draw):
                words = text.split()
                draw.shuffle(words)
                return " ".join(words)
        """,
        "view/shuffled_words.yaml", "_target_: pipeline.view.shuffled_words.ShuffledWords\n",
    ),
    "teacher": (
        "teacher/even.py", """
        import torch

        from pipeline.teacher.teacher import Teacher

        class Even(Teacher):
            def load(self, *, max_length_tokens, batch_tokens):
                pass

            def scores(self, task, queries, documents, positive, negative):
                return torch.full((len(queries), 1 + negative.shape[1]), 0.5)
        """,
        "teacher/even.yaml", "_target_: pipeline.teacher.even.Even\n",
    ),
    "pretext": (
        "pretext/first_token.py", """
        import torch
        from torch import nn

        from pipeline.pretext.pretext import Pretext
        from pipeline.training.module import ChunkedModule
        from pipeline.training.planned import Planned

        class Texts(Planned):
            def __init__(self, ids, steps):
                self.ids, self.batches = ids[:16], list(range(steps))

            def batch(self, number):
                return self.ids

        class Module(ChunkedModule):
            def __init__(self, encoder, **settings):
                super().__init__(**settings)
                self.encoder, self.answers = encoder.train(), nn.Linear(encoder.width, len(encoder.table))

            def transfer_batch_to_device(self, batch, device, dataloader_idx):
                return batch

            def training_step(self, batch, batch_idx):
                return self.told(self.loss(batch), "first_token")

            def loss(self, batch):
                vectors = self.encoder(*self.encoder.padded(batch))
                return nn.functional.cross_entropy(self.answers(vectors), torch.tensor([row[1] for row in batch]))

        class FirstToken(Pretext):
            sections = {"phase": "shape.Pretext"}

            def batches(self, ids, encoder, *, steps, seed, where):
                return Texts(ids, steps)

            def module(self, encoder, **settings):
                return Module(encoder, **settings)

            def sample(self, module, data):
                return module.loss(data.ids[:2])
        """,
        "pretext/first_token.yaml", """
        defaults:
          - /optimizer@optimizer: adamw
          - _self_
        fit: {_target_: pipeline.pretext.first_token.FirstToken}
        order: 0
        corpora: null
        steps: 2
        warmup: 0.0
        max_length_tokens: 16
        chunk_tokens: 256
        precision: 32-true
        gradient_clip: 1.0
        on_nonfinite: stop
        optimizer: {lr: 1.0e-4}
        """,
    ),
    "merge method": (
        "merging/drift.py", """
        from pipeline.merging.method import Linear

        class Drift(Linear):
            def __init__(self, *, share: float) -> None:
                super().__init__()
                self.share = share

            def coefficients(self, models):
                return {"all": [self.share] * len(models.experts)}
        """,
        "merging/drift.yaml", "# @package merge\nmethod:\n  _target_: pipeline.merging.drift.Drift\n  share: 0.25\n",
    ),
    "derivation": (
        "derivation/flipped.py", """
        import torch

        from pipeline.derivation.derivation import end_with_dense, without_normalize

        class Flipped:
            needs_texts = False

            def derive(self, encoder, texts, *, batch_tokens):
                without_normalize(encoder)
                end_with_dense(encoder, -torch.eye(encoder.width), None)
                return {"sign": -1}
        """,
        "derivation/flipped.yaml", "_target_: pipeline.derivation.flipped.Flipped\n",
    ),
    "form": (
        "form/signs.py", """
        import numpy as np

        class Signs:
            file, tolerance, about = None, None, "the sign of each number"
            use = 'SentenceTransformer("{path}")  # then numpy.sign, {dims} numbers'

            def dims(self, width):
                return width

            def vector_bytes(self, width):
                return -(-width // 8)

            def make(self, encoder, folder, plain, *, max_length_tokens):
                return lambda texts, side, task: np.sign(plain(texts, side, task)) / encoder.width**0.5
        """,
        "form/signs.yaml", "_target_: pipeline.form.signs.Signs\n",
    ),
    "behaviour": (
        "behaviour/shouting.py", """
        from pipeline.behaviour.subject import Measured

        class Shouting:
            def __init__(self, *, texts: int) -> None:
                self.texts = texts

            def measure(self, subject):
                chosen = subject.texts()[: self.texts]
                if not chosen:
                    return None
                loud = [text.upper() for text in chosen]
                both = [subject.encode(texts, "document", "retrieval") for texts in (chosen, loud)]
                rows = {"capitals": [float((both[0] * both[1]).sum(1).mean())]}
                return Measured("Cosine of a text and itself in capitals.", "texts", [len(chosen)], rows)
        """,
        "behaviour/shouting.yaml", "_target_: pipeline.behaviour.shouting.Shouting\ntexts: 5\n",
    ),
}  # fmt: skip
PAGE = {
    "choose": {
        "experiment": "own", "encoder": "scratch", "pooling": "first", "projection": "half",
        "pretext@pretrain.phases.first": "first_token",
        "objective@train.retrieval.tasks.retrieval.objective": "pull",
        "view@train.retrieval.tasks.retrieval.view": "shuffled_words",
        "objective@train.sts.tasks.sts.objective": "cosent",
        "teacher@train.retrieval.tasks.retrieval.teachers.even": "even",
    },
    "corpora": {
        "numbers": {"source": "counted", "num": 140},
        "graded": {"source": "table", "path": "data/source/graded.csv", "task": "sts",
                   "columns": {"query": "one", "document": "two", "score": "score"}},
    },
    "experts": {"retrieval": "checkpoints/experts/retrieval", "sts": "checkpoints/experts/sts"},
    "methods": ["drift"],
    "derivations": {"flipped": {"derivation": "flipped", "of": "checkpoints/base"}},
    "baselines": ["bm25"],
    "models": {
        "drift": "checkpoints/merged/drift", "flipped": "checkpoints/derived/flipped", "base": "checkpoints/base",
        "retrieval": "checkpoints/experts/retrieval", "sts": "checkpoints/experts/sts",
    },
    "filters": ["unlucky"], "forms": {"signs": "signs"}, "behaviours": ["shouting"],
    "set": {
        "near.threshold": 1.0,
        "encoder": {"backbone": {"vocabulary": 300, "width": 16, "layers": 1, "intermediate": 32}, "max_length_tokens": 32},
        "mine.miner": {"num_negatives": 1, "depth": 30, "max_ratio": 1.0},
        "train": {"steps_per_task": 2, "optimizer.lr": 5.0e-4, "retrieval.tasks.retrieval.batch_size": 4, "sts.tasks.sts.batch_size": 4},
        "evaluate.resamples": 20, "final.resamples": 20,
        "runtime": {"accelerator": "cpu", "threads": 1, "tracker": "disabled", "mirror": None},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of code and catalogue with the files of `ADDED`, a page that names all of them, and rows of its own."""
    root, folder = Path(__file__).parents[1], tmp_path_factory.mktemp("extended")
    for name in ("pipeline", "conf"):
        shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("constraints.txt", "dvc.yaml"):
        shutil.copy(root / name, folder)
    for python, code, settings, text in ADDED.values():
        for file, content in ((folder / "pipeline" / python, code), (folder / "conf" / settings, text)):
            assert not file.exists()
            file.write_text(dedent(content).lstrip(), encoding="utf-8")
    (folder / "checkpoints/derived").mkdir(parents=True)
    (folder / "data/source").mkdir(parents=True)
    lines = [f"a text of thing{i} and day {i},a note on thing{i + i % 3} and day {i},{i % 6}" for i in range(90)]
    (folder / "data/source/graded.csv").write_text("one,two,score\n" + "\n".join(lines) + "\n", encoding="utf-8")
    (folder / "params.yaml").write_text(yaml.safe_dump(PAGE, sort_keys=False), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def ran(tree):
    """The tree after all stages, run by the copy's own code."""
    program = "import sys; from pipeline.__main__ import main\nfor words in sys.argv[1:]:\n    main(words.split()) and sys.exit(words)"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, *STAGES],
        cwd=tree, env=os.environ | {"PYTHONPATH": str(tree), "WANDB_MODE": "disabled"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return tree


def test_each_kind_is_two_files_and_the_page_names_each(tree):
    config = yaml.safe_dump(PAGE)
    for python, _, settings, _ in ADDED.values():
        assert (tree / "pipeline" / python).is_file()
        assert Path(settings).stem in config


def test_all_of_them_take_part(ran):
    def read(name):
        return json.loads((ran / name).read_text(encoding="utf-8"))

    card = read("data/curated/numbers/card.json")
    assert card["raw"]["rows"] == {"retrieval": 140}  # source
    assert card["dropped"]["unlucky"] == 1  # filter
    config = yaml.safe_load((ran / "data/config.yaml").read_text(encoding="utf-8"))
    learned = config["train"]["retrieval"]["tasks"]["retrieval"]
    assert learned["objective"] == {"_target_": "pipeline.objective.pull.Pull", "weight": 2.0}
    assert learned["view"]["_target_"].endswith("ShuffledWords")
    assert list(learned["teachers"]) == ["even"]
    first = (ran / "data/metrics/pretrain.csv").read_text(encoding="utf-8").splitlines()
    assert "first" in first[1]  # pretext
    assert len(first) == 3
    modules = [module["type"].rpartition(".")[2] for module in read("checkpoints/base/modules.json")]
    assert modules == ["Transformer", "Pooling", "Dense", "Normalize"]  # projection
    assert read("checkpoints/base/1_Pooling/config.json")["pooling_mode"] == "cls"  # pooling
    assert read("checkpoints/merged/drift/merge.json")["coefficients"] == {"all": [0.25, 0.25]}  # merge method
    assert read("checkpoints/derived/flipped/derivation.json")["sign"] == -1  # derivation
    assert "signs" in read("data/metrics/final.json")  # form
    assert list(read("data/metrics/stress.json")) == ["shouting"]  # behaviour
    assert "Cosine of a text and itself in capitals." in (ran / "data/report/index.html").read_text(encoding="utf-8")
    weights = [load_file(ran / f"checkpoints/{name}/model.safetensors") for name in ("base", "experts/retrieval")]
    assert any(not weights[0][name].equal(weights[1][name]) for name in weights[0])
