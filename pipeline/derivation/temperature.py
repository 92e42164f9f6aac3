"""Temperature: the attention of every layer is sharper (tau below 1) or flatter (above 1) than the model was trained with.

The longer a text is, the more its token vectors become alike, and long texts crowd together; a sharper attention acts against it. The
scores before the softmax are divided by tau. They are linear in the query, so the division is written into the query's weights, and into
the table of relative positions where one is added to the scores: every loader reads it. A model whose scores are not linear in these
weights is refused by name. Price: no text is read as in training any more.

Source: Zhou et al. 2024, arXiv:2410.24200 (TempScale), the softmax with temperature; its released code for T5's bias.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from pipeline.corpus.train_texts import Text
from pipeline.encoder.encoder import Encoder
from pipeline.encoder.inputs import plain

QUERIES = ("query", "q_lin", "q_proj", "query_proj", "pos_query_proj", "q")  # names in transformers
FUSED = "Wqkv"  # query, key and value in one, each a third of the rows (ModernBERT)
SOFTMAX = (nn.functional.softmax, torch.softmax, Tensor.softmax)
TRIED, TRIED_TOKENS, CLOSE = (
    0.5,
    24,
    1e-4,
)  # the tau that `check_fold` tries; tokens of its text; of the largest number in a vector


class Temperature:
    """Attention scores are divided by ``tau`` in every layer of every transformer of the model."""

    needs_texts = False
    needs = ("transformer",)

    def __init__(self, *, tau: Annotated[float, Field(ge=0.05, le=20)]) -> None:
        if not 0.05 <= tau <= 20:
            raise ValueError(
                f"tau must lie between 0.05 and 20, where 1 leaves the model as it is, got {tau}; write 0.80 for 80 percent"
            )
        self.tau = tau

    def derive(self, encoder: Encoder, texts: Sequence[Text], *, batch_tokens: int) -> Mapping[str, Any]:
        if not encoder.trunks:
            raise ValueError("the model has no transformer, so it has no attention; temperature is of transformers alone")
        for trunk in encoder.trunks:
            if not plain(trunk):
                raise ValueError(
                    f"{type(trunk.model).__name__} gives no token vectors; expected a transformer that reads texts alone"
                )
            check_fold(trunk.model)
        return {"tau": self.tau, "tensors": sum(fold(trunk.model, self.tau) for trunk in encoder.trunks)}


@torch.no_grad()
def fold(backbone: nn.Module, tau: float) -> int:
    """Divide what the attention scores are linear in by ``tau``; how many tensors that were."""
    found: dict[int, Tensor] = {}
    for module in backbone.modules():
        for weight in divisible(module):
            found[weight.data_ptr()] = weight  # shared layers have theirs once
    for weight in found.values():
        weight.div_(tau)
    return len(found)


def divisible(module: nn.Module) -> list[Tensor]:
    """Of an attention, its query's weights and biases; where a norm follows the query (Qwen3), that norm's; of a relative position table,
    the table. Nothing of another module."""
    parts = dict(module.named_children())
    table = parts.get("relative_attention_bias")
    found: list[Tensor] = [] if table is None else list(table.parameters())
    if FUSED in parts:
        return found + [weight[: len(weight) // 3] for weight in parts[FUSED].parameters()]
    queries = [parts[name] for name in QUERIES if isinstance(parts.get(name), nn.Linear)]
    if queries and "q_norm" in parts:
        queries = [parts["q_norm"]]
    return found + [weight for query in queries for weight in query.parameters()]


class Tempered(TorchFunctionMode):
    """Within it, the argument of every softmax is divided by ``tau``. ``calls`` counts them."""

    def __init__(self, tau: float) -> None:
        super().__init__()
        self.tau = tau
        self.calls = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in SOFTMAX:
            self.calls += 1
            args = (args[0] / self.tau, *args[1:])
        return func(*args, **(kwargs or {}))


@torch.no_grad()
def check_fold(backbone: Any) -> None:
    """ValueError, naming the model, where a folded copy gives other token vectors than a plain pass with the softmax itself changed."""
    tried, name = copy.deepcopy(backbone).eval().double(), type(backbone).__name__
    tried.set_attn_implementation("eager")
    number = tried.get_input_embeddings().num_embeddings
    ids: Int[Tensor, "1 L"] = torch.arange(TRIED_TOKENS, device=backbone.device)[None] * 7 % number

    def vectors() -> Float[Tensor, "1 L D"]:
        return tried(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state

    before = vectors()
    with Tempered(TRIED) as tempered:
        expected = vectors()
    fold(tried, TRIED)
    largest = expected.abs().max()
    off, effect = (float((one - expected).abs().max() / largest) for one in (vectors(), before))
    if not tempered.calls or not off < min(CLOSE, effect / 10):
        raise ValueError(
            f"{name}: the temperature cannot be written into its weights (token vectors would be off by {off:.2g} of the largest number); "
            f"expected attention scores that are linear in the query; take another model"
        )
