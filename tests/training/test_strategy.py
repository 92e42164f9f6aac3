import importlib.util

import pytest
from pytorch_lightning.strategies import DDPStrategy

from pipeline.training.strategy import AnyDeepSpeedStrategy, strategy_for

CPU = {"accelerator": "cpu", "devices": 2, "num_nodes": 1}


def test_several_processes_take_ddp_unless_told_otherwise():
    assert strategy_for(CPU | {"strategy": "auto", "devices": 1}) == "auto"
    assert isinstance(strategy_for(CPU | {"strategy": "auto"}), DDPStrategy)
    assert isinstance(strategy_for(CPU | {"strategy": "ddp", "devices": 1}), DDPStrategy)


def test_fsdp_without_a_gpu_is_refused_with_what_to_take_instead():
    with pytest.raises(
        ValueError, match=r"runtime.strategy: fsdp shards over GPUs, and there is none; take ddp, or deepspeed_stage_3"
    ):
        strategy_for(CPU | {"strategy": "fsdp"})


def test_a_machine_without_deepspeed_is_told_what_to_install(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "deepspeed" else find(name, *rest))
    with pytest.raises(
        ValueError, match="strategy is deepspeed_stage_2, but deepspeed is not installed; `pip install deepspeed`"
    ):
        strategy_for(CPU | {"strategy": "deepspeed_stage_2"})
    assert isinstance(strategy_for(CPU | {"strategy": "ddp"}), DDPStrategy)


@pytest.mark.parametrize(
    ("name", "stage", "offloaded"),
    [
        ("deepspeed_stage_1", 1, set()),
        ("deepspeed_stage_2_offload", 2, {"optimizer"}),
        ("deepspeed_stage_3_offload", 3, {"optimizer", "param"}),
    ],
)
def test_the_name_of_a_deepspeed_strategy_says_its_stage_and_what_is_offloaded(name, stage, offloaded, monkeypatch):
    pytest.importorskip("deepspeed")
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    made = strategy_for(CPU | {"strategy": name})
    assert isinstance(made, AnyDeepSpeedStrategy)
    zero = made.config["zero_optimization"]
    assert zero["stage"] == stage
    assert {part for part in ("optimizer", "param") if zero.get(f"offload_{part}")} == offloaded
