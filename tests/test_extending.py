"""A new choice of each kind is one Python file and one YAML: written into a copy of the tree, named by a page, and run.

Nothing else of the copy is touched, so a third edit that a kind came to need would show here.
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
    "evaluator kind": (
        "evaluator/opposites.py", """
        from pipeline.evaluator.items import MeanOfItems, cosines

        class Opposites(MeanOfItems):
            kind = "opposites"
            main = "parted"
            defines = {
                "shape": "paired", "score": "binary", "learned": False, "metric": "parted", "items": "pairs",
                "meaning": "two texts and 1 if they say the opposite", "metric_meaning": "1 if all opposites are apart",
            }

            def evaluate(self, encode, collection):
                found = cosines(encode, collection.pairs, corpus=collection.corpus, task=collection.task)
                each = [float((value < 0.5) == bool(pair[3])) for value, pair in zip(found, collection.pairs)]
                return {self.main: sum(each) / len(each)}, {"id": [pair[0] for pair in collection.pairs], self.main: each}
        """,
        "evaluator/opposites.yaml", "_target_: pipeline.evaluator.opposites.Opposites\n",
    ),
    "encoder input": (
        "encoder/numbers.py", """
        import torch
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.base.modules import InputModule, Normalize
        from sentence_transformers.sentence_transformer.modules import Pooling
        from torch import nn

        class Numbers(InputModule):
            config_keys = ["highest", "width"]

            def __init__(self, *, highest: int, width: int) -> None:
                super().__init__()
                self.highest, self.width, self.table = highest, width, nn.Embedding(highest + 1, width)

            def preprocess(self, inputs, prompt=None, max_length=None, **_):
                def number(word):
                    return min(int(word), self.highest) if word.isdigit() else 0

                rows = [[number(word) for word in text.split()][:max_length] or [0] for text in inputs]
                longest = max(map(len, rows))
                ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
                mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
                return {"input_ids": ids, "attention_mask": mask}

            def forward(self, features, **_):
                return features | {"token_embeddings": self.table(features["input_ids"])}

            def get_embedding_dimension(self):
                return self.width

            def save(self, output_path, *args, safe_serialization=True, **_):
                self.save_config(output_path)
                self.save_torch_weights(output_path, safe_serialization=safe_serialization)

            @classmethod
            def load(cls, model_name_or_path, subfolder="", **given):
                where = {"subfolder": subfolder, "local_files_only": True}
                model = cls(**cls.load_config(model_name_or_path, **where))
                return cls.load_torch_weights(model_name_or_path, model=model, **where)

        class NumbersBackbone:
            def __init__(self, *, highest: int, width: int) -> None:
                self.sizes = {"highest": highest, "width": width}

            def __call__(self, texts):
                parts = [Numbers(**self.sizes), Pooling(self.sizes["width"], "mean"), Normalize()]
                return SentenceTransformer(modules=parts, device="cpu")
        """,
        "encoder/numbers.yaml", """
        # @package _global_
        encoder:
          backbone: {_target_: pipeline.encoder.numbers.NumbersBackbone, highest: 99, width: 8}
          max_length_tokens: null
        pace:
          pretrain_lr: 1.0e-3
          train_lr: 5.0e-4
          num_negatives: 0
          epochs: 1
          thorough_epochs: 1
          quick: {epochs: null, steps: 2, pretrain_steps: 2}
        evaluate: {general: false}
        final: {retention: null}
        """,
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
        "apart": {"source": "table", "path": "data/source/apart.csv", "task": "opposites",
                  "columns": {"query": "one", "document": "two", "score": "opposite"}},
    },
    "experts": {"retrieval": "checkpoints/experts/retrieval", "sts": "checkpoints/experts/sts"},
    "methods": ["drift"],
    "derivations": {"flipped": {"derivation": "flipped", "of": "checkpoints/base"}},
    "baselines": ["bm25"],
    "models": {
        "drift": "checkpoints/merged/drift", "flipped": "checkpoints/derived/flipped", "base": "checkpoints/base",
        "retrieval": "checkpoints/experts/retrieval", "sts": "checkpoints/experts/sts",
    },
    "filters": ["unlucky"], "evaluators": ["retrieval", "sts", "opposites"], "forms": {"signs": "signs"}, "behaviours": ["shouting"],
    "set": {
        "near.threshold": 1.0,
        "encoder": {"backbone": {"vocabulary": 300, "width": 16, "layers": 1, "intermediate": 32}, "max_length_tokens": 32},
        "mine.miner": {"num_negatives": 1, "depth": 30, "max_ratio": 1.0},
        "train": {"steps_per_task": 2, "optimizer.lr": 5.0e-4, "retrieval.tasks.retrieval.batch_size": 4, "sts.tasks.sts.batch_size": 4},
        "evaluate.resamples": 20, "final.resamples": 20,
        "runtime": {"accelerator": "cpu", "threads": 1, "tracker": "disabled", "mirror": None},
    },
}  # fmt: skip
SERIES = {  # rows that hold numbers, and an encoder that reads them
    "choose": {"experiment": "own", "encoder": "numbers"},
    "corpora": {"series": {"source": "table", "path": "data/source/series.csv", "columns": {"query": "seen", "document": "next"}}},
    "experts": {"retrieval": "checkpoints/experts/retrieval"},
    "methods": [], "derivations": {}, "baselines": [],
    "models": {"base": "checkpoints/base", "retrieval": "checkpoints/experts/retrieval"},
    "filters": [], "forms": [], "behaviours": [],  # of words
    "set": {key: value for key, value in PAGE["set"].items() if key != "encoder"} | {"train": {"steps_per_task": 2}},
}  # fmt: skip
OF_SERIES = (
    *("compose", "ingest", "curate", "pretrain", "mine", "train retrieval", "evaluate base", "evaluate retrieval"),
    *("final", "stress", "report"),
)


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
    texts = [f"a text of thing{i} and day {i},a note on thing{i + i % 3} and day {i}" for i in range(90)]
    rows = {
        "graded": ("one,two,score", [f"{text},{i % 6}" for i, text in enumerate(texts)]),
        "apart": ("one,two,opposite", [f"up {i} of {i % 7}{i},down {i} of {i % 5}{i},{i % 2}" for i in range(90)]),
        "series": ("seen,next", [f"{i} {i * 7 % 90} {i % 13},{i + 1} {i * 7 % 90 + 1} {i % 11}" for i in range(90)]),
    }
    for name, (head, lines) in rows.items():
        (folder / f"data/source/{name}.csv").write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    (folder / "params.yaml").write_text(yaml.safe_dump(PAGE, sort_keys=False), encoding="utf-8")
    return folder


def run_stages(tree, stages):
    """By the copy's own code."""
    program = "import sys; from pipeline.__main__ import main\nfor words in sys.argv[1:]:\n    main(words.split()) and sys.exit(words)"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, *stages],
        cwd=tree, env=os.environ | {"PYTHONPATH": str(tree), "WANDB_MODE": "disabled"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def ran(tree):
    """The tree after all stages."""
    run_stages(tree, STAGES)
    return tree


def test_each_kind_is_two_files_and_the_page_names_each(tree):
    config = yaml.safe_dump([PAGE, SERIES])
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
    scored = read("data/metrics/evaluate/drift.json")["test"]["opposites/apart"]
    assert (scored["kind"], scored["metric"]) == ("opposites", "parted")  # evaluator kind
    assert "1 if all opposites are apart" in (ran / "data/report/index.html").read_text(encoding="utf-8")
    assert "signs" in read("data/metrics/final.json")  # form
    assert list(read("data/metrics/stress.json")) == ["shouting"]  # behaviour
    assert "Cosine of a text and itself in capitals." in (ran / "data/report/index.html").read_text(encoding="utf-8")
    weights = [load_file(ran / f"checkpoints/{name}/model.safetensors") for name in ("base", "experts/retrieval")]
    assert any(not weights[0][name].equal(weights[1][name]) for name in weights[0])


def test_an_encoder_of_an_input_of_its_own_goes_from_rows_to_a_final_model(tree, tmp_path):
    folder = tmp_path / "series"
    for name in ("pipeline", "conf", "data/source"):
        shutil.copytree(tree / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("constraints.txt", "dvc.yaml"):
        shutil.copy(tree / name, folder)
    (folder / "checkpoints/derived").mkdir(parents=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(SERIES, sort_keys=False), encoding="utf-8")
    run_stages(folder, OF_SERIES)
    modules = json.loads((folder / "checkpoints/final/modules.json").read_text(encoding="utf-8"))
    assert modules[0]["type"] == "pipeline.encoder.numbers.Numbers"
    weights = [load_file(folder / f"checkpoints/{name}/model.safetensors") for name in ("base", "experts/retrieval")]
    assert not weights[0]["table.weight"].equal(weights[1]["table.weight"])
    assert (folder / "data/report/index.html").is_file()
