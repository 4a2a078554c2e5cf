"""Optimizers: what is remembered of each parameter, and the step, by torch's fused kernels where it has one.

An optimizer is elementwise: parameters may be slices of larger tensors, such as some of the replicas of a stack. The
learning rate is given to each step. The numbers are those of `torch.optim` to the bit, without the time that its
bookkeeping takes at each step, and the seconds of imports at the first.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from initbench.config import TrainConfig

RMSPROP_ALPHA, EPS = 0.99, 1e-8  # torch.optim's defaults
COUNTS = 1_000  # step numbers that are kept as tensors at a time

Memory = tuple[list[Tensor], ...]  # of each kind of running average: one tensor like each parameter
Update = Callable[[Sequence[Tensor], Sequence[Tensor], Memory, int, float], None]


@dataclass
class Optimizer:
    """`update(parameters, gradients, memory, step from 1, lr)` changes parameters and memory in place."""

    parameters: list[Tensor]
    memory: Memory
    update: Update
    steps: int = 0  # taken so far

    def step(self, gradients: Sequence[Tensor], lr: float) -> None:
        """Take one step against `gradients`, one like each parameter (they may be overwritten), at the rate `lr`."""
        self.steps += 1
        pairs = zip(gradients, self.parameters, strict=True)
        self.update(self.parameters, [_laid_out_as(*pair) for pair in pairs], self.memory, self.steps, lr)

    def trial(self, index: int, gradient: Tensor, lr: float) -> Tensor:
        """Return the change that the next step makes to parameter `index` if its gradient is this one [same shape].

        Parameter and memory stay as they are.
        """
        before = self.parameters[index]
        memory = tuple([of_kind[index].clone()] for of_kind in self.memory)
        twin = Optimizer([before.clone()], memory, self.update, self.steps)
        twin.step([gradient.detach().clone()], lr)
        return twin.parameters[0] - before


def build_optimizer(config: TrainConfig, parameters: Iterable[Tensor]) -> Optimizer:
    """Return the optimizer that `config` names for `parameters`, whose storage it changes at each step.

    Raises ValueError for a parameter with gaps in its memory.
    """
    tensors = [parameter.detach() for parameter in parameters]
    if any(dense(one) is not one for one in tensors):
        raise ValueError(
            "a parameter has gaps in its memory, as a slice of a larger tensor; give it memory of its own."
        )
    kinds, update = _UPDATES[config.optimizer](config)
    return Optimizer(tensors, tuple([torch.zeros_like(one) for one in tensors] for _ in range(kinds)), update)


def _sgd(config: TrainConfig) -> tuple[int, Update]:
    """b = momentum b + g (b = g at first); w -= lr b, with nesterov lr (g + momentum b) (Sutskever et al. 2013)."""

    def update(parameters: Sequence[Tensor], gradients: Sequence[Tensor], memory: Memory, step: int, lr: float) -> None:
        torch._fused_sgd_(
            list(parameters),
            list(gradients),
            *(memory or ([],)),
            weight_decay=config.weight_decay,
            momentum=config.momentum,
            lr=lr,
            dampening=0.0,
            nesterov=config.nesterov,
            maximize=False,
            is_first_step=step == 1,
        )

    return (1 if config.momentum else 0), update


def _adam(config: TrainConfig) -> tuple[int, Update]:
    """m, v: running averages of g and g^2; w -= lr m' / (sqrt(v') + eps), m' and v' without their bias.

    Kingma & Ba 2015, algorithm 1; adamw takes lr wd w off apart (Loshchilov & Hutter 2019, algorithm 2).
    """
    kernel: Any = torch._fused_adam_ if config.optimizer == "adam" else torch._fused_adamw_
    beta1, beta2 = config.betas

    def update(parameters: Sequence[Tensor], gradients: Sequence[Tensor], memory: Memory, step: int, lr: float) -> None:
        kernel(
            list(parameters),
            list(gradients),
            *memory,
            [],
            [_count(step, parameters[0].device)] * len(parameters),
            lr=lr,
            beta1=beta1,
            beta2=beta2,
            weight_decay=config.weight_decay,
            eps=EPS,
            amsgrad=False,
            maximize=False,
        )

    return 2, update


def _rmsprop(config: TrainConfig) -> tuple[int, Update]:
    """v: running average of g^2; w -= lr g / (sqrt(v) + eps), through b = momentum b + ... with momentum (Hinton 2012,
    lecture 6e).
    """

    def update(parameters: Sequence[Tensor], gradients: Sequence[Tensor], memory: Memory, step: int, lr: float) -> None:
        for index, (parameter, gradient) in enumerate(zip(parameters, gradients, strict=True)):
            if config.weight_decay:
                gradient = gradient.add(parameter, alpha=config.weight_decay)
            square = memory[0][index]
            square.mul_(RMSPROP_ALPHA).addcmul_(gradient, gradient, value=1 - RMSPROP_ALPHA)
            root = square.sqrt().add_(EPS)
            if config.momentum:
                parameter.add_(memory[1][index].mul_(config.momentum).addcdiv_(gradient, root), alpha=-lr)
            else:
                parameter.addcdiv_(gradient, root, value=-lr)

    return (2 if config.momentum else 1), update


def dense(tensor: Tensor) -> Tensor:
    """Return the tensor itself, or a copy where its memory has gaps, as that of a slice of a larger one."""
    return tensor if torch.empty_like(tensor).stride() == tensor.stride() else tensor.contiguous()


def _laid_out_as(gradient: Tensor, parameter: Tensor) -> Tensor:
    """Return the gradient in memory of the parameter's layout: torch's kernels go through the memory side by side.

    That of W in `x @ W.T` is the transpose of a product, for one.
    """
    if gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter).copy_(gradient)


_UPDATES = {"sgd": _sgd, "adam": _adam, "adamw": _adam, "rmsprop": _rmsprop}


def _count(step: int, device: torch.device) -> Tensor:
    """Return the number `step` as the tensor that torch's kernels want."""
    return _counts(step // COUNTS, device)[step % COUNTS]


@functools.lru_cache(maxsize=2)
def _counts(chunk: int, device: torch.device) -> tuple[Tensor, ...]:
    first = chunk * COUNTS
    return torch.arange(first, first + COUNTS, dtype=torch.float32, device=device).unbind()


def clipped(gradients: Sequence[Tensor], max_norm: float) -> list[Tensor]:
    """Return the gradients scaled so that their norm, all together, is at most `max_norm`.

    Source: Pascanu et al. 2013, section 3.2.
    """
    norms = torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients])
    scale = (max_norm / (torch.linalg.vector_norm(norms) + 1e-6)).clamp(max=1.0)
    return [gradient * scale for gradient in gradients]  # not in place: two of them may be the same tensor


def first_step(config: TrainConfig) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the function (parameter, gradient) -> change of the first step of the optimizer that `config` names."""
    return lambda parameter, gradient: build_optimizer(config, [parameter]).trial(0, gradient, config.lr)
