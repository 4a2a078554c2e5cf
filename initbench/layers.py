"""The torch modules that torch.nn lacks and the models are built from. Importing this imports torch."""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

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


class Residual(nn.Sequential):
    """y = x + scale * branch(x), the modules of `branch` in order; `scale` [1] is learned and starts at 1.

    Source: He et al. 2016, equation 1. The scalar: Zhang et al. 2019, section 3 (Fixup: 1 at the start); De & Smith
    2020 (SkipInit: 0 at the start).
    """

    def __init__(self, branch: OrderedDict[str, nn.Module]) -> None:
        super().__init__(branch)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        """Return y [B, ...] of x [B, ...]; the branch keeps the shape."""
        branch = x
        for layer in self:
            branch = layer(branch)
        return x + self.scale * branch


class ImageRNN(nn.Module):
    """Reads images as sequences and maps the last state of the last recurrent layer to logits.

    By rows an image [C, H, W] is H steps of C*W values, by pixels H*W steps of C values, row after row. `rnn` is an
    nn.RNN, nn.GRU or nn.LSTM for that many inputs (not bidirectional, not batch_first), `out` maps its hidden units to
    the logits. `order` [H*W] says which pixel is read at each step.
    """

    order: Tensor | None

    def __init__(
        self, rnn: nn.RNNBase, out: nn.Linear, *, by: Literal["rows", "pixels"] = "rows", order: Tensor | None = None
    ) -> None:
        super().__init__()
        self.rnn = rnn
        self.out = out
        self.by = by
        self.register_buffer("order", order, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [B, classes] of images [B, C, H, W]."""
        states, _ = self.rnn(self.steps(images))  # [T, B, hidden]
        logits: Tensor = self.out(states[-1])
        return logits

    def steps(self, images: Tensor) -> Tensor:
        """Return images [B, C, H, W] as the steps [T, B, I] that are read."""
        if self.by == "rows":
            return images.permute(2, 0, 1, 3).flatten(2)
        pixels = images.flatten(2).permute(2, 0, 1)
        return pixels if self.order is None else pixels.index_select(0, self.order)

    def extra_repr(self) -> str:
        """Return what `print(module)` shows."""
        return f"by={self.by}, permuted={self.order is not None}"


def seed_dropout(module: nn.Module, seed: int, epoch: int, device: torch.device) -> None:
    """Give every SeededDropout of `module` the stream of its name and `epoch`: a resumed run needs no state."""
    for name, layer in module.named_modules():
        if isinstance(layer, SeededDropout):
            layer.generator = seeds.stream(seed, "dropout", name, epoch, device=device)
