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
from initbench.config import TrainConfig
from initbench.errors import UsageError
from initbench.inspection.measured import measured, shape_text
from initbench.results import SignalReport
from initbench.schemes import SchemeSpec, parse
from initbench.schemes.apply import Layers, initialize
from initbench.schemes.filling import Bias
from initbench.schemes.samples import Samples
from initbench.schemes.weights import weights
from initbench.signals.measure import GRADIENT_SAMPLES
from initbench.signals.weight_signals import Step
from initbench.training.optimizers import first_step, trial_step

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
) -> SignalReport:
    """Initialize a copy of `model`, send `batch` through and the gradient of the loss back; nothing is trained.

    Arguments: `scheme`, as `initialize` takes it, with `bias`, `activation` and `layers`; None inspects the weights as
    they are. `batch`, inputs [B, ...] as the model takes them (uint8 becomes floats in [0, 1]), or (inputs, labels
    [B]); without labels they are drawn evenly from the classes, the columns of the model's output [B, C]. `seed` of the
    weights, those labels and the directions in which Jacobians are probed. `loss(outputs, labels)`, the mean over the
    batch. `optimizer`, parameters -> the optimizer whose first step is held against the weights; Adam with lr 1e-3 by
    default. The gradient is that of the first `gradient_samples` of the batch.

    What the numbers are: `initbench.results.signals`. Raises UsageError for a batch that does not fit the model,
    SchemeError for a scheme that does not.
    """
    if not isinstance(model, nn.Module):
        raise UsageError(f"inspect() got a {type(model).__name__}; it needs a torch.nn.Module.")
    if not weights(model):
        raise UsageError(f"inspect() got a {type(model).__name__} without weights; there is nothing to inspect.")
    samples = Samples(*(batch if isinstance(batch, tuple) else (batch,)))
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
        described=f"{len(images):,} inputs of shape {shape_text(images)}",
    )


def _step(model: nn.Module, optimizer: Optimize | None) -> Step:
    """Return what the first step of the optimizer would add to a parameter."""
    if optimizer is None:
        return first_step(TrainConfig())
    return functools.partial(trial_step, optimizer(list(model.parameters())))


def _random_labels(model: nn.Module, images: Tensor, seed: int) -> Tensor:
    """Return labels [B], drawn evenly from the classes that the model's output [B, C] has columns for."""
    was_training = model.training
    try:
        with torch.no_grad():
            output = model.eval()(images[:1])
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        raise UsageError(f"the batch cannot be sent through the model: {str(error).splitlines()[0]}") from error
    finally:
        model.train(was_training)
    if not isinstance(output, Tensor) or output.dim() != 2:
        raise UsageError("the model's output is no matrix of logits [B, C]: give batch=(inputs, labels) and loss=.")
    generator = seeds.stream(seed, "signals", "labels")
    return torch.randint(output.shape[1], (len(images),), generator=generator).to(images.device)
