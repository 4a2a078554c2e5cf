"""The way back: the gradient at every pre-activation and of every weight, looked at as it comes and given free."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from initbench.schemes.weights import Weight, weights
from initbench.signals import statistics, weight_signals
from initbench.signals.trace import Use, watched
from initbench.signals.weight_signals import Step

Loss = Callable[[Tensor, Tensor], Tensor]


def backward(
    model: nn.Module, images: Tensor, labels: Tensor, step: Step | None, loss: Loss
) -> tuple[dict[str, float | None], dict[str, dict[str, Any]], float | None]:
    """Return (delta_rms of each use, the gradient's fields of each weight, the loss) of one batch."""
    deltas = _Deltas()
    gradients: dict[str, dict[str, Any]] = {}
    hooks = [
        parameter.register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
            _taken(of_parameter, step, gradients)
        )
        for parameter, of_parameter in _by_parameter(model)
    ]
    try:
        with watched(model, deltas):
            value = loss(model(images), labels)
        if value.requires_grad:
            torch.autograd.backward(value)
    finally:
        for hook in hooks:
            hook.remove()
    loss_value = float(value.detach())
    return deltas.rms, gradients, loss_value if math.isfinite(loss_value) else None


class _Deltas:
    """Takes the root mean square of the gradient of the loss at every pre-activation, when it comes back."""

    def __init__(self) -> None:
        self.rms: dict[str, float | None] = {}

    def pre_activation(self, use: Use, value: Tensor) -> None:
        """Wait for the gradient."""
        if value.requires_grad:
            value.register_hook(lambda gradient: self._take(use.name, gradient))  # type: ignore[no-untyped-call]

    def activation(self, use: Use, value: Tensor) -> None:
        """Do nothing."""

    def _take(self, name: str, gradient: Tensor) -> None:
        self.rms[name] = statistics.Scaled(gradient).rms


def _by_parameter(model: nn.Module) -> list[tuple[nn.Parameter, list[Weight]]]:
    """Return every parameter with the weights that it holds; none for a bias."""
    found = weights(model)
    return [
        (parameter, [weight for weight in found if weight.parameter == name])
        for name, parameter in model.named_parameters()
    ]


def _taken(
    of_parameter: list[Weight], step: Step | None, gradients: dict[str, dict[str, Any]]
) -> Callable[[Tensor], None]:
    """Return the hook that takes a parameter's gradient when it is complete, and gives it free."""

    def take(parameter: Tensor) -> None:
        gradient, parameter.grad = parameter.grad, None
        if gradient is None or not of_parameter:
            return
        gradient = gradient.to_dense() if gradient.is_sparse else gradient
        assert isinstance(parameter, nn.Parameter)  # noqa: S101 # the hook was registered on one
        update = step(parameter, gradient) if step is not None else None
        parts = len(of_parameter)
        updates = [None] * parts if update is None else update.chunk(parts)
        for weight, of_weight, change in zip(of_parameter, gradient.chunk(parts), updates, strict=True):
            gradients[weight.name] = weight_signals.of_gradient(weight, of_weight, change)

    return take
