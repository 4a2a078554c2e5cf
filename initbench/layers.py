"""The torch modules that torch.nn lacks and the models are built from. Importing this imports torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from initbench import seeds


class SeededDropout(nn.Module):
    """Dropout (Srivastava et al. 2014) whose masks come from a generator of its own, not from torch's global one.

    In training each element is zeroed with probability `p` and the rest scaled by 1 / (1 - p).
    Without a generator (before `seed_dropout`) the masks come from torch's global generator.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return x [any shape] masked and rescaled in training, unchanged in evaluation."""
        if not self.training:
            return x
        keep = torch.empty_like(x).bernoulli_(1 - self.p, generator=self.generator)
        return x * keep.div_(1 - self.p)

    def extra_repr(self) -> str:
        """Return what `print(module)` shows."""
        return f"p={self.p}"


def seed_dropout(module: nn.Module, seed: int, epoch: int, device: torch.device) -> None:
    """Give every SeededDropout of `module` the stream of its name and `epoch`: a resumed run needs no state."""
    for name, layer in module.named_modules():
        if isinstance(layer, SeededDropout):
            layer.generator = seeds.stream(seed, "dropout", name, epoch, device=device)
