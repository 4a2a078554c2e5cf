"""The change that an optimizer's next step would make, against the papers' formulas and against the step itself."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from bright_images import config
from torch import Tensor, nn
from torch.optim import Optimizer

from initbench.training.optimizers import build_optimizer, build_schedule, first_step, trial_step

LR = 0.1
WEIGHT = torch.tensor([[0.5, -1.0, 2.0], [0.25, 0.0, -3.0]])
GRADIENT = torch.tensor([[1.0, -0.5, 1e-3], [-2.0, 0.125, 3.0]])
EPS = 1e-8


def first_adam(gradient: Tensor) -> Tensor:
    """m_1 / (1 - beta_1) = g and v_1 / (1 - beta_2) = g^2 (Kingma & Ba 2015, algorithm 1)."""
    return -LR * gradient / (gradient.abs() + EPS)


def first_rmsprop(gradient: Tensor) -> Tensor:
    """v_1 = (1 - alpha) g^2 with alpha = .99 (Hinton 2012, lecture 6e)."""
    return -LR * gradient / ((0.01 * gradient**2).sqrt() + EPS)


FIRST_STEPS: list[tuple[dict[str, Any], Callable[[Tensor, Tensor], Tensor]]] = [
    ({"optimizer": "sgd"}, lambda w, g: -LR * g),
    ({"optimizer": "sgd", "weight_decay": 0.5}, lambda w, g: -LR * (g + 0.5 * w)),
    ({"optimizer": "sgd", "momentum": 0.9}, lambda w, g: -LR * g),
    ({"optimizer": "sgd", "momentum": 0.9, "nesterov": "true"}, lambda w, g: -LR * (g + 0.9 * g)),
    ({"optimizer": "adam"}, lambda w, g: first_adam(g)),
    ({"optimizer": "adam", "betas": "[0.5, 0.6]"}, lambda w, g: first_adam(g)),
    ({"optimizer": "adam", "weight_decay": 0.5}, lambda w, g: first_adam(g + 0.5 * w)),
    ({"optimizer": "adamw", "weight_decay": 0.5}, lambda w, g: first_adam(g) - LR * 0.5 * w),
    ({"optimizer": "rmsprop"}, lambda w, g: first_rmsprop(g)),
    ({"optimizer": "rmsprop", "momentum": 0.9, "weight_decay": 0.5}, lambda w, g: first_rmsprop(g + 0.5 * w)),
]


def optimizer_of(settings: dict[str, Any], parameters: list[nn.Parameter]) -> Optimizer:
    return build_optimizer(config(**{f"train__{key}": value for key, value in settings.items()}).train, parameters)


@pytest.mark.parametrize(("settings", "formula"), FIRST_STEPS, ids=[str(settings) for settings, _ in FIRST_STEPS])
def test_the_first_step_is_the_formulas(settings: dict[str, Any], formula: Callable[[Tensor, Tensor], Tensor]) -> None:
    weight = nn.Parameter(WEIGHT.clone())
    change = trial_step(optimizer_of({**settings, "lr": LR}, [weight]), weight, GRADIENT)
    assert torch.allclose(change, formula(WEIGHT, GRADIENT), rtol=1e-4, atol=1e-7)
    assert not change.requires_grad
    by_formula = first_step(config(**{f"train__{key}": value for key, value in {**settings, "lr": LR}.items()}).train)
    assert torch.allclose(by_formula(weight, GRADIENT), change, rtol=1e-4, atol=1e-7)
    assert torch.equal(weight, WEIGHT)


def remembered(optimizer: Optimizer) -> dict[str, Any]:
    return copy.deepcopy(optimizer.state_dict())


@pytest.mark.parametrize("settings", [settings for settings, _ in FIRST_STEPS], ids=str)
def test_later_ones_are_what_the_optimizer_then_does_to_the_bit(settings: dict[str, Any]) -> None:
    generator = torch.Generator().manual_seed(0)
    parameters = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in [(37, 5), (37,), (1,)]]
    optimizer = optimizer_of(settings, parameters)
    schedule = build_schedule(config(train__schedule="cosine").train, optimizer, 4)
    assert schedule is not None
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
