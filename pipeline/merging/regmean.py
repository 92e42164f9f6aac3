"""RegMean: each linear layer is the least-squares answer to the experts' layers on the experts' inputs.

``W = (sum W_k G_k) (sum G_k)^-1`` with ``G_k = X_k^T X_k / n``, ``X_k`` the layer's inputs [n, d_in] in expert ``k`` on its own
tasks, padding left out. Everything but the weights of linear layers is averaged. Without a probe: the soup.
Memory: a d_in x d_in matrix in fp64 for each linear layer and expert.

Source: Jin et al. 2023, arXiv:2212.09849, eq. 1 and section 3.2.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.delta import Rows
from pipeline.merging.method import Method, Probe


class RegMean(Method):
    """``off_diagonal`` shrinks what is off the diagonal of ``G_k``; ``ridge`` is added to the diagonal, in means of it."""

    needs_probe = True
    whole = True

    def __init__(self, *, off_diagonal: float, ridge: float) -> None:
        super().__init__()
        if not 0 <= off_diagonal <= 1 or ridge <= 0:
            raise ValueError(
                f"expected off_diagonal in [0, 1] and ridge above 0, got {off_diagonal}, {ridge}; see conf/merging/regmean.yaml"
            )
        self.off_diagonal = off_diagonal
        self.ridge = ridge
        self.inner: dict[str, list[Float[Tensor, "d d"]]] = {}

    def look(self, probe: Probe) -> None:
        for k in range(probe.num):
            for name, gram in probe.input_grams(k).items():
                self.inner.setdefault(name, []).append(self._shrunk(gram.cpu()))

    def merge(self, name: str, start: int, rows: Rows) -> Float[Tensor, " n"]:
        if name not in self.inner:
            return rows[0] + rows[1:].mean(0)
        inner = self.inner[name]
        deltas = rows[1:].view(len(rows) - 1, -1, len(inner[0])).double()  # K, d_out, d_in
        answered = torch.stack([delta @ gram for delta, gram in zip(deltas, inner, strict=True)]).sum(0)
        found = torch.linalg.solve(torch.stack(inner).sum(0), answered, left=False)
        return rows[0] + found.flatten().float()

    def _shrunk(self, gram: Float[Tensor, "d d"]) -> Float[Tensor, "d d"]:
        diagonal = gram.diagonal()
        least = self.ridge * diagonal.mean().clamp(min=1e-30)
        return self.off_diagonal * gram + torch.diag((1 - self.off_diagonal) * diagonal + least)
