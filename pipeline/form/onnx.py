"""ONNX: texts' ids to the vectors of their tokens and of the whole text, for any runtime without Python or torch.

Files and outputs have the names that transformers.js, Text Embeddings Inference and sentence-transformers' ONNX backend look for:
``last_hidden_state``, which these pool themselves, and ``sentence_embedding``, the model's own vectors by all of its modules. Weights
that do not fit into one file stand beside it, in `model.onnx_data`.

Nothing in the files tells where or when they were made, so equal weights give equal bytes.
"""

import importlib
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pipeline.corpus.collection import Encode
from pipeline.encoder.encoder import Encoder
from pipeline.encoder.encoding import CPU_TOKENS, by_length
from pipeline.encoder.inputs import plain, pooled
from pipeline.encoder.modules import after, mixes

LARGEST_BYTES = 1_900_000_000  # of one file: protobuf ends at 2 GiB
TOKENS, TEXT = "last_hidden_state", "sentence_embedding"


class Onnx:
    """``tolerance``: how far a number of a vector may lie from the model's own; what is farther stops the stage."""

    file = "onnx/model.onnx"
    dtype = "fp32"  # as transformers.js calls it
    about = "ONNX, 32 bits, equal to the model"
    use = """\
import numpy as np, onnxruntime
from tokenizers import Tokenizer

tokenizer = Tokenizer.from_file("{path}/tokenizer.json")
tokenizer.enable_padding(pad_id={pad_id}, pad_token="{pad_token}")
tokenizer.enable_truncation({max_length_tokens})
session = onnxruntime.InferenceSession("{path}/{file}")
found = tokenizer.encode_batch(texts)
(vectors,) = session.run(["sentence_embedding"], {{
    "input_ids": np.array([one.ids for one in found]), "attention_mask": np.array([one.attention_mask for one in found])
}})
"""

    def __init__(self, *, tolerance: float) -> None:
        self.tolerance = tolerance

    def vector_bytes(self, width: int) -> int:
        return 4 * width

    def make(self, encoder: Encoder, folder: Path, plain: Encode, *, max_length_tokens: int) -> Encode:
        """Write the file; what is handed back runs it."""
        export(encoder, folder / self.file)
        return session(encoder, folder / self.file, max_length_tokens=max_length_tokens)


class _Exported(nn.Module):
    """An encoder of one transformer as the outputs of its file: vectors of tokens, where it makes such, and of the text."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.names = [TOKENS, TEXT] if plain(encoder.path(0)[0]) else [TEXT]

    def forward(self, input_ids: Int[Tensor, "B L"], attention_mask: Int[Tensor, "B L"]) -> tuple[Tensor, ...]:
        if self.names == [TEXT]:
            return (self.encoder(input_ids, attention_mask),)
        text, rest = input_ids >= 0, self.encoder.path(0)[1:]
        common: dict[str, Any] = {"input_ids": torch.where(text, input_ids, ~input_ids), "modality": "text"}
        if mixes(rest):
            every, _ = self.encoder.tokens(input_ids, attention_mask, layers=True)
            hidden, common["all_layer_embeddings"] = every[-1], every
        else:
            hidden, _ = self.encoder.tokens(input_ids, attention_mask)
        return hidden.float(), after(rest, common | pooled(rest, hidden, attention_mask, text))


def export(encoder: Encoder, file: Path) -> None:
    """Trace ``encoder`` for any number of texts of any length. ValueError where it is no one transformer."""
    if len(encoder.routes) > 1 or not encoder.trunks:
        raise ValueError(
            "the forms onnx and int8 are made of a model with one transformer; set final.forms.onnx and final.forms.int8 to null"
        )
    _package("onnx")
    _package("onnxscript")
    file.parent.mkdir(parents=True, exist_ok=True)
    training = encoder.training
    try:
        model = _traced(_Exported(encoder.eval()).eval())
    finally:
        encoder.train(training)
    for part in (model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer, *model.functions):
        _forget(part)
    for function in model.functions:
        for node in function.node:
            _forget(node)
    write_model(model, file)


def _traced(exported: _Exported) -> Any:
    """The model's protobuf. Where PyTorch cannot write its attention (T5's), the plain formula of it is written. ValueError where it can
    write neither."""
    backbone: Any = exported.encoder.backbone
    own = getattr(backbone.config, "_attn_implementation", "eager")
    try:
        return _exported(exported)
    except Exception as first:
        try:
            backbone.set_attn_implementation("eager")
            return _exported(exported)
        except Exception:
            raise ValueError(
                f"PyTorch cannot write {type(backbone).__name__} as ONNX ({str(first.__cause__ or first).splitlines()[0]}); set "
                f"final.forms.onnx and final.forms.int8 to null in params.yaml"
            ) from first
        finally:
            backbone.set_attn_implementation(own)


def _exported(exported: _Exported) -> Any:
    given = (torch.tensor([[1, 2, 3, 1], [2, 1, 1, 1]]), torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]))
    dims = {0: torch.export.Dim("texts"), 1: torch.export.Dim("tokens", max=exported.encoder.max_length_tokens)}
    with (
        warnings.catch_warnings()
    ):  # that the two inputs share their axes, which is so, and what PyTorch thinks of its own insides
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)  # torchvision, which nothing here needs, is not installed
        try:
            program = torch.onnx.export(
                exported,
                given,
                dynamo=True,
                verbose=False,
                input_names=["input_ids", "attention_mask"],
                output_names=exported.names,
                dynamic_shapes={"input_ids": dims, "attention_mask": dims},
            )
        finally:
            logging.disable(logging.NOTSET)
    assert program is not None
    return program.model_proto


def write_model(model: Any, file: Path) -> None:
    """``model`` as one file, or with its weights in a file beside it, where one cannot hold them."""
    beside = data_of(file)
    beside.unlink(missing_ok=True)  # onnx would append to it
    size = sum(len(weight.raw_data) for weight in model.graph.initializer)
    options = {"save_as_external_data": True, "location": beside.name, "size_threshold": 1024} if size > LARGEST_BYTES else {}
    _package("onnx").save_model(model, str(file), **options)


def data_of(file: Path) -> Path:
    """The file of the weights of an ONNX file that is too large for them."""
    return file.with_name(f"{file.name}_data")


def parts(file: Path) -> list[Path]:
    """The files that an ONNX file consists of."""
    return [part for part in (file, data_of(file)) if part.is_file()]


def session(encoder: Encoder, file: Path, *, max_length_tokens: int) -> Encode:
    """Vectors by ONNX Runtime, with the tokenizer and prompts of ``encoder``."""
    onnxruntime = _package("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors
    running = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def encode(texts: Sequence[str], side: str, task: str) -> Float[np.ndarray, "B D"]:
        ids = encoder.token_ids(texts, max_length_tokens, task=task, side=side)
        out = np.empty((len(texts), encoder.width), dtype=np.float32)
        for batch in by_length(ids, CPU_TOKENS):
            input_ids, mask = encoder.padded([ids[i] for i in batch])
            (out[batch],) = running.run([TEXT], {"input_ids": input_ids.numpy(), "attention_mask": mask.numpy()})
        return encoder.unit(torch.from_numpy(out)).numpy()

    return encode


def _forget(part: Any) -> None:
    """Take out what names places in our source and in the machine's folders."""
    part.doc_string = ""
    del part.metadata_props[:]


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        raise ValueError(
            f"the forms onnx and int8 need the package {name}, which is not installed: pip install 'tributary[onnx]', or set "
            "final.forms.onnx and final.forms.int8 to null in params.yaml"
        ) from None
