"""What other runtimes must be told to get a model's vectors out of its ONNX files: which pools how, and what none of them can do."""

from typing import Any

from sentence_transformers.base.modules import Normalize
from sentence_transformers.sentence_transformer.modules import Pooling

from pipeline.encoder.encoder import Encoder
from pipeline.form.onnx import TEXT, TOKENS

NAMES = {
    "mean": ("mean", "mean"),
    "cls": ("cls", "cls"),
    "lasttoken": ("last_token", None),
}  # in transformers.js, and in TEI's ORT


def pooling_of(encoder: Encoder) -> tuple[str, bool] | None:
    """``(mode, normalised)`` where a vector is one pooling of `last_hidden_state`, at unit length or not; None where it is more."""
    rest = encoder.path(0)[1:]
    kinds = [type(module) for module in rest]
    if kinds not in ([Pooling], [Pooling, Normalize]):
        return None
    modes: Any = rest[0].pooling_mode
    mode = modes if isinstance(modes, str) else "+".join(modes)
    as_text = rest[0].include_prompt or not any(encoder.model.prompts.values())
    return (mode, Normalize in kinds) if mode in NAMES and as_text else None


def elsewhere(encoder: Encoder, path: str, file: str, dtype: str) -> str:
    """Markdown: how sentence-transformers' ONNX backend, transformers.js and Text Embeddings Inference read ``file``, the one of ``dtype``
    in transformers.js."""
    told = [
        f"- sentence-transformers pools `{TOKENS}` itself: "
        f'`SentenceTransformer("{path}", backend="onnx", model_kwargs={{"file_name": "{file}"}})`.'
    ]
    found = pooling_of(encoder)
    if found is None:
        told.append(
            f"- transformers.js: no pooling of `{TOKENS}` makes these vectors; take the output `{TEXT}`: "
            f'`const {{ {TEXT} }} = await (await AutoModel.from_pretrained("{path}", {{ dtype: "{dtype}" }}))(await tokenizer(texts, '
            f"{{ padding: true, truncation: true }}))`."
        )
        told.append(f"- Text Embeddings Inference reads `{TOKENS}` alone: it cannot make these vectors of this file.")
        return "\n".join(told)
    mode, unit = found
    script, server = NAMES[mode]
    told.append(
        f'- transformers.js: `(await pipeline("feature-extraction", "{path}", {{ dtype: "{dtype}" }}))(texts, '
        f'{{ pooling: "{script}", normalize: {str(unit).lower()} }})`.'
    )
    if dtype == "fp32":
        given = f"`--pooling {server}`" if server else f"has no pooling `{mode}` for ONNX; it reads `model.safetensors` instead"
        told.append(f"- Text Embeddings Inference: {given}.")
    return "\n".join(told)
