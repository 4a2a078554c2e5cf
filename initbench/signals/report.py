"""Put a measurement together: gains per layer, theory beside it, verdicts, notes."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from initbench.results import LayerSignal, NetworkTheory, SignalReport, WeightSignal
from initbench.signals import gains, theory
from initbench.signals.measure import Measurement
from initbench.signals.verdicts import verdicts


def report(
    measurement: Measurement,
    model: nn.Module,
    images: Tensor,
    *,
    scheme: str | None,
    seed: int | None,
    described: str,
    gradient_samples: int,
    even_odds: float | None,
) -> SignalReport:
    """Return everything about one scheme's starting values in `model`, measured on `images` [B, ...]."""
    layers, weights = measurement.layers, measurement.weights
    of_network: NetworkTheory | None = None
    no_theory: str | None = None
    try:
        layers, of_network = theory.beside(model, images, layers, weights)
    except theory.NoTheoryError as error:
        no_theory = str(error)
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
        forward_gain=_gain(gains.size_change(layers)),
        sample_gain=_gain(gains.sample_change(layers)),
        backward_gain=_gain(gains.gradient_change(layers)),
        jacobian_mean=statistics.fmean(means) if means else None,
        theory=of_network,
        no_theory=no_theory,
        verdicts=verdicts(layers, weights, measurement.loss, even_odds=even_odds, inputs_differ=_differ(images)),
        notes=tuple(_notes(model, images, layers, weights)),
    )


def _gain(change: gains.Change | None) -> float | None:
    return None if change is None else change.gain


def _differ(images: Tensor) -> bool:
    return len(images) > 1 and not bool((images == images[:1]).all())


def _notes(
    model: nn.Module, images: Tensor, layers: Sequence[LayerSignal], weights: Sequence[WeightSignal]
) -> Iterator[str]:
    if images.is_floating_point() and not images.isfinite().all():
        yield "the input itself has NaN or infinite values"
    if len(images) == 1:
        yield (
            "a batch of one: how far inputs differ, dead units and effective ranks need more; batch normalization uses"
            " its running statistics"
        )
    elif not _differ(images):
        yield "all inputs are alike: nothing can be said of the differences between them"
    if any(layer.step is not None for layer in layers):
        yield "of a recurrent layer: the state at some of its steps, and the gradient at its input there"
    shown = {layer.name.partition(",")[0] for layer in layers}
    unseen = [name for name, layer in model.named_modules() if isinstance(layer, nn.RNNBase) and name not in shown]
    if unseen and "" not in unseen:
        yield f"not seen: the states of {', '.join(unseen)}: unused, or given a packed sequence or one without a batch"
    unused = [weight.name for weight in weights if not weight.used]
    if unused:
        more = f" and {len(unused) - 5} more" if len(unused) > 5 else ""
        yield f"no gradient: the loss does not depend on {', '.join(unused[:5])}{more}"
