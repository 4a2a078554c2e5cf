"""Put a measurement together: gains per layer, theory beside it, verdicts, notes."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from torch import Tensor, nn

from initbench.results import LayerSignal, NetworkTheory, SignalReport, WeightSignal
from initbench.signals import theory
from initbench.signals.measure import Measurement
from initbench.signals.verdicts import gain_per_layer, verdicts


def report(
    measurement: Measurement,
    model: nn.Module,
    images: Tensor,
    *,
    scheme: str | None,
    seed: int | None,
    described: str,
    gradient_samples: int,
) -> SignalReport:
    """Return everything about one scheme's starting values in `model`, measured on `images` [B, ...]."""
    layers, weights = measurement.layers, measurement.weights
    of_network: NetworkTheory | None = None
    no_theory: str | None = None
    try:
        layers, of_network = theory.beside(model, images, layers, weights)
    except theory.NoTheoryError as error:
        no_theory = str(error)
    hidden = layers[:-1]
    means = [layer.jacobian.mean for layer in layers if layer.jacobian]
    return SignalReport(
        scheme=scheme,
        seed=seed,
        input=described,
        samples=len(images),
        gradient_samples=min(gradient_samples, len(images)),
        loss=measurement.loss,
        layers=layers,
        weights=weights,
        forward_gain=_gain(hidden, "pre_rms"),
        sample_gain=_gain(hidden, "sample_std"),
        backward_gain=_gain(hidden[::-1], "delta_rms"),
        jacobian_mean=statistics.fmean(means) if means else None,
        theory=of_network,
        no_theory=no_theory,
        verdicts=verdicts(layers, weights),
        notes=tuple(_notes(images, weights)),
    )


def _gain(layers: Sequence[LayerSignal], quantity: str) -> float | None:
    """Return the factor per layer of a quantity along `layers`, of those that have it."""
    known = [value for layer in layers if (value := getattr(layer, quantity)) is not None]
    return gain_per_layer(known[0], known[-1], len(known) - 1) if known else None


def _notes(images: Tensor, weights: Sequence[WeightSignal]) -> list[str]:
    notes = []
    if len(images) == 1:
        notes.append(
            "a batch of one: how far inputs differ, and effective ranks, need more; batch normalization uses its"
            " running statistics"
        )
    unused = [weight.name for weight in weights if not weight.used]
    if unused:
        more = f" and {len(unused) - 5} more" if len(unused) > 5 else ""
        notes.append(f"no gradient: the loss does not depend on {', '.join(unused[:5])}{more}")
    return notes
