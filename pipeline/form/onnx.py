"""ONNX: texts' ids to the model's vectors, prompt and pooling included, for any runtime without Python or torch.

Nothing in the file tells where or when it was made, so equal weights give equal bytes.
"""

import importlib
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from pipeline.corpus.collection import Encode
from pipeline.encoder.encoder import Encoder
from pipeline.encoder.encoding import CPU_TOKENS, by_length

LARGEST_BYTES = 1_900_000_000  # of one file: protobuf ends at 2 GiB


class Onnx:
    """``tolerance``: how far a number of a vector may lie from the model's own; what is farther stops the stage."""

    file = "onnx/model.onnx"
    about = "ONNX, 32 bits, equal to the model"
    use = """\
import numpy as np, onnxruntime
from tokenizers import Tokenizer

tokenizer = Tokenizer.from_file("{path}/tokenizer.json")
tokenizer.enable_padding(pad_id={pad_id}, pad_token="{pad_token}")
tokenizer.enable_truncation({max_length_tokens})
session = onnxruntime.InferenceSession("{path}/{file}")
found = tokenizer.encode_batch(texts)
vectors = session.run(None, {{
    "input_ids": np.array([one.ids for one in found]), "attention_mask": np.array([one.attention_mask for one in found])
}})[0]
"""

    def __init__(self, *, tolerance: float) -> None:
        self.tolerance = tolerance

    def vector_bytes(self, width: int) -> int:
        return 4 * width

    def make(self, encoder: Encoder, folder: Path, plain: Encode, *, max_length_tokens: int) -> Encode:
        """Write the file; what is handed back runs it."""
        export(encoder, folder / self.file)
        return session(encoder, folder / self.file, max_length_tokens=max_length_tokens)


def export(encoder: Encoder, file: Path) -> None:
    """Trace ``encoder`` for any number of texts of any length. ValueError where it is too large for one file, or no one transformer."""
    if len(encoder.routes) > 1 or not encoder.trunks:
        raise ValueError(
            "the forms onnx and int8 are made of a model with one transformer; set final.forms.onnx and final.forms.int8 to null"
        )
    onnx = _package("onnx")
    _package("onnxscript")
    size = sum(weight.numel() * 4 for weight in encoder.parameters())
    if size > LARGEST_BYTES:
        raise ValueError(
            f"{size / 1e9:.1f} GB of weights do not fit into one ONNX file; set final.forms.onnx and final.forms.int8 to null"
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    given = (torch.tensor([[1, 2, 3, 1], [2, 1, 1, 1]]), torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]))
    dims = {0: torch.export.Dim("texts"), 1: torch.export.Dim("tokens", max=encoder.max_length_tokens)}
    training = encoder.training
    with (
        warnings.catch_warnings()
    ):  # that the two inputs share their axes, which is so, and what PyTorch thinks of its own insides
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)  # torchvision, which nothing here needs, is not installed
        try:
            program = torch.onnx.export(
                encoder.eval(),
                given,
                dynamo=True,
                verbose=False,
                input_names=["input_ids", "attention_mask"],
                output_names=["vectors"],
                dynamic_shapes={"input_ids": dims, "attention_mask": dims},
            )
        finally:
            logging.disable(logging.NOTSET)
            encoder.train(training)
    assert program is not None
    model = program.model_proto
    for part in (model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer, *model.functions):
        _forget(part)
    for function in model.functions:
        for node in function.node:
            _forget(node)
    onnx.save_model(model, str(file))


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
            (out[batch],) = running.run(None, {"input_ids": input_ids.numpy(), "attention_mask": mask.numpy()})
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
