"""Whether models may be merged: one architecture, one tokenizer, the same modules behind the transformer."""

from pathlib import Path
from typing import Any

from pipeline.checkpoint import sha256
from pipeline.limits import parsed_yaml
from pipeline.manifest import MODULES, modules, read_json

ATTENTION = "is_causal"  # ours: absent where a model attends as it came
# Keys of config.json that say how a model is stored, trained or asked by others, not what its weights compute.
OF_TRAINING = {
    "_name_or_path",
    "architectures",
    "auto_map",
    "bos_token_id",
    "decoder_start_token_id",
    "dtype",
    "eos_token_id",
    "finetuning_task",
    "gradient_checkpointing",
    "id2label",
    "initializer_factor",
    "initializer_range",
    "label2id",
    "num_labels",
    "output_attentions",
    "output_hidden_states",
    "pretraining_tp",
    "problem_type",
    "task_specific_params",
    "tie_word_embeddings",
    "torch_dtype",
    "transformers_version",
    "use_cache",
    "vocab_size",
}
SPECIAL = ("unk_token", "pad_token", "bos_token", "eos_token", "cls_token", "sep_token", "add_bos_token", "add_eos_token")
READING = {
    "config_sentence_transformers.json": ("prompts", "default_prompt_name", "similarity_fn_name"),
    "sentence_bert_config.json": ("max_seq_length", "do_lower_case"),
    "tokenizer_config.json": (*SPECIAL, "do_lower_case"),
    "encoder.yaml": ("max_length_tokens", "prompts"),
}


def check_alike(expert: Path, base: Path) -> None:
    """ValueError, with the file and both values, where ``expert`` cannot be merged with ``base``."""
    _check_tokenizer(expert, base)
    _check_config(expert, base)
    _check_modules(expert, base)
    _tell_reading(expert, base)


def _check_tokenizer(expert: Path, base: Path) -> None:
    """ValueError unless ``expert`` has the base's architecture and tokenizer."""
    for directory in (expert, base):
        if not (directory / "config.json").is_file() and not (directory / MODULES).is_file():
            raise ValueError(f"{directory} holds no config.json: merging needs encoder directories; train it with `dvc repro`")
    one, other = (read_json(directory / "config.json").get("model_type") for directory in (expert, base))
    if one != other:
        raise ValueError(
            f"{expert / 'config.json'}: model_type is {one!r}, the base's is {other!r}; merge models of one architecture"
        )
    for name in ("tokenizer.json", "vocab.txt", "vocab.json", "sentencepiece.bpe.model", "spiece.model"):
        files = [directory / name for directory in (expert, base)]
        if any(file.is_file() for file in files):
            if not all(file.is_file() for file in files) or (
                sha256(files[0]) != sha256(files[1]) and _words(files[0]) != _words(files[1])
            ):
                raise ValueError(
                    f"{expert} has another tokenizer than {base} ({name}): their word vectors do not stand for the same words"
                )
            return


def _words(file: Path) -> Any:
    """What a tokenizer's file says, less how long the last texts were that it was asked for."""
    if file.suffix != ".json":
        return sha256(file)
    return {key: value for key, value in read_json(file).items() if key not in ("truncation", "padding")}


def _check_config(expert: Path, base: Path) -> None:
    """ValueError where the same weights would compute something else: another number of heads, another activation."""
    one, other = (read_json(directory / "config.json") for directory in (expert, base))
    for key in sorted((one.keys() & other.keys()) | ({ATTENTION} & (one.keys() | other.keys()))):
        if key in OF_TRAINING or "drop" in key or one.get(key) == other.get(key):
            continue
        raise ValueError(
            f"{expert / 'config.json'}: {key} is {one.get(key)!r}, the base's is {other.get(key)!r}: with it the same weights make other "
            f"vectors; merge models of one configuration, or set the key as the base has it"
        )


def _tell_reading(expert: Path, base: Path) -> None:
    """A line about each setting by which the expert reads texts otherwise than the base, whose settings the merged model takes."""
    for name, keys in READING.items():
        one, other = (_settings(directory / name) for directory in (expert, base))
        for key in keys:
            found, kept = one.get(key), other.get(key)
            if found != kept and not (name.endswith(".json") and None in (found, kept)):
                print(f"{expert / name}: {key} is {found!r}, the base's is {kept!r}, which the merged model takes")


def _settings(file: Path) -> dict[str, Any]:
    if file.suffix == ".yaml":
        content = parsed_yaml(file) if file.is_file() else {}
        return content if isinstance(content, dict) else {}
    return read_json(file)


def _check_modules(expert: Path, base: Path) -> None:
    """ValueError unless ``expert`` has the base's modules behind the transformer, in the same settings: the merge takes the base's."""
    if not any((directory / MODULES).is_file() for directory in (expert, base)):
        return
    layouts = []
    for directory in (expert, base):
        found = {folder: kind.rsplit(".", 1)[-1] for folder, kind in modules(directory).items()}
        layouts.append(
            {
                folder: (kind, {} if kind == "Transformer" else read_json(directory / folder / "config.json"))
                for folder, kind in found.items()
            }
        )
    one, other = layouts
    for folder in sorted({*one, *other}):
        if one.get(folder) != other.get(folder):
            told = [" ".join(map(str, found[folder])) if folder in found else "nothing" for found in layouts]
            raise ValueError(
                f"{expert}: the module in {folder or 'the directory itself'} is {told[0]}, the base's is {told[1]}; "
                f"merge models of the same modules (a plain base becomes one by SentenceTransformer(base).save(...))"
            )
