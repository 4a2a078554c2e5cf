"""The optimizers against the papers' formulas, and against torch.optim's to the bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from bright_images import config
from torch import Tensor, nn

from initbench.config import TrainConfig
from initbench.training.optimizers import COUNTS, build_optimizer, clipped, dense, first_step

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


def train_config(settings: dict[str, Any]) -> TrainConfig:
    return config(**{f"train__{key}": value for key, value in {**settings, "lr": LR}.items()}).train


def torchs(settings: dict[str, Any], parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """The same optimizer of torch's own, as one would build it by hand."""
    train = train_config(settings)
    options: dict[str, Any] = {"lr": LR, "weight_decay": train.weight_decay}
    if train.optimizer == "sgd":
        return torch.optim.SGD(parameters, momentum=train.momentum, nesterov=train.nesterov, fused=True, **options)
    if train.optimizer == "rmsprop":
        return torch.optim.RMSprop(parameters, momentum=train.momentum, **options)
    kind = torch.optim.Adam if train.optimizer == "adam" else torch.optim.AdamW
    return kind(parameters, betas=train.betas, fused=True, **options)


SETTINGS = [
    *(settings for settings, _ in FIRST_STEPS),
    {"optimizer": "sgd", "momentum": 0.9, "nesterov": "true", "weight_decay": 0.1},
    {"optimizer": "rmsprop", "momentum": 0.5},
]


@pytest.mark.parametrize(("settings", "formula"), FIRST_STEPS, ids=[str(settings) for settings, _ in FIRST_STEPS])
def test_the_first_step_is_the_formulas(settings: dict[str, Any], formula: Callable[[Tensor, Tensor], Tensor]) -> None:
    weight = nn.Parameter(WEIGHT.clone())
    change = first_step(train_config(settings))(weight, GRADIENT)
    assert torch.allclose(change, formula(WEIGHT, GRADIENT), rtol=1e-4, atol=1e-7)
    assert not change.requires_grad
    assert torch.equal(weight, WEIGHT)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_every_step_is_torchs_to_the_bit_and_what_a_trial_says(settings: dict[str, Any]) -> None:
    generator = torch.Generator().manual_seed(0)
    ours = [torch.randn(shape, generator=generator) for shape in [(37, 5), (37,), (1,)]]
    theirs = [nn.Parameter(one.clone()) for one in ours]
    optimizer, reference = build_optimizer(train_config(settings), ours), torchs(settings, theirs)
    for rate in (LR, 0.5 * LR, 0.0, 2 * LR):
        gradients = [torch.randn(one.shape, generator=generator) for one in ours]
        before = [one.clone() for one in ours]
        memory = [[one.clone() for one in kind] for kind in optimizer.memory]
        told = [optimizer.trial(index, gradient, rate) for index, gradient in enumerate(gradients)]
        for kind, remembered in zip(optimizer.memory, memory, strict=True):
            assert all(torch.equal(*pair) for pair in zip(kind, remembered, strict=True))
        assert all(torch.equal(*pair) for pair in zip(ours, before, strict=True))
        for one, gradient in zip(theirs, gradients, strict=True):
            one.grad = gradient.clone()
        reference.param_groups[0]["lr"] = rate
        reference.step()
        optimizer.step([gradient.clone() for gradient in gradients], rate)
        for one, other, was, change in zip(ours, theirs, before, told, strict=True):
            assert torch.equal(one, other)
            assert torch.equal(change, one - was)
    assert optimizer.steps == 4


def test_slices_of_a_larger_tensor_are_changed_in_place_as_the_whole_would_be() -> None:
    """What a stack of replicas relies on."""
    generator = torch.Generator().manual_seed(1)
    whole, gradient = torch.randn(4, 3, 2, generator=generator), torch.randn(4, 3, 2, generator=generator)
    parts = whole.clone()
    build_optimizer(TrainConfig(), [whole]).step([gradient.clone()], LR)
    for some in (slice(0, 1), slice(1, 4)):
        build_optimizer(TrainConfig(), [parts[some]]).step([gradient[some].clone()], LR)
    assert torch.equal(parts, whole)


def test_step_numbers_go_on_beyond_those_that_are_kept() -> None:
    weight, reference = torch.ones(3), nn.Parameter(torch.ones(3))
    ours, theirs = build_optimizer(TrainConfig(), [weight]), torch.optim.Adam([reference], LR, fused=True)
    for step in range(2 * COUNTS + 2):
        reference.grad = torch.full((3,), float(step % 7 - 3))
        ours.step([reference.grad.clone()], LR)
        theirs.step()
    assert torch.equal(weight, reference)


@pytest.mark.parametrize("max_norm", [0.1, 1e6])
def test_clipping_is_torchs(max_norm: float) -> None:
    gradients = [torch.randn(shape, generator=torch.Generator().manual_seed(2)) for shape in [(5, 4), (4,)]]
    parameters = [nn.Parameter(torch.zeros_like(one)) for one in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient.clone()
    nn.utils.clip_grad_norm_(parameters, max_norm)
    gradients = clipped(gradients, max_norm)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(gradient, parameter.grad)
    norm = float(torch.cat([one.flatten() for one in gradients]).norm())
    assert norm == pytest.approx(max_norm) if max_norm < 1 else norm > 1


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_gradient_in_memory_of_another_layout_is_the_same_gradient(settings: dict[str, Any]) -> None:
    """torch's fused kernels take no notice of strides: the gradient of W in x @ W.T comes transposed."""
    generator = torch.Generator().manual_seed(4)
    weight, gradient = (torch.randn(5, 3, generator=generator) for _ in range(2))
    rows, columns = weight.clone(), weight.t().contiguous().t()
    ours = [build_optimizer(train_config(settings), [one]) for one in (rows, rows.clone(), columns)]
    for _ in range(2):
        ours[0].step([gradient.clone()], LR)
        ours[1].step([gradient.t().contiguous().t()], LR)
        ours[2].step([gradient.clone()], LR)
    for other in ours[1:]:
        assert torch.equal(other.parameters[0], rows)


def test_a_parameter_with_gaps_in_its_memory_gets_memory_of_its_own() -> None:
    weight = torch.zeros(4, 6)[:, :3]
    with pytest.raises(ValueError, match="gaps in its memory"):
        build_optimizer(TrainConfig(), [weight])
    assert dense(weight).is_contiguous()
    assert dense(columns := torch.zeros(4, 6).t()) is columns
