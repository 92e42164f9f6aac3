"""Steps whose loss jumps, or whose gradient is no number: told, and passed over, taken back, or the end of the training, by policy."""

import math
from collections import deque
from collections.abc import Mapping
from statistics import median
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.strategies import DeepSpeedStrategy, FSDPStrategy
from torch import Tensor

from pipeline.distributed import first_process


class Spikes(Callback):
    """Watches the loss of each task. It is a spike above ``factor`` times the median of the last ``window`` losses of its task, once there
    are so many. What follows is said by ``on_spike``:

    * stop: the training ends with an error, before the step is taken
    * skip: the step changes nothing
    * back: weights and optimizer become what they were when they were last kept, every ``every_steps`` steps; the batches since then are
      passed over, so that the training does not meet the same spike again

    ``on_nonfinite`` says the same of a gradient that is no number. All of it is in checkpoints, so a stopped training ends with the same
    bytes. Price of back: two more copies of weights and optimizer, in memory and in each checkpoint.
    """

    def __init__(self, *, on_nonfinite: str, spike: Mapping[str, Any] | None, every_steps: int = 50) -> None:
        self.on_nonfinite = on_nonfinite
        self.on_spike = spike["policy"] if spike else None
        self.factor = spike["factor"] if spike else math.inf
        self.window = spike["window"] if spike else 1
        self.every_steps = every_steps
        self.recent: dict[str, list[float]] = {}
        self.past: dict[str, Any] = {}  # "step", "weights", "optimizer"
        self.told = ""  # of the step under way

    def state_dict(self) -> dict[str, Any]:
        return {"recent": self.recent, "past": self.past}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.recent, self.past = state_dict["recent"], state_dict["past"]

    @property
    def goes_back(self) -> bool:
        return "back" in (self.on_nonfinite, self.on_spike)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if self.goes_back and isinstance(trainer.strategy, (DeepSpeedStrategy, FSDPStrategy)):
            raise ValueError(
                "on_nonfinite or on_spike says back, which needs a process that holds all weights; expected runtime.strategy auto or "
                "ddp, or the policy skip or stop"
            )
        if self.on_spike in ("skip", "back") and isinstance(trainer.strategy, DeepSpeedStrategy):
            raise ValueError(
                "on_spike: skip needs the gradients, which DeepSpeed keeps to itself; take stop, or runtime.strategy: ddp"
            )

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.goes_back and not self.past:
            self._keep(trainer, pl_module)

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        losses: Mapping[str, float] = pl_module.losses  # pyright: ignore[reportAssignmentType]
        self.told = next(filter(None, (self._jumped(task, loss) for task, loss in losses.items())), "")
        if self.told and self.on_spike == "stop":
            raise ValueError(
                f"step {trainer.global_step}: {self.told}; lower optimizer.lr, look at the rows, or set on_spike.policy: skip"
            )
        if self.told:
            optimizer.zero_grad(set_to_none=True)  # parameters without a gradient are left alone, momentum and decay too
        else:
            for task, loss in losses.items():
                if math.isfinite(loss):
                    self.recent[task] = list(deque([*self.recent.get(task, []), loss], maxlen=self.window))

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *rest: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        norm: float | None = pl_module.gradient_norm  # pyright: ignore[reportAssignmentType]
        faults = [(self.told, self.on_spike)] if self.told else []
        if norm is not None and not math.isfinite(norm):
            faults.append((f"the gradient is {norm}", self.on_nonfinite))
        for told, policy in faults:
            back = policy == "back"
            if first_process():
                print(
                    f"step {trainer.global_step - 1}: {told}; "
                    + (f"back to step {self.past['step']}" if back else "the step is skipped")
                )
            for logger in trainer.loggers:
                logger.log_metrics({"passed_over": 1.0}, step=trainer.global_step - 1)
            if back:
                self._restore(trainer, pl_module)
        if self.goes_back and not faults and trainer.global_step % self.every_steps == 0:
            self._keep(trainer, pl_module)
        self.told = ""

    def _jumped(self, task: str, loss: float) -> str:
        """What is told of a loss; empty where it is no spike. Non-finite ones are seen by their gradient."""
        recent = self.recent.get(task, [])
        if self.on_spike is None or len(recent) < self.window or not math.isfinite(loss):
            return ""
        usual = median(recent)
        if usual <= 0:  # as many times nothing says nothing
            return ""
        return (
            f"the loss of task {task} is {loss:.4g}, {loss / usual:.1f} times the median of the last {self.window}"
            if loss > self.factor * usual
            else ""
        )

    def _keep(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        weights = {name: value.detach().clone() for name, value in _held(pl_module).items()}
        states = [{k: _copied(v) for k, v in state.items()} for state in _states(trainer, pl_module)]
        self.past = {"step": trainer.global_step, "weights": weights, "optimizer": states}

    @torch.no_grad()
    def _restore(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for name, value in _held(pl_module).items():
            value.copy_(self.past["weights"][name])
        (optimizer,) = trainer.optimizers
        for parameter, kept in zip(_parameters(pl_module), self.past["optimizer"], strict=True):
            if kept:
                own = optimizer.state[parameter]  # whose tensors say where they lie: a checkpoint is read to the CPU
                optimizer.state[parameter] = {key: _placed(value, own.get(key)) for key, value in kept.items()}
            else:  # kept before its first step
                optimizer.state.pop(parameter, None)


def _held(module: pl.LightningModule) -> dict[str, Tensor]:
    """What a step changes: trained weights, and what objectives remember."""
    return {name: value for name, value in module.named_parameters() if value.requires_grad} | dict(module.named_buffers())


def _parameters(module: pl.LightningModule) -> list[torch.nn.Parameter]:
    return [value for value in module.parameters() if value.requires_grad]


def _states(trainer: pl.Trainer, module: pl.LightningModule) -> list[dict[str, Any]]:
    (optimizer,) = trainer.optimizers
    return [dict(optimizer.state.get(parameter, {})) for parameter in _parameters(module)]


def _copied(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else value


def _placed(value: Any, own: Any) -> Any:
    """A copy of ``value`` where ``own`` lies."""
    return _copied(value).to(own.device) if isinstance(value, Tensor) and isinstance(own, Tensor) else _copied(value)
