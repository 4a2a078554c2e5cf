"""The way back: the gradient at every pre-activation and of every weight, looked at as it comes and given free."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from initbench.errors import UsageError
from initbench.schemes.weights import Weight, weights
from initbench.signals import statistics, weight_signals
from initbench.signals.misfits import misfits
from initbench.signals.trace import Use, watched
from initbench.signals.weight_signals import Step

Loss = Callable[[Tensor, Tensor], Tensor]


class Gradients(NamedTuple):
    """What came back: each use's fields of a LayerSignal, each weight's of a WeightSignal, the loss if it is finite."""

    of_layers: dict[str, dict[str, Any]]
    of_weights: dict[str, dict[str, Any]]
    loss: float | None


def backward(model: nn.Module, images: Tensor, labels: Tensor, step: Step | None, loss: Loss) -> Gradients:
    """Return what the gradient of the mean loss of one batch finds on its way back."""
    deltas = _Deltas()
    gradients: dict[str, dict[str, Any]] = {}
    hooks = [
        parameter.register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
            _taken(of_parameter, step, gradients)
        )
        for parameter, of_parameter in _by_parameter(model)
    ]
    try:
        with watched(model, deltas), misfits():
            value = loss(model(images), labels)
        if not isinstance(value, Tensor) or value.numel() != 1:
            raise UsageError(f"the loss of a batch must be a tensor of one number, not {_kind(value)}.")
        if value.is_complex():
            raise UsageError("the loss of a batch must be a real number, not a complex one.")
        if value.requires_grad:
            with misfits("the gradient of the loss cannot be computed"):
                torch.autograd.backward(value)
    finally:
        for hook in hooks:
            hook.remove()
    found = float(value.detach())
    return Gradients(deltas.fields, gradients, found if math.isfinite(found) else None)


def _kind(value: object) -> str:
    return f"one of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"


class _Deltas:
    """Takes the root mean square of the gradient of the loss at every pre-activation, when it comes back.

    Of a recurrent layer, whose pre-activations are not seen, at the inputs of its steps: they get W_ih^T times it.
    """

    def __init__(self) -> None:
        self.fields: dict[str, dict[str, Any]] = {}

    def pre_activation(self, use: Use, value: Tensor) -> None:
        """Wait for the gradient."""
        if value.requires_grad:
            value.register_hook(lambda gradient: self._take(use, gradient))  # type: ignore[no-untyped-call]

    def activation(self, use: Use, value: Tensor) -> None:
        """Do nothing."""

    def sequence(self, uses: list[Use], value: Tensor) -> Tensor:
        """Wait for the gradient at the input [T, ...] of a recurrent layer, all of whose steps it holds."""
        seen = value if value.requires_grad else value.detach().clone().requires_grad_()
        seen.register_hook(lambda gradient: self._take_steps(uses, gradient))  # type: ignore[no-untyped-call]
        return seen

    def _take_steps(self, uses: list[Use], gradient: Tensor) -> None:
        for use in uses:
            self._take(use, gradient[(use.step or 1) - 1])

    def _take(self, use: Use, gradient: Tensor) -> None:
        scaled = statistics.Scaled(gradient)
        self.fields[use.name] = {"delta_rms": scaled.rms, "delta_finite": scaled.finite}


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
