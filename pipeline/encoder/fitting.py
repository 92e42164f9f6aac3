"""Whether the parts of a model fit each other: weights and configuration, tokenizer and embedding table, modules and widths.

transformers and tokenizers go on where they do not: with random weights, with words that vanish, with an index error at the first long
text. Here each is a ValueError before anything is trained; what may be meant is a line.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Router, Transformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from torch import nn
from transformers import AutoModel

from pipeline.manifest import read_json

STRANGE = "\u13a0\u2e18\U0001f9ed"  # a Cherokee letter, an inverted interrobang, a compass: most vocabularies lack one of them
WITH_END = (  # what transformers 5 writes into tokenizer.json; a line of tokenizer_config.json alone it passes over
    "to have one, `t = AutoTokenizer.from_pretrained(DIR); t.add_bos_token = True; t.add_eos_token = True; t.save_pretrained(DIR)` "
    "(the second only where texts begin with a token of their own)"
)
SHOWN = 3  # names in a message


def check_weights(directory: Path, folders: Sequence[str], model: SentenceTransformer) -> None:
    """ValueError where files lack weights that vectors depend on, which transformers draws at random; a line where they hold further
    layers. ``folders``: of the transformers, in the order of the modules."""
    trunks = [module for module in model.modules() if isinstance(module, Transformer)]
    for folder, trunk in zip(folders, trunks, strict=True):
        kind: Any = type(trunk.model)
        named = dict(trunk.model.named_parameters())
        info = _told(kind, directory, folder)
        missing = sorted(set(info["missing_keys"]) & set(named))
        if missing and (lacking := _used(trunk, missing)):
            further = sorted(info["unexpected_keys"])
            held = f"; the files hold {_some(further)}, which the model has no place for" if further else ""
            raise ValueError(
                f"{directory / folder}: the weights lack {len(lacking)} of the {len(named)} tensors of {kind.__name__} "
                f"({_some(lacking)}), which would be drawn at random{held}; save the model whole, or mend config.json (its layers, "
                f"its model_type)"
            )
        layers = {_pattern(name) for name in named if _pattern(name) != name}
        beyond = sorted(name for name in info["unexpected_keys"] if any(_pattern(name).endswith(one) for one in layers))
        if beyond:
            print(
                f"{directory / folder}: {len(beyond)} tensors of layers that config.json does not name are not read ({_some(beyond)})"
            )


def unlike_shapes(directory: Path, folder: str) -> str:
    """Which tensors of the files have another shape than config.json says; empty where that cannot be told."""
    try:
        info = _told(AutoModel, directory, folder)
    except Exception:
        return ""
    shown = [f"{name} is {tuple(found)}, expected {tuple(wanted)}" for name, found, wanted in sorted(info["mismatched_keys"])]
    return "; ".join(shown[:SHOWN])


def _told(kind: Any, directory: Path, folder: str) -> dict[str, Any]:
    """What transformers says of the files, without reading the weights."""
    how = {"local_files_only": True, "use_safetensors": True, "trust_remote_code": False, "device_map": "meta"}
    _, info = kind.from_pretrained(
        str(directory), subfolder=folder, output_loading_info=True, ignore_mismatched_sizes=True, **how
    )
    return info


def _used(trunk: Transformer, names: Sequence[str]) -> list[str]:
    """Those of ``names`` that a vector depends on: a pooler, or a decoder that nobody asks, has no gradient."""
    if not trunk.modality_config.keys() & {"text", "message"}:
        return [name for name in names if "pooler" not in name]
    training = trunk.training
    with torch.enable_grad():
        found = trunk.eval()(trunk.preprocess(["text"]))
        vectors = found.get("token_embeddings", found.get("sentence_embedding"))
        parameters = dict(trunk.model.named_parameters())
        gradients = torch.autograd.grad(vectors.float().sum(), [parameters[name] for name in names], allow_unused=True)
    trunk.train(training)
    return [name for name, gradient in zip(names, gradients, strict=True) if gradient is not None]


def check_tokenizer(where: Path | str, first: Any) -> None:
    """ValueError where the tokenizer of a first module cannot be that of its embeddings."""
    tokenizer, table = first.tokenizer, _table(first)
    if tokenizer is None or table is None:  # a model of images
        return
    vocabulary, rows = tokenizer.get_vocab(), len(table)
    last = max(vocabulary, key=lambda token: vocabulary[token], default="")
    if vocabulary and vocabulary[last] >= rows:
        beyond = sum(number >= rows for number in vocabulary.values())
        raise ValueError(
            f"{where}: the tokenizer has {beyond} tokens that the embedding table of {rows} rows has no vector for (the last: {last!r}, "
            f"id {vocabulary[last]}); take the tokenizer that belongs to these weights, or resize the table and save the model again"
        )
    special = set(getattr(tokenizer, "all_special_tokens", ()))
    if not vocabulary.keys() - special:
        raise ValueError(
            f"{where}: the tokenizer holds no word, only {', '.join(sorted(map(repr, special)))}, and the embedding table has {rows} rows: "
            f"its files are empty or missing; fetch the model again"
        )
    _check_padding(where, first, tokenizer)
    _plain_ids(where, tokenizer, STRANGE)


def tell_tokenizer(where: Path | str, first: Any) -> None:
    """Lines about what a tokenizer does to texts that may not be meant."""
    tokenizer, table = first.tokenizer, _table(first)
    if tokenizer is None or table is None:
        return
    if len(tokenizer.get_vocab()) < len(table) / 2:
        print(
            f"{where}: the tokenizer has {len(tokenizer.get_vocab())} tokens, the embedding table {len(table)} rows: "
            f"is it the tokenizer of this model?"
        )
    if not _plain_ids(where, tokenizer, STRANGE):
        print(f"{where}: the tokenizer has no token for the unknown: what is not in its vocabulary vanishes from texts")
    end = getattr(tokenizer, "eos_token_id", None)
    if read_json(Path(where) / "tokenizer_config.json").get("add_eos_token") and tokenizer("text")["input_ids"][-1] != end:
        print(
            f"{where}: tokenizer_config.json asks for an end token behind each text (add_eos_token), and there is none: transformers "
            f"goes by tokenizer.json; {WITH_END}"
        )


def _check_padding(where: Path | str, first: Any, tokenizer: Any) -> None:
    """RoBERTa and its kin count positions of the tokens that are not the padding that config.json names."""
    if not isinstance(first, Transformer):
        return
    own: Any = first.model.config.get_text_config().pad_token_id
    given = getattr(tokenizer, "pad_token_id", None)
    counts = any(
        isinstance(getattr(module, "position_embeddings", None), nn.Embedding)
        and getattr(module, "padding_idx", None) is not None
        for module in first.model.modules()
    )
    if counts and None not in (own, given) and own != given:
        raise ValueError(
            f"{where}: the tokenizer pads with {tokenizer.pad_token!r} (id {given}), but config.json says pad_token_id {own}, "
            f"from which {type(first.model).__name__} counts positions; take the tokenizer of this model, or mend pad_token_id"
        )


def pad(where: Path | str, tokenizer: Any) -> None:
    """Give a tokenizer without a pad token another of its tokens, for the mask hides what stands there. ValueError where it has none."""
    if tokenizer is None or not hasattr(tokenizer, "pad_token") or tokenizer.pad_token is not None:
        return
    known = (tokenizer.eos_token, tokenizer.sep_token, tokenizer.unk_token, tokenizer.bos_token, tokenizer.cls_token)
    found = next((token for token in known if token is not None), None)
    if found is None:
        raise ValueError(
            f"{where}: the tokenizer names no pad token, nor any other special token to pad with; set pad_token in tokenizer_config.json"
        )
    tokenizer.pad_token = found
    print(f"{where}: the tokenizer has no pad token; {found!r} stands in for it, and the mask hides it")


@torch.no_grad()
def check_vectors(where: Path | str, model: SentenceTransformer) -> None:
    """ValueError where the modules make no vectors of a short text, or none of numbers."""
    for route in _routes(model):
        named = {} if route is None else {"task": route}
        try:
            vectors = model(model.preprocess(["a text"], **named), **named)["sentence_embedding"]
            if (said := model.get_embedding_dimension()) not in (None, vectors.shape[1]):
                raise ValueError(f"they make vectors of {vectors.shape[1]} numbers and say {said}")
        except Exception as error:
            kinds = ", ".join(type(module).__name__ for module in model)
            raise ValueError(
                f"{where}: the modules {kinds} do not fit each other: {_first_line(error)}; compare the widths in the config.json of each"
            ) from error
        if not torch.isfinite(vectors).all():
            bad = [name for name, weight in model.named_parameters() if not torch.isfinite(weight).all()]
            raise ValueError(
                f"{where}: the vector of a text holds NaN or infinity"
                + (f", as its weights do ({_some(bad)})" if bad else "; were the weights made for half precision?")
                + "; fetch or train it again"
            )


@torch.no_grad()
def checked(where: Path, make: Callable[[], Any]) -> Any:
    """The `pipeline.encoder.encoder.Encoder` that ``make`` loads. ValueError, with the directory, where it cannot, or where the encoder
    makes no vector of a short text, or none of numbers."""
    vectors = torch.zeros(1)
    try:
        encoder = make()
        first = encoder.path(0)[0]
        text = (
            getattr(first, "tokenizer", None) is not None and _table(first) is not None
        )  # else a model of images, or of what else
        for side in ("query", "document") if text else ():
            vectors = encoder(*encoder.padded(encoder.token_ids(["a text"], None, side=side)))
    except Exception as error:
        if isinstance(error, ValueError | OSError) and str(where) in str(error):
            raise
        raise ValueError(
            f"{where}: the model makes no vector of a text: {type(error).__name__}: {_first_line(error)}; fetch or save it again"
        ) from error
    if not torch.isfinite(vectors).all():
        raise ValueError(f"{where}: the vector of a text holds NaN or infinity; fetch or train it again")
    return encoder


def _routes(model: SentenceTransformer) -> Iterator[str | None]:
    router = next((module for module in model if isinstance(module, Router)), None)
    yield from [None] if router is None else router.sub_modules


def _table(first: Any) -> Any:
    first = getattr(first, "members", [[first]])[0][0]  # of models side by side, the one whose tokenizer all share
    if isinstance(first, StaticEmbedding):
        return first.embedding.weight
    if not first.modality_config.keys() & {"text", "message"}:
        return None
    try:
        return first.model.get_input_embeddings().weight
    except (AttributeError, NotImplementedError):  # a model that hashes letters has no table
        return None


def _plain_ids(where: Path | str, tokenizer: Any, text: str) -> list[int]:
    try:
        found = tokenizer.encode(text, add_special_tokens=False)
    except Exception as error:
        raise ValueError(
            f"{where}: the tokenizer cannot read a text with unknown letters: {_first_line(error)}; its files (tokenizer.json, "
            f"tokenizer_config.json, vocabulary) do not belong together: fetch them again"
        ) from error
    return list(getattr(found, "ids", found))


def _pattern(name: str) -> str:
    """Of a tensor's name, with numbers of layers left open."""
    return re.sub(r"(?<=\.)\d+(?=\.)", "*", name)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
