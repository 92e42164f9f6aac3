"""The affinity model: an encoder directory, and beside it how a complex is read (`architecture.yaml`, `architecture.safetensors`).

The directory still loads in SentenceTransformer, as an encoder of chains; the architecture is ours alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from pipeline.build import Node, build
from pipeline.checkpoint import ARCHITECTURE, architecture_of, write_yaml
from pipeline.encoder.encoder import Encoder
from pipeline.gradcache import cut
from pipeline.protein.architecture.architecture import Architecture, Side
from pipeline.protein.token_store import token_vectors

WEIGHTS, START = "architecture.safetensors", "architecture_start.safetensors"
REMEMBERED = 2**28  # numbers of token vectors that a prediction holds at most: 1 GB
NODES = ("load", "merge", "architecture", "head")  # of a section `affinity`, kept in the model's directory
Complex: TypeAlias = tuple[str, str]  # ligand, receptor; chains of a side joined by ":"


class Tokens(Protocol):
    """Token vectors of texts that are fixed, made beforehand."""

    def __call__(self, text: str) -> Float[Tensor, "L D"]: ...


@dataclass(frozen=True, slots=True)
class Line:
    """``slope * predicted + offset`` is in units of the score."""

    slope: float
    offset: float


class AffinityModel(nn.Module):
    """``nodes``: those of `NODES`, None for no head. ``control``: the deal of the rows it learns from, None: the
    corpus' own split."""

    def __init__(
        self, encoder: Encoder, nodes: Mapping[str, Node | None], *, max_length_tokens: int | None, control: str | None
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.nodes = dict(nodes)
        self.max_length_tokens = min(max_length_tokens or encoder.max_length_tokens, encoder.max_length_tokens)
        self.control = control
        self.line = Line(1.0, 0.0)
        assert nodes["architecture"] is not None
        self.architecture: Architecture = build(nodes["architecture"])
        head = build(nodes["head"])(encoder.trunk_width) if nodes["head"] is not None else None
        self.architecture.set_width(encoder.trunk_width, head)
        self.start: dict[str, Tensor] = {}  # weights of the architecture before training: what a merge measures from
        self._ids: dict[str, Tensor] = {}

    def ids(self, text: str) -> Int[Tensor, " L"]:
        """Each text is turned into tokens once."""
        if text not in self._ids:
            self._ids[text] = torch.tensor(self.encoder.token_ids([text], self.max_length_tokens)[0])
        return self._ids[text]

    def begin(self, value: float) -> None:
        """Predictions start at ``value``; the weights as they are now are kept as the start."""
        self.architecture.start_at(value)
        self.start = {name: weight.detach().clone().cpu() for name, weight in self.architecture.state_dict().items()}

    def texts(self, complexes: Iterable[Complex]) -> list[str]:
        """All that is read of these, each once, sorted."""
        return sorted({text for one in complexes for side in self.architecture.texts(*one) for text in side})

    def num_tokens(self, one: Complex) -> int:
        return sum(len(self.ids(text)) for side in self.architecture.texts(*one) for text in side)

    def forward(self, complexes: Sequence[Complex], tokens: Tokens | None = None) -> Float[Tensor, " B"]:
        """Predicted values, before `line`; ``tokens``: token vectors that are known already, else the backbone makes them."""
        read = [self.architecture.texts(*one) for one in complexes]
        return self.architecture([self._side([sides[s] for sides in read], tokens) for s in range(len(read[0]))])

    def _side(self, of_complexes: Sequence[tuple[str, ...]], tokens: Tokens | None) -> Side:
        """Each text is embedded once, however many of the complexes it is part of."""
        row = {text: i for i, text in enumerate(dict.fromkeys(text for texts in of_complexes for text in texts))}
        place = torch.full((len(of_complexes), max(map(len, of_complexes))), -1)
        for b, texts in enumerate(of_complexes):
            place[b, : len(texts)] = torch.tensor([row[text] for text in texts])
        device = self.architecture.output.weight.device
        if tokens is not None:
            vectors = [tokens(text) for text in row]
            mask = padding_mask([len(one) for one in vectors])
            hidden = pad_sequence(vectors, batch_first=True).to(device, torch.float32)
            return Side(hidden, mask.to(device), place.to(device))
        ids, mask = self.encoder.padded([self.ids(text).tolist() for text in row])
        ids, mask = ids.to(device), mask.to(device)
        return Side(self.encoder.tokens(ids, mask)[0], mask, place.to(device))

    @torch.inference_mode()
    def predict(
        self, complexes: Sequence[Complex], *, batch_tokens: int, title: str, tokens: Tokens | None = None
    ) -> Float[np.ndarray, " B"]:
        """In units of the score, in the order of ``complexes``; those of like length are read together, and a chain goes through the
        backbone once, however many complexes it is part of."""
        training = self.training
        self.eval()
        tokens = tokens or self._remembered(complexes, batch_tokens)
        out = np.empty(len(complexes), dtype=np.float64)
        lengths = [min(self.num_tokens(one), batch_tokens) for one in complexes]
        batches = cut(lengths, batch_tokens).texts if complexes else []
        with tqdm(total=len(complexes), desc=title, unit="complex", leave=False, disable=None) as bar:
            for batch in batches:
                out[batch] = self([complexes[i] for i in batch], tokens).double().cpu().numpy()
                bar.update(len(batch))
        self.train(training)
        return self.line.slope * out + self.line.offset

    def _remembered(self, complexes: Sequence[Complex], batch_tokens: int) -> Tokens | None:
        """The token vectors of all that is read; None where nothing is read twice, or they are more than `REMEMBERED`."""
        texts = self.texts(complexes)
        reads = sum(len(side) for one in complexes for side in self.architecture.texts(*one))
        if len(texts) == reads or sum(len(self.ids(text)) for text in texts) * self.encoder.trunk_width > REMEMBERED:
            return None
        found = token_vectors(self.encoder, [self.ids(text).tolist() for text in texts], batch_tokens)
        vectors = {texts[i]: row for i, row in found}
        return lambda text: vectors[text]

    def save(self, directory: Path) -> None:
        """Beside what `Encoder.save` writes."""
        self.encoder.save(directory)
        weights = {name: value.detach().contiguous().cpu() for name, value in self.architecture.state_dict().items()}
        for file, content in ((WEIGHTS, weights), (START, self.start)):
            if content:
                save_file(content, directory / file, metadata={"format": "pt"})
                (directory / file).chmod(0o644)
        settings = {**self.nodes, "max_length_tokens": self.max_length_tokens, "control": self.control}
        write_yaml(directory / ARCHITECTURE, settings | {"line": {"slope": self.line.slope, "offset": self.line.offset}})

    @classmethod
    def load(cls, directory: Path) -> "AffinityModel":
        """ValueError where the directory is not whole, or its weights are those of another architecture."""
        settings = architecture_of(directory)
        if settings is None or not (directory / WEIGHTS).is_file():
            raise ValueError(
                f"{directory} holds no {ARCHITECTURE} and {WEIGHTS}: it predicts no affinity; train it with `dvc repro`"
            )
        nodes = {name: settings[name] for name in NODES}
        limits = {"max_length_tokens": settings["max_length_tokens"], "control": settings["control"]}
        model = cls(Encoder.load(directory), nodes, **limits)
        found, wanted = load_file(directory / WEIGHTS), model.architecture.state_dict()
        shapes = [{name: tuple(value.shape) for name, value in weights.items()} for weights in (found, wanted)]
        if shapes[0] != shapes[1]:
            raise ValueError(f"{directory / WEIGHTS} holds weights {shapes[0]}, {ARCHITECTURE} wants {shapes[1]}")
        model.architecture.load_state_dict(found)
        model.line = Line(**settings["line"])
        return model.eval()


def load(directory: Path) -> AffinityModel:
    """What ``load`` in `architecture.yaml` names."""
    return AffinityModel.load(directory)


def padding_mask(lengths: Sequence[int]) -> Int[Tensor, "T L"]:
    return (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
