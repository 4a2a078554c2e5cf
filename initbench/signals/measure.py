"""Measure a network as it is: one pass forward over all samples, one back over a training batch, some Jacobians.

Statistics are taken layer by layer, when the tensors are there: neither the activations of all layers nor the
gradients of all weights are held at once. Dropout is off; batch normalization uses the batch, as in training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.modules.batchnorm import _BatchNorm

from initbench.results import LayerSignal, WeightSignal
from initbench.schemes import SchemeSpec
from initbench.schemes.weights import weights
from initbench.signals import weight_signals
from initbench.signals.backward import Loss, backward
from initbench.signals.forward import forward
from initbench.signals.jacobian import jacobians as layer_jacobians
from initbench.signals.weight_signals import Step

NO_DELTA: dict[str, float | None] = {"delta_rms": None, "delta_finite": None}
GRADIENT_SAMPLES = 100  # the default recipe's batch


class Measurement(NamedTuple):
    """What was found: rows in the order of use, weights in the order of the parameters, the loss of the batch."""

    layers: tuple[LayerSignal, ...]
    weights: tuple[WeightSignal, ...]
    loss: float | None


def measure(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    step: Step | None = None,
    gradient_samples: int = GRADIENT_SAMPLES,
    schemes: Mapping[str, SchemeSpec] | None = None,
    activation: str | None = None,
    jacobians: int = 0,
    generator: Generator | None = None,
    loss: Loss = cross_entropy,
) -> Measurement:
    """Return what the signal does in `model`, which is left as it was found; images [B, ...], labels [B].

    The gradient is that of the mean loss over the first `gradient_samples`; `step(parameter, gradient)` is what one
    optimizer step would add to a parameter. `schemes` (weight name -> what filled it) and `activation` say what the
    weights were meant to be. `jacobians` > 0: the singular values of so many layers' Jacobians at most, evenly spaced,
    with the random directions from `generator`. Raises UsageError where the model cannot take the images, the loss
    does not fit its output, or no layer with a weight is used.
    """
    facts = {
        weight.name: weight_signals.described(weight, (schemes or {}).get(weight.name), activation)
        for weight in weights(model)
    }
    with _set_up(model, batch_norm=len(images) > 1):
        rows = forward(model, images)
        some = slice(0, gradient_samples)
        back = backward(model, images[some], labels[some], step, loss)
        spectra = layer_jacobians(model, images, rows, jacobians, generator) if jacobians else {}
    layers = [
        LayerSignal(**row, **back.of_layers.get(name, NO_DELTA), jacobian=spectra.get(name))
        for name, row in rows.items()
    ]
    return Measurement(tuple(layers), tuple(weight_signals.signals(facts, back.of_weights)), back.loss)


@contextmanager
def _set_up(model: nn.Module, *, batch_norm: bool) -> Iterator[None]:
    """Evaluate, but with the batch's own statistics in batch normalization; leave everything as it was found."""
    training = {module: module.training for module in model.modules()}
    buffers = [(module._buffers, dict(module._buffers)) for module in model.modules()]
    found = [(parameter, parameter.grad, parameter.requires_grad) for parameter in model.parameters()]
    for held, named in buffers:  # what the forward pass changes, in place or not, are copies
        held.update({name: None if value is None else value.clone() for name, value in named.items()})
    model.eval()
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.training = batch_norm
    for parameter, _, _ in found:
        parameter.grad = None
        parameter.requires_grad_(parameter.is_floating_point() or parameter.is_complex())
    try:
        with torch.random.fork_rng(devices=_cuda_devices(model)), torch.enable_grad():
            yield
    finally:
        for parameter, gradient, required in found:
            parameter.grad = gradient
            parameter.requires_grad_(required)
        for held, named in buffers:
            held.update(named)
        for module, mode in training.items():
            module.training = mode


def _cuda_devices(model: nn.Module) -> list[torch.device]:
    return list({parameter.device for parameter in model.parameters() if parameter.is_cuda})
