"""Inspect a module of one's own, on a batch of one's own."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from initbench import seeds
from initbench.activations import MODULES
from initbench.config import TrainConfig
from initbench.errors import UsageError, unknown
from initbench.inspection.measured import JACOBIANS, measured, shape_text
from initbench.inspection.trial_step import trial_step
from initbench.results import SignalReport
from initbench.schemes import SchemeSpec, parse
from initbench.schemes.apply import Layers, initialize
from initbench.schemes.filling import Bias
from initbench.schemes.samples import Samples
from initbench.schemes.weights import weights
from initbench.signals.measure import GRADIENT_SAMPLES
from initbench.signals.misfits import misfits
from initbench.signals.weight_signals import Step
from initbench.training.optimizers import first_step

Optimize = Callable[[list[nn.Parameter]], Optimizer]


def inspect(
    model: nn.Module,
    scheme: str | SchemeSpec | None,
    batch: Tensor | tuple[Tensor, Tensor],
    *,
    seed: int = 0,
    bias: Bias = "default",
    activation: str | None = None,
    layers: Layers | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
    optimizer: Optimize | None = None,
    gradient_samples: int = GRADIENT_SAMPLES,
    jacobians: int = JACOBIANS,
) -> SignalReport:
    """Initialize a copy of `model`, send `batch` through and the gradient of the loss back; nothing is trained.

    Arguments: `scheme`, as `initialize` takes it, with `bias`, `activation` and `layers`; None inspects the weights as
    they are. `batch`, inputs [B, ...] as the model takes them (uint8 becomes floats in [0, 1]), or (inputs, labels
    [B]); without labels they are drawn evenly from the classes, the columns of the model's output [B, C]. `seed` of the
    weights, those labels and the directions in which Jacobians are probed. `loss(outputs, labels)`, the mean over the
    batch. `optimizer`, parameters -> the optimizer whose first step is held against the weights; Adam with lr 1e-3 by
    default. The gradient is that of the first `gradient_samples` of the batch. `jacobians`: of so many layers at
    most, evenly spaced; 0 saves what takes longest in a large convolutional network.

    What the numbers are: `initbench.results.signals`. Raises UsageError for a batch that does not fit the model,
    SchemeError for a scheme that does not.
    """
    if not isinstance(model, nn.Module):
        raise UsageError(f"inspect() got a {type(model).__name__}; it needs a torch.nn.Module.")
    _check_model(model)
    _check_arguments(scheme, activation, gradient_samples, optimizer, seed)
    samples = _samples(batch)
    inspected = copy.deepcopy(model)
    spec = parse(scheme) if isinstance(scheme, str) else scheme
    if spec is not None:
        initialize(
            inspected,
            spec,
            generator=seeds.stream(seed, "init"),
            bias=bias,
            activation=activation,
            layers=layers,
            data=None if spec.scheme.needs == "nothing" else samples,
        )
    like = next(inspected.parameters(), torch.empty(0))
    images = samples.floats().to(like.device)
    labels = _random_labels(inspected, images, seed) if samples.labels is None else samples.labels.to(like.device)
    return measured(
        inspected,
        images,
        labels,
        spec,
        seed=seed,
        activation=activation,
        layers=layers,
        loss=loss,
        step=_step(inspected, optimizer),
        gradient_samples=gradient_samples,
        jacobians=jacobians,
        described=f"{len(images):,} inputs of shape {shape_text(images)}",
    )


def _check_model(model: nn.Module) -> None:
    if isinstance(model, torch.jit.ScriptModule):
        raise UsageError("inspect() got a ScriptModule, which cannot be watched; give the module it was made from.")
    if any(parameter.is_meta for parameter in model.parameters()):
        raise UsageError("inspect() got a model on the meta device, without values; give it a device first.")
    if not weights(model):
        raise UsageError(
            f"inspect() got a {type(model).__name__} without floating-point weights; there is nothing to inspect."
        )


def _check_arguments(
    scheme: object, activation: object, gradient_samples: object, optimizer: object, seed: object
) -> None:
    if not isinstance(seed, int):
        raise UsageError(f"seed={seed!r}: give a whole number.")
    if not isinstance(scheme, str | SchemeSpec | None):
        raise UsageError(f"scheme={scheme!r}: give a text such as 'he_normal', a parsed scheme, or None.")
    if activation is not None and activation not in MODULES:
        raise UsageError(unknown("activation", str(activation), MODULES))
    if not isinstance(gradient_samples, int) or gradient_samples < 1:
        raise UsageError(f"gradient_samples={gradient_samples!r}: give a number of samples, 1 or more.")
    if optimizer is not None and not callable(optimizer):
        raise UsageError(f"optimizer={optimizer!r}: give a function, parameters -> torch.optim.Optimizer.")


def _samples(batch: object) -> Samples:
    given = batch if isinstance(batch, tuple) else (batch,)
    if len(given) not in (1, 2) or not all(isinstance(one, Tensor) for one in given):
        raise UsageError("inspect(): batch must be a tensor of inputs [B, ...], or the two tensors (inputs, labels).")
    return Samples(*given)


def _step(model: nn.Module, optimizer: Optimize | None) -> Step:
    """Return what the first step of the optimizer would add to a parameter."""
    if optimizer is None:
        return first_step(TrainConfig())
    with misfits("the optimizer cannot be made"):
        built = optimizer(list(model.parameters()))
    if not isinstance(built, Optimizer):
        raise UsageError(f"optimizer: the function must return a torch.optim.Optimizer, not a {type(built).__name__}.")
    step = functools.partial(trial_step, built)
    held = {parameter for group in built.param_groups for parameter in group["params"]}

    def change(parameter: nn.Parameter, gradient: Tensor) -> Tensor:
        """Return what it adds; nothing to a parameter that it was not given."""
        with misfits("the optimizer cannot take a step with one parameter"):
            return step(parameter, gradient) if parameter in held else torch.zeros_like(gradient)

    return change


def _random_labels(model: nn.Module, images: Tensor, seed: int) -> Tensor:
    """Return labels [B], drawn evenly from the classes that the output [B, C] of `model`, a copy, has columns for."""
    with torch.no_grad(), misfits():
        output = model.eval()(images[:1])
    if not isinstance(output, Tensor) or output.dim() != 2:
        raise UsageError("the model's output is no matrix of logits [B, C]: give batch=(inputs, labels) and loss=.")
    generator = seeds.stream(seed, "signals", "labels")
    return torch.randint(output.shape[1], (len(images),), generator=generator).to(images.device)
