"""python mergekit_vectors.py <file>: what mergekit makes of a few tensors, with the tensors, for tests/merging/test_mergekit.py.

Run with mergekit 0.1.5 in an environment of its own (it is LGPL and no dependency): writes tests/merging/mergekit.safetensors.
"""

import sys

import torch
from mergekit.merge_methods import get, merge_state_dicts
from safetensors.torch import save_file

CASES = {
    "linear": ("linear", 3, {"weight": [0.5, 0.2, 0.3]}),
    "task_arithmetic": ("task_arithmetic", 3, {"weight": 0.4}),
    "ties": ("ties", 3, {"weight": 1.0, "density": 0.5}),
    "model_stock": ("model_stock", 3, {}),
    "multislerp": ("multislerp", 3, {"weight": 1.0}),
    "nuslerp": ("nuslerp", 2, {"weight": 1.0}),
    "slerp": ("slerp", 2, {"t": 0.5}),
    "dare_linear": ("dare_linear", 1, {"weight": 1.0, "density": 0.6}),
}


def draw(seed, scale):
    random = torch.Generator().manual_seed(seed)
    return {name: scale * torch.randn(shape, generator=random) for name, shape in (("a.w", (12, 8)), ("b", (15,)))}


def main():
    base = draw(0, 1.0)
    common = draw(9, 0.3)  # so that no cosine of two task vectors is below 0, where Model Stock differs
    experts = [{name: base[name] + common[name] + value for name, value in draw(k, 0.3).items()} for k in (1, 2, 3)]
    found = {f"{k}|{name}": value for k, state in enumerate([base, *experts]) for name, value in state.items()}
    for case, (method, num, parameters) in CASES.items():
        torch.manual_seed(0)
        with_base = method != "linear"
        if method == "slerp":  # of two whole models, the first of which mergekit calls the base
            states, with_base_index = dict(enumerate(experts[:2])), 0
        else:
            states = dict(enumerate(experts[:num]))
            with_base_index = num if with_base else None
            if with_base:
                states[num] = base
        given = dict(parameters)
        if isinstance(given.get("weight"), list):
            given["weight"] = dict(enumerate(given["weight"]))
        try:
            merged = merge_state_dicts(states, get(method), base=with_base_index, parameters=given, dtype=torch.float32)
        except Exception as error:
            print(case, "failed:", repr(error)[:300])
            continue
        found |= {f"{case}|{name}": value.contiguous() for name, value in merged.items()}
        print(case, "done")
    save_file(found, sys.argv[1])


if __name__ == "__main__":
    main()
