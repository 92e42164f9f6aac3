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
        self.known: dict[str, np.ndarray] = {}

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> Float[np.ndarray, "B D"]:
        """Texts of like length are encoded together, each once however often it is asked for; in the order of ``texts``."""
        new = sorted(dict.fromkeys(text for text in texts if text not in self.known), key=lambda text: (-len(text), text))
        for first in range(0, len(new), self.batch_size):
            batch = new[first : first + self.batch_size]
            tokens = self.tokenizer(
                batch, padding=True, truncation=True, max_length=self.max_length_tokens, return_tensors="pt"
            )
            hidden_BLD = self.model(**tokens).last_hidden_state
            mask_BL1 = tokens["attention_mask"][:, :, None]
            mean_BD = (hidden_BLD * mask_BL1).sum(1) / mask_BL1.sum(1)
            self.known |= zip(batch, torch.nn.functional.normalize(mean_BD, dim=-1).numpy(), strict=True)
        width = self.model.config.hidden_size
        return np.stack([self.known[text] for text in texts]) if texts else np.zeros((0, width), np.float32)
