"""The change that the next step of a user's torch optimizer would make, against the step itself."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR

from initbench.inspection.trial_step import trial_step

OPTIMIZERS: dict[str, Callable[[list[nn.Parameter]], Optimizer]] = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, 0.1, momentum=0.9, nesterov=True, weight_decay=0.5),
    "adam": lambda parameters: torch.optim.Adam(parameters, 0.1, betas=(0.5, 0.6), fused=True),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, 0.1, weight_decay=0.5),
    "rmsprop": lambda parameters: torch.optim.RMSprop(parameters, 0.1, momentum=0.9),
    "adagrad": lambda parameters: torch.optim.Adagrad(parameters, 0.1),
}


def remembered(optimizer: Optimizer) -> dict[str, Any]:
    return copy.deepcopy(optimizer.state_dict())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_is_what_the_optimizer_then_does_to_the_bit(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    parameters = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in [(37, 5), (37,), (1,)]]
    optimizer = OPTIMIZERS[name](parameters)
    schedule = CosineAnnealingLR(optimizer, T_max=4)
    for _ in range(3):
        gradients = [torch.randn(parameter.shape, generator=generator) for parameter in parameters]
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        before, state = [parameter.detach().clone() for parameter in parameters], remembered(optimizer)
        told = [trial_step(optimizer, *pair) for pair in zip(parameters, gradients, strict=True)]
        again = [trial_step(optimizer, *pair) for pair in zip(parameters, gradients, strict=True)]
        torch.testing.assert_close(remembered(optimizer), state, rtol=0, atol=0)
        assert all(torch.equal(*pair) for pair in zip(before, parameters, strict=True))
        assert all(parameter.grad is gradient for parameter, gradient in zip(parameters, gradients, strict=True))
        optimizer.step()
        schedule.step()
        for one, other, parameter, was in zip(told, again, parameters, before, strict=True):
            assert torch.equal(one, parameter.detach() - was)
            assert torch.equal(one, other)
            assert one.count_nonzero() > 0


def test_the_rate_is_the_schedules_and_the_group_its_own() -> None:
    first, second = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([{"params": [first], "lr": 1.0}, {"params": [second], "lr": 2.0}])
    optimizer.param_groups[0]["lr"] = 0.5
    assert trial_step(optimizer, first, torch.ones(2)).tolist() == [-0.5, -0.5]
    assert trial_step(optimizer, second, torch.ones(2)).tolist() == [-2.0, -2.0]
    assert trial_step(optimizer, second, torch.zeros(2)).tolist() == [0.0, 0.0]


def test_a_parameter_that_the_optimizer_does_not_have() -> None:
    with pytest.raises(ValueError, match=r"no such parameter, of shape \(2,\)"):
        trial_step(torch.optim.SGD([nn.Parameter(torch.ones(2))]), nn.Parameter(torch.ones(2)), torch.ones(2))
