"""Optimizers and learning-rate schedules by name, from torch.optim."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler

from initbench.config import TrainConfig

RMSPROP_ALPHA, EPS = 0.99, 1e-8  # torch.optim's defaults


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


def first_step(config: TrainConfig) -> Callable[[Parameter, Tensor], Tensor]:
    """Return the function (parameter, gradient) -> change of the first step of the optimizer that `config` names.

    What `trial_step` finds with a fresh optimizer, by formula: torch's optimizers import seconds' worth of modules at
    their first step. With weight decay g becomes g + wd w, but in adamw. sgd: -lr g, times 1 + momentum with nesterov.
    adam, adamw: -lr g / (|g| + eps), the averages without their bias being g and g^2 (Kingma & Ba 2015, algorithm 1);
    adamw: less lr wd w (Loshchilov & Hutter 2019). rmsprop: -lr g / (sqrt(1 - alpha) |g| + eps).
    """
    decays_apart = config.optimizer == "adamw"

    def change(parameter: Parameter, gradient: Tensor) -> Tensor:
        weight = parameter.detach()
        decayed = gradient if decays_apart or not config.weight_decay else gradient + config.weight_decay * weight
        if config.optimizer == "sgd":
            return decayed * (-config.lr * (1 + config.momentum if config.nesterov else 1))
        share = math.sqrt(1 - RMSPROP_ALPHA) if config.optimizer == "rmsprop" else 1.0
        step = decayed / decayed.abs().mul_(share).add_(EPS).div_(-config.lr)
        return step.sub_(weight, alpha=config.lr * config.weight_decay) if decays_apart else step

    return change


def trial_step(optimizer: Optimizer, parameter: Parameter, gradient: Tensor) -> Tensor:
    """Return the change that the next step of `optimizer` makes to `parameter` [any shape] if its gradient is this one.

    Optimizer, parameter and its `grad` stay as they are: the step is taken by another optimizer of the same class, with
    copies of the parameter, of what is remembered of it and of the settings of its group (the rate of a schedule is one
    of them). Raises ValueError for a parameter that `optimizer` does not have.
    """
    twin = Parameter(parameter.detach().clone())
    kind: Any = type(optimizer)  # its own class takes all of its settings with the group
    trial: Optimizer = kind([{**_group_of(optimizer, parameter), "params": [twin]}])
    if parameter in optimizer.state:
        trial.state[twin] = copy.deepcopy(optimizer.state[parameter])
    twin.grad = gradient.detach().clone()
    trial.step()
    with torch.no_grad():
        return twin - parameter


def _group_of(optimizer: Optimizer, parameter: Parameter) -> dict[str, Any]:
    for group in optimizer.param_groups:
        if any(one is parameter for one in group["params"]):
            return {name: value for name, value in group.items() if name != "params"}
    raise ValueError(f"the optimizer has no such parameter, of shape {tuple(parameter.shape)}.")


def build_schedule(config: TrainConfig, optimizer: Optimizer, steps: int) -> LRScheduler | None:
    """Return the schedule over `steps` optimizer steps; None where the rate is constant.

    cosine: lr_t = lr (1 + cos(pi t / steps)) / 2 (Loshchilov & Hutter 2017, eq. 5, without restarts).
    """
    return CosineAnnealingLR(optimizer, T_max=steps) if config.schedule == "cosine" else None
