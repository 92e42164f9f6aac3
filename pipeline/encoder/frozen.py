"""A fixed model as it came, for curation: never one that this run trains, whose data would then depend on itself."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float


class Frozen:
    """Mean-pooled unit vectors of ``backbone`` (a part of conf/encoder). Texts are cut at ``max_length_tokens``."""

    def __init__(
        self, *, backbone: Callable[[Iterable[str]], tuple[Any, Any]], max_length_tokens: int, batch_size: int
    ) -> None:
        self.model, self.tokenizer = backbone([])
        self.model.eval()
        self.max_length_tokens = max_length_tokens
        self.batch_size = batch_size

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> Float[np.ndarray, "B D"]:
        """Texts of like length are encoded together; the order of the answer is that of ``texts``."""
        order = sorted(range(len(texts)), key=lambda i: (-len(texts[i]), i))
        found = np.zeros((len(texts), self.model.config.hidden_size), np.float32)
        for first in range(0, len(order), self.batch_size):
            at = order[first : first + self.batch_size]
            tokens = self.tokenizer(
                [texts[i] for i in at], padding=True, truncation=True, max_length=self.max_length_tokens, return_tensors="pt"
            )
            hidden_BLD = self.model(**tokens).last_hidden_state
            mask_BL1 = tokens["attention_mask"][:, :, None]
            mean_BD = (hidden_BLD * mask_BL1).sum(1) / mask_BL1.sum(1)
            found[at] = torch.nn.functional.normalize(mean_BD, dim=-1).numpy()
        return found
