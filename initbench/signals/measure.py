"""Measure a network as it is: one pass forward over all samples, one back over a training batch, some Jacobians.

Statistics are taken layer by layer, when the tensors are there: neither the activations of all layers nor the
gradients of all weights are held at once. Dropout is off; batch normalization uses the batch, as in training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.modules.batchnorm import _BatchNorm

from initbench.errors import UsageError
from initbench.results import LayerSignal, Spectrum, WeightSignal
from initbench.schemes import SchemeSpec
from initbench.schemes.weights import Weight, weights
from initbench.signals import jacobian, statistics, weight_signals
from initbench.signals.trace import Use, batch_first, by_unit, evenly, watched
from initbench.signals.weight_signals import Step

GRADIENT_SAMPLES = 100  # the default recipe's batch
PROBED_ENTRIES = 8192  # a Jacobian's spectrum is a mean over so many samples x units, 1 % of sampling error
Loss = Callable[[Tensor, Tensor], Tensor]


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
    with _set_up(model, batch_norm=len(images) > 1), _misfits():
        rows = _forward(model, images)
        some = slice(0, gradient_samples)
        deltas, gradients, value = _backward(model, images[some], labels[some], step, loss)
        spectra = _jacobians(model, images, rows, jacobians, generator) if jacobians else {}
    layers = [LayerSignal(**row, delta_rms=deltas.get(name), jacobian=spectra.get(name)) for name, row in rows.items()]
    return Measurement(tuple(layers), tuple(weight_signals.signals(facts, gradients)), value)


@contextmanager
def _set_up(model: nn.Module, *, batch_norm: bool) -> Iterator[None]:
    """Evaluate, but with the batch's own statistics in batch normalization; leave everything as it was found."""
    training = {module: module.training for module in model.modules()}
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    found = [(parameter, parameter.grad, parameter.requires_grad) for parameter in model.parameters()]
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
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)
        for module, mode in training.items():
            module.training = mode


def _cuda_devices(model: nn.Module) -> list[torch.device]:
    return list({parameter.device for parameter in model.parameters() if parameter.is_cuda})


@contextmanager
def _misfits() -> Iterator[None]:
    """Turn what torch says of shapes that do not go together into one UsageError."""
    try:
        yield
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        if isinstance(error, NotImplementedError | RecursionError):
            raise
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UsageError(f"the batch cannot be sent through the model and its loss: {reason}") from error


def _forward(model: nn.Module, images: Tensor) -> dict[str, dict[str, Any]]:
    """Return the statistics of each use of a layer, by its name; nothing is kept for a way back."""
    seen = _Statistics(len(images))
    with torch.no_grad(), watched(model, seen):
        model(images)
    if not seen.rows:
        raise UsageError(f"the forward pass of this {type(model).__name__} uses no layer with a weight.")
    return seen.rows


class _Statistics:
    """Takes the statistics of every row, by the name of the use."""

    def __init__(self, samples: int) -> None:
        self.samples = samples
        self.rows: dict[str, dict[str, Any]] = {}
        self._pre: dict[str, Any] = {"pre_mean": None, "pre_std": None, "pre_rms": None}

    def pre_activation(self, use: Use, value: Tensor) -> None:
        """Take the moments of the pre-activations."""
        moments = statistics.Scaled(value)
        self.rows[use.name] = {"pre_mean": moments.mean, "pre_std": moments.std, "pre_rms": moments.rms}

    def activation(self, use: Use, value: Tensor) -> None:
        """Take the statistics of the activations."""
        value = batch_first(value, self.samples)
        moments, units = statistics.Scaled(value), by_unit(value, use.owner)
        ranked = min(len(value), statistics.RANK_SAMPLES)
        self.rows[use.name] = {
            **self._pre,
            **self.rows.get(use.name, {}),
            "name": use.name,
            "kind": use.kind,
            "activation": use.activation,
            "units": units.shape[1],
            "finite": moments.finite,
            "mean": moments.mean,
            "std": moments.std,
            "sample_std": statistics.sample_std(moments),
            "saturated": statistics.saturated(value, use.activation) if moments.finite == 1 else None,
            "dead": statistics.dead(units, use.activation) if moments.finite == 1 else None,
            "effective_rank": statistics.effective_rank(moments),
            "max_rank": min(ranked - 1, value[0].numel()) if ranked > 1 else None,
            "histogram": statistics.histogram(value, moments),
        }


def _backward(
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


def _jacobians(
    model: nn.Module, images: Tensor, rows: Mapping[str, Mapping[str, Any]], wanted: int, generator: Generator | None
) -> dict[str, Spectrum | None]:
    """Return the spectrum of dz_l / dz_(l-1) for `wanted` of the hidden rows at most; one sample a probe."""
    hidden = list(rows)[:-1]
    pairs = [(hidden[index], hidden[index + 1]) for index in evenly(len(hidden) - 1, wanted)]
    if not pairs:
        return {}
    fewest = min(rows[name]["units"] for pair in pairs for name in pair)
    probes = min(64, max(4, math.ceil(PROBED_ENTRIES / fewest)))
    kept = _Kept({name for pair in pairs for name in pair}, probes)
    with watched(model, kept):
        model(images[torch.arange(probes) % len(images)])
    generator = generator or torch.Generator().manual_seed(0)
    return {
        after: jacobian.spectrum(kept.values[before], kept.values[after], generator)
        for before, after in pairs
        if kept.values[before].requires_grad
    }


class _Kept:
    """Keeps the activations of some uses, samples in front."""

    def __init__(self, names: set[str], samples: int) -> None:
        self.names = names
        self.samples = samples
        self.values: dict[str, Tensor] = {}

    def pre_activation(self, use: Use, value: Tensor) -> None:
        """Do nothing."""

    def activation(self, use: Use, value: Tensor) -> None:
        """Keep it, if it is wanted."""
        if use.name in self.names:
            self.values[use.name] = value
