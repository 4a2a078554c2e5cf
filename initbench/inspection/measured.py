"""A model at its starting values, and a batch: measured, with everything that is known of its scheme."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from initbench import seeds
from initbench.results import SignalReport
from initbench.schemes import SchemeSpec
from initbench.schemes.apply import Layers, check_model
from initbench.signals.measure import measure
from initbench.signals.report import report
from initbench.signals.weight_signals import Step

JACOBIANS = 12  # of so many layers at most, evenly spaced


def measured(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    spec: SchemeSpec | None,
    *,
    seed: int,
    activation: str | None,
    layers: Layers | None,
    step: Step,
    gradient_samples: int,
    described: str,
    jacobians: int = JACOBIANS,
    loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
) -> SignalReport:
    """Return the report on `model`, filled by `spec` and `layers` (None: as it is); the others are `measure`'s."""
    chosen = check_model(model, spec, activation=activation, layers=layers) if spec is not None else []
    measurement = measure(
        model,
        images,
        labels,
        step=step,
        gradient_samples=gradient_samples,
        schemes={weight.name: of_weight for weight, of_weight in chosen},
        activation=activation,
        jacobians=jacobians,
        generator=seeds.stream(seed, "signals", "jacobians"),
        loss=loss,
    )
    return report(
        measurement,
        model,
        images,
        scheme=None if spec is None else spec.label,
        seed=seed,
        described=described,
        gradient_samples=gradient_samples,
        even_odds=math.log(measurement.layers[-1].units) if loss is cross_entropy else None,
    )


def shape_text(images: Tensor) -> str:
    """Return the shape of one input in words: 1x28x28."""
    return "x".join(map(str, images.shape[1:]))
