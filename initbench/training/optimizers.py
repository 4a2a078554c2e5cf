"""Optimizers and learning-rate schedules by name, from torch.optim."""

from __future__ import annotations

from collections.abc import Iterable

from torch.nn import Parameter
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler

from initbench.config import TrainConfig


def build_optimizer(config: TrainConfig, parameters: Iterable[Parameter]) -> Optimizer:
    """Return the optimizer that `config` names, fused (one kernel for all parameters) where torch has that."""
    if config.optimizer == "sgd":
        return SGD(
            parameters,
            config.lr,
            momentum=config.momentum,
            nesterov=config.nesterov,
            weight_decay=config.weight_decay,
            fused=True,
        )
    if config.optimizer == "rmsprop":
        return RMSprop(parameters, config.lr, momentum=config.momentum, weight_decay=config.weight_decay)
    adam = Adam if config.optimizer == "adam" else AdamW
    return adam(parameters, config.lr, betas=config.betas, weight_decay=config.weight_decay, fused=True)


def build_schedule(config: TrainConfig, optimizer: Optimizer, steps: int) -> LRScheduler | None:
    """Return the schedule over `steps` optimizer steps; None where the rate is constant.

    cosine: lr_t = lr (1 + cos(pi t / steps)) / 2 (Loshchilov & Hutter 2017, eq. 5, without restarts).
    """
    return CosineAnnealingLR(optimizer, T_max=steps) if config.schedule == "cosine" else None
