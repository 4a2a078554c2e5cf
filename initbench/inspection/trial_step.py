"""What the next step of a user's own torch optimizer would do, without taking it."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer


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
