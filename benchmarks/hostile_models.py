"""Model directories that people might bring, damaged or made to harm, and what must hold of whatever loads them.

A case is made from its number alone, from one of a few tiny models with random weights.
"""

import json
import os
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

WORDS = ["the cat sat on a mat", "a dog ran in the park", "rolling window over rows", "sum of all numbers"] * 3
VALUES = (
    None, True, -1, 0, 1, 3, 2**31, 2**70, 10**9, 1e308, float("nan"), "", "x", "../../x", "torch.float16", "os.system", "auto", [], {},
    [1], {"a": 1},
    "${oc.env:HOME}", {"_target_": "os.system"}, "pipeline.__main__.main", [[[]]] * 5, "\u0000",
)  # fmt: skip
BRINGS_CODE = "import pathlib; pathlib.Path('CODE_RAN').touch()\n"


def bases(folder: Path) -> list[Path]:
    """Tiny models: as this package saves them, plain ones of transformers, and a table."""
    import torch
    import transformers
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, StaticEmbedding, Transformer

    from pipeline.encoder.encoder import Encoder
    from pipeline.encoder.scratch import ScratchBackbone

    torch.manual_seed(0)
    settings = {"vocabulary": 80, "width": 16, "layers": 2, "heads": 2, "intermediate": 32, "dropout": 0.1}
    own = Encoder(ScratchBackbone(**settings)(WORDS), max_length_tokens=12)
    own.prompts = {"pooled": True, "texts": {"retrieval": {"query": "find: "}}}
    own.save(folder / "own")
    tokenizer = own.tokenizer
    tiny = {"vocab_size": 80, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    for name, kind in (("bert", "Bert"), ("roberta", "Roberta"), ("llama", "Llama")):
        config = getattr(transformers, f"{kind}Config")(**tiny, max_position_embeddings=40, pad_token_id=0)
        getattr(transformers, f"{kind}Model")(config).save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    trunk = Transformer(str(folder / "bert"), model_kwargs={"local_files_only": True})
    modules = [trunk, Pooling(16, "mean"), Dense(16, 8), Normalize()]
    SentenceTransformer(modules=modules, device="cpu", local_files_only=True).save(
        str(folder / "dense"), create_model_card=False
    )
    table = StaticEmbedding(tokenizer.backend_tokenizer, embedding_dim=16)
    SentenceTransformer(modules=[table, Normalize()], device="cpu").save(str(folder / "table"), create_model_card=False)
    return sorted(folder.iterdir())


def of_json(draw: random.Random, model: Path) -> str:
    """Values of a JSON file replaced, taken out or put in."""
    file = draw.choice(sorted(model.rglob("*.json")))
    content = json.loads(file.read_text(encoding="utf-8"))
    for _ in range(draw.choice([1, 1, 2, 4])):
        place: Any = content
        while isinstance(place, dict | list) and place:
            key = draw.choice(sorted(place)) if isinstance(place, dict) else draw.randrange(len(place))
            inner = place[key]
            if not isinstance(inner, dict | list) or not inner or draw.random() < 0.4:
                match draw.randrange(5):
                    case 0:
                        del place[key]
                    case 1 if isinstance(inner, int | float) and not isinstance(inner, bool):
                        place[key] = draw.choice([inner * 2, inner + 1, -inner, inner * 10**6, float(inner), str(inner)])
                    case _:
                        place[key] = draw.choice(VALUES)
                break
            place = inner
    file.write_text(json.dumps(content), encoding="utf-8")
    return f"values of {file.relative_to(model)}"


SIZES = (
    "num_hidden_layers",
    "hidden_size",
    "vocab_size",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
)


def of_config(draw: random.Random, model: Path) -> str:
    files = [file for file in sorted(model.rglob("config.json")) if "model_type" in file.read_text(encoding="utf-8")]
    if not files:
        return of_json(draw, model)
    content = json.loads(files[0].read_text(encoding="utf-8"))
    key = draw.choice(
        [*SIZES, "model_type", "auto_map", "quantization_config", "torch_dtype", "hidden_act", "architectures", "pad_token_id"]
    )
    content[key] = draw.choice(
        [
            10**9,
            10**6,
            0,
            -1,
            3,
            "gpt2",
            "t5",
            "no_such",
            {"AutoModel": "evil.Evil"},
            {"quant_method": "gptq"},
            "nan",
            [],
            None,
            1.5,
        ]
    )
    if key == "auto_map":
        (model / "evil.py").write_text(BRINGS_CODE)
    files[0].write_text(json.dumps(content), encoding="utf-8")
    return f"config.json: {key} = {str(content[key])[:30]}"


def of_bytes(draw: random.Random, model: Path) -> str:
    """Of any file: bits flipped, the end cut off, bytes put in, nothing left, or something of another kind."""
    file = draw.choice(sorted(file for file in model.rglob("*") if file.is_file()))
    out = bytearray(file.read_bytes())
    kind = draw.choice(["flip", "flip", "cut", "insert", "empty", "zeros", "gone", "folder", "pipe", "link", "utf-16", "deep"])
    at = draw.randrange(len(out)) if out else 0
    match kind:
        case "flip":
            out[at : at + 1] = bytes([out[at] ^ 1 << draw.randrange(8)]) if out else b""
        case "cut":
            del out[at:]
        case "insert":
            out[at:at] = draw.randbytes(3)
        case "empty":
            out = bytearray()
        case "zeros":
            out = bytearray(len(out))
        case "utf-16":
            out = bytearray("{}".encode("utf-16"))
        case "deep":
            out = bytearray(b"[" * 100_000)
        case _:
            file.unlink()
    if kind in ("gone", "folder", "pipe", "link"):
        if kind == "folder":
            file.mkdir()
        elif kind == "pipe":
            os.mkfifo(file)
        elif kind == "link":
            file.symlink_to(draw.choice(["/etc/passwd", "/dev/zero", file.name, "/no/such"]))
    else:
        file.write_bytes(bytes(out))
    return f"{kind}: {file.relative_to(model)}"


def of_weights(draw: random.Random, model: Path) -> str:
    """Tensors renamed, lacking, of other shapes and types, not finite; headers that are none."""
    from safetensors.numpy import load_file, save_file

    file = draw.choice(sorted(model.rglob("*.safetensors")))
    state = load_file(file)
    name = draw.choice(sorted(state))
    kind = draw.choice(
        ["lacks", "renamed", "all renamed", "more", "nan", "inf", "shape", "empty", "half", "ints", "header", "index", "pickle"]
    )
    match kind:
        case "lacks":
            del state[name]
        case "renamed":
            state[f"{name}.x"] = state.pop(name)
        case "all renamed":
            state = {f"x.{key}": value for key, value in state.items()}
        case "more":
            state["../../x"] = state[name][:1]
        case "nan" | "inf":
            state[name] = state[name] * float(kind)
        case "shape":
            state[name] = state[name][:-1] if len(state[name]) > 1 else state[name].reshape(1, *state[name].shape)
        case "empty":
            state = {}
        case "half":
            state = {key: value.astype("float16") for key, value in state.items()}
        case "ints":
            state[name] = state[name].astype("int64")
        case _:
            pass
    if kind == "header":
        header = draw.choice(
            [[], None, {name: {}}, {name: {"dtype": "F32", "shape": [2**70], "data_offsets": [0, 8]}}, {name: None},
             {"__metadata__": []}, {name: {"dtype": "F32", "shape": [1.5], "data_offsets": [0.5, 4]}},
             {name: {"dtype": [], "shape": [1], "data_offsets": [8, 4]}}]
        )  # fmt: skip
        text = json.dumps(header).encode()
        file.write_bytes(struct.pack("<Q", draw.choice([len(text), len(text), 2**63, 10**9, 0])) + text + b"\0" * 16)
    elif kind == "index":
        shown = draw.choice(
            ["{}", "[]", '{"weight_map": []}', '{"weight_map": {"a": "../x.safetensors"}}', '{"weight_map": {"a": 3}}', "{"]
        )
        file.with_name("model.safetensors.index.json").write_text(shown)
        file.unlink()
    elif kind == "pickle":
        file.unlink()
        file.with_name("pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch CODE_RAN'\ntR.")
        if draw.random() < 0.5:
            file.with_name("pytorch_model.bin").rename(file)
    else:
        save_file(state, file, metadata={"format": "pt"})
    return f"weights {kind}: {file.relative_to(model)} {name}"


def of_code(draw: random.Random, model: Path) -> str:
    """Names of code: of modules, activations, settings, templates."""
    (model / "evil.py").write_text(BRINGS_CODE)
    kind = draw.choice(["module", "module", "settings", "activation", "template", "path", "tokenizer", "bomb"])
    modules = model / "modules.json"
    named = json.loads(modules.read_text()) if modules.is_file() else [{"idx": 0, "name": "0", "path": "", "type": "x"}]
    match kind:
        case "module":
            named[draw.randrange(len(named))]["type"] = draw.choice(
                ["evil.Evil", "os.system", "pipeline.__main__.main", "pipeline.distributed.disband", "sentence_transformers.util.http_get",
                 "sentence_transformers.SentenceTransformer", "pipeline.pooling.standard.standard", "", "x", ".",
                 "builtins.exec", "sentence_transformers..x"]
            )  # fmt: skip
            modules.write_text(json.dumps(named))
        case "path":
            named[-1]["path"] = draw.choice(["../..", "/etc", "\x00", "x" * 5000, ".", "a/../.."])
            modules.write_text(json.dumps(named))
        case "settings":
            text = draw.choice(
                ["pooling: {_target_: pipeline.__main__.main}", "adapter: {_target_: os.system}", "- a", "",
                 "max_length_tokens: ${oc.env:HOME}",
                 "!!python/object/apply:os.system ['touch CODE_RAN']", "a: &a [*a]", "max_length_tokens: 1e999", "prompts: {pooled: 3}",
                 "\x00"]
            )  # fmt: skip
            (model / "encoder.yaml").write_text(text)
        case "activation":
            for file in sorted(model.glob("*Dense*/config.json")):
                content = json.loads(file.read_text()) | {
                    "activation_function": draw.choice(["os.system", "torch.load", "torch.hub.load", "x"])
                }
                file.write_text(json.dumps(content))
        case "template":
            file = model / "tokenizer_config.json"
            content = json.loads(file.read_text()) if file.is_file() else {}
            content |= {
                "chat_template": "{{ cycler.__init__.__globals__.os.system('touch CODE_RAN') }}",
                "tokenizer_class": draw.choice(["Evil", "os.system"]),
            }
            file.write_text(
                json.dumps(content | ({"auto_map": {"AutoTokenizer": ["evil.Evil", None]}} if draw.random() < 0.5 else {}))
            )
        case _:
            _tokenizer(draw, model / "tokenizer.json", bomb=kind == "bomb")
    return f"code: {kind}"


def _tokenizer(draw: random.Random, file: Path, *, bomb: bool) -> None:
    if not file.is_file():
        return
    content = json.loads(file.read_text(encoding="utf-8"))
    if bomb:
        replace = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 16}
        regex = {"type": "Replace", "pattern": {"Regex": "(a+)+(a+)+(a+)+$"}, "content": ""}
        content["normalizer"] = {
            "type": "Sequence",
            "normalizers": draw.choice([[replace] * 9, [replace] * 2 + [regex], [replace] * 3]),
        }
    else:
        vocabulary = content.get("model", {}).get("vocab", {})
        if isinstance(vocabulary, dict) and vocabulary:
            chosen = draw.choice(sorted(vocabulary))
            vocabulary[chosen] = draw.choice([10**6, 2**31, -1, "x", None, 1.5])
    file.write_text(json.dumps(content), encoding="utf-8")


KINDS: tuple[Callable[[random.Random, Path], str], ...] = (
    of_json,
    of_json,
    of_config,
    of_bytes,
    of_bytes,
    of_weights,
    of_weights,
    of_code,
)


def case(number: int, models: list[Path], folder: Path) -> str:
    """A hostile copy of one of ``models`` as ``folder``; what was done to it."""
    draw = random.Random(f"model {number}")
    model = draw.choice(models)
    shutil.copytree(model, folder)
    return f"{model.name}, {draw.choice(KINDS)(draw, folder)}"
