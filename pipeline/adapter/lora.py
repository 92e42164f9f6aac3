"""LoRA: two thin matrices beside each linear layer are trained in place of its weights.

They are merged into the weights when the encoder is saved, so what is handed on, merged with others and evaluated is dense.
Price: the change of a layer has rank ``rank``; the backbone's weights stay in memory beside it.

Source: Hu et al. 2021, arXiv:2106.09685, eq. 3, by peft.
"""

from collections.abc import Sequence
from typing import Any, Literal

from transformers import PreTrainedModel

from pipeline.build import build
from pipeline.encoder.encoder import Encoder


class LoRA:
    """Called with a backbone. ``targets``: names of linear layers, or ``all-linear``."""

    def __init__(self, *, rank: int, alpha: int, dropout: float, targets: Sequence[str] | Literal["all-linear"]) -> None:
        where = "see conf/adapter/lora.yaml"
        if rank < 1 or alpha <= 0:
            raise ValueError(f"rank and alpha must be positive, got {rank} and {alpha}; {where}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {dropout}; {where}")
        self.rank = rank
        self.alpha = alpha
        self.dropout = dropout
        self.targets = targets if isinstance(targets, str) else list(targets)

    def __call__(self, backbone: PreTrainedModel) -> Any:
        from peft import LoraConfig, get_peft_model  # heavy, and only where it is chosen

        config = LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=self.targets,
            bias="none",
            task_type="FEATURE_EXTRACTION",
        )
        try:
            return get_peft_model(backbone, config)
        except ValueError as error:  # no layer has such a name
            raise ValueError(f"encoder.adapter.targets {self.targets}: {error}") from None


def adapt(encoder: Encoder) -> None:
    """Put the adapter that the encoder names, if any, on its backbone, unless it is there. From then on only the adapter and the modules
    behind it learn."""
    if encoder.adapter is None:
        return
    for trunk in encoder.trunks:
        if not hasattr(trunk.model, "merge_and_unload"):
            trunk.model = build(encoder.adapter)(trunk.model)
