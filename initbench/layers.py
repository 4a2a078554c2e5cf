"""The torch modules that torch.nn lacks and the models are built from. Importing this imports torch."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from initbench import seeds


class SeededDropout(nn.Module):
    """Dropout (Srivastava et al. 2014) whose masks come from a generator of its own, not from torch's global one.

    In training each element is zeroed with probability `p` and the rest scaled by 1 / (1 - p).
    Without a generator (before `seed_dropout`) the masks come from torch's global generator. Within a stack of replicas
    (after `seed_dropout_of_stack`) each replica's masks are those that it has alone.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.generator: torch.Generator | None = None
        self.of_stack: StackedStreams | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return x [any shape] masked and rescaled in training, unchanged in evaluation."""
        if not self.training:
            return x
        if self.of_stack is not None:
            mask: Tensor = _StackedMask.apply(x, self)
            return x * mask
        return x * self.mask(torch.empty_like(x, memory_format=torch.contiguous_format), self.generator)

    def mask(self, out: Tensor, generator: torch.Generator | None) -> Tensor:
        """Fill `out` [any shape] with 0, of probability p, and 1 / (1 - p)."""
        return out.bernoulli_(1 - self.p, generator=generator).div_(1 - self.p)

    def extra_repr(self) -> str:
        """Return what `print(module)` shows."""
        return f"p={self.p}"


@dataclass(frozen=True)
class StackedStreams:
    """The generators of the distinct seeds in a stack, and which of them each replica has [R]."""

    generators: list[torch.Generator]
    of_replica: Tensor


class _StackedMask(torch.autograd.Function):
    """The masks of all replicas, drawn where torch.func.vmap shows the whole stack at once."""

    @staticmethod
    def forward(x: Tensor, layer: SeededDropout) -> Tensor:
        """Refuse: this is reached only with a tensor that is the same for all replicas."""
        raise RuntimeError("dropout in a stack of replicas was given a tensor that belongs to none of them")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, SeededDropout], output: Tensor) -> None:
        """Remember nothing: a mask does not depend on x."""
        ctx.mark_non_differentiable(output)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int, None], x: Tensor, layer: SeededDropout) -> tuple[Tensor, int]:
        """Return the masks [R, ...] of x, whose axis `in_dims[0]` counts the replicas."""
        streams, shape = layer.of_stack, x.movedim(in_dims[0], 0).shape[1:]
        assert streams is not None  # noqa: S101 - forward has seen to it
        masks = x.new_empty(len(streams.generators), *shape)
        for one, generator in zip(masks, streams.generators, strict=True):
            layer.mask(one, generator)
        return masks.index_select(0, streams.of_replica), 0


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


def seed_dropout_of_stack(module: nn.Module, of_replicas: Sequence[int], epoch: int, device: torch.device) -> None:
    """Give every SeededDropout of `module`, which computes a stack, the streams of the replicas' seeds.

    They are those of `seed_dropout`; replicas with the same seed share theirs, so that each mask is drawn once.
    """
    distinct = list(dict.fromkeys(of_replicas))
    of_replica = torch.tensor([distinct.index(seed) for seed in of_replicas], device=device)
    for name, layer in module.named_modules():
        if isinstance(layer, SeededDropout):
            streams = [seeds.stream(seed, "dropout", name, epoch, device=device) for seed in distinct]
            layer.of_stack = StackedStreams(streams, of_replica)
