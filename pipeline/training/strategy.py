"""How a training is spread over processes, by `runtime.strategy`. DeepSpeed is imported only where it is chosen."""

import importlib.util
import os
from collections.abc import Mapping
from typing import Any

import torch
from lightning_fabric.utilities.seed import reset_seed
from pytorch_lightning.accelerators import CPUAccelerator
from pytorch_lightning.strategies import DDPStrategy, DeepSpeedStrategy, FSDPStrategy, Strategy


def strategy_for(runtime: Mapping[str, Any]) -> Strategy | str:
    """ValueError where the chosen one cannot run on this machine."""
    name = str(runtime["strategy"])
    on_cpu = runtime["accelerator"] == "cpu" or not torch.cuda.is_available()
    if name == "auto":
        return "auto" if runtime["devices"] in (1, "1") and runtime["num_nodes"] == 1 else _ddp(on_cpu)
    if name == "ddp":
        return _ddp(on_cpu)
    if name == "fsdp":
        if on_cpu:
            raise ValueError(
                "runtime.strategy: fsdp shards over GPUs, and there is none; take ddp, or deepspeed_stage_3, which also runs on CPU"
            )
        return FSDPStrategy(use_orig_params=True, sharding_strategy="FULL_SHARD", state_dict_type="full")
    if importlib.util.find_spec("deepspeed") is None:
        raise ValueError(
            f"runtime.strategy is {name}, but deepspeed is not installed; `pip install deepspeed`, or take auto or ddp"
        )
    if on_cpu:
        os.environ["DS_ACCELERATOR"] = "cpu"
    stage, _, offload = name.removeprefix("deepspeed_stage_").partition("_")
    bucket = 2_000_000 if on_cpu else 200_000_000  # numbers sent at a time, and held as often; Lightning's own is for GPUs
    return AnyDeepSpeedStrategy(
        stage=int(stage),
        offload_optimizer=offload == "offload",
        offload_parameters=offload == "offload" and stage == "3",
        logging_batch_size_per_gpu=1,  # a number for its log, which it would ask of the batch sampler
        allgather_bucket_size=bucket,
        reduce_bucket_size=bucket,
        config=None,
    )


def _ddp(on_cpu: bool) -> DDPStrategy:
    return DDPStrategy(process_group_backend="gloo" if on_cpu else "nccl", gradient_as_bucket_view=True)


class AnyDeepSpeedStrategy(DeepSpeedStrategy):
    """Lightning's strategy, also on CPU over gloo, where three of its checks are in the way; on a GPU it is Lightning's own."""

    _initialising = False

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        assert isinstance(self.config, dict)
        self.config["zero_force_ds_cpu_optimizer"] = False  # offloaded states are stepped by torch's AdamW: no compiler needed

    @property
    def on_cpu(self) -> bool:
        return isinstance(self.accelerator, CPUAccelerator)

    def setup_environment(self) -> None:
        if not self.on_cpu:
            return super().setup_environment()
        import deepspeed.ops
        from deepspeed.accelerator import get_accelerator

        if get_accelerator()._name != "cpu":  # pyright: ignore[reportOptionalMemberAccess]
            raise ValueError("DeepSpeed was first used for another device; set DS_ACCELERATOR=cpu")
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False  # for inference; else a C++ build at the first use
        return super(DeepSpeedStrategy, self).setup_environment()  # all but the check for CUDA

    def setup_distributed(self) -> None:
        if not self.on_cpu:
            return super().setup_distributed()
        reset_seed()
        self.set_world_ranks()
        return self._init_deepspeed_distributed()  # all but the check of device numbers

    @property
    def root_device(self) -> torch.device:
        device = super().root_device
        return torch.device("cpu", self.local_rank) if self._initialising and device.type == "cpu" else device

    def init_deepspeed(self) -> None:
        self._initialising = True  # its start asks the device for a number
        try:
            super().init_deepspeed()
        finally:
            self._initialising = False
