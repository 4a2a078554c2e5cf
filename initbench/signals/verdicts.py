"""From numbers to words: what a network's first signals say about it, the worst first."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from initbench.activations import BOUNDS
from initbench.results import LayerSignal, Verdict, WeightSignal
from initbench.signals.statistics import SATURATED_WITHIN

MANY = 0.25  # of a layer's activations saturated, or of its units dead
NARROW = 0.05  # of the range of a bounded activation: a std below it is a collapse
LOST = 0.01  # what is left of signal or gradient, from one end of the network to the other, where it vanishes
ALIKE = 1 - 1e-5  # a symmetry index that rounding cannot tell from 1
NEARLY_ALIKE = 0.99  # units with the same weights and biases of their own lie between the two
ROUNDING = 1e-6  # differences between inputs, relative to the activations, that float32 cannot tell from none


def verdicts(layers: Sequence[LayerSignal], weights: Sequence[WeightSignal]) -> tuple[Verdict, ...]:
    """Return what is wrong, or that nothing is."""
    found = list(_not_finite(layers, weights))
    if not found:
        hidden = layers[:-1]
        found = [*_symmetric(weights), *_forward(hidden), *_backward(hidden)]
        if not found or all(verdict.kind == "keeps a spread" for verdict in found):
            found = [Verdict(kind="healthy", text="healthy: signal and gradient keep their size"), *found]
    return tuple(found)


def gain_per_layer(first: float | None, last: float | None, steps: int) -> float | None:
    """Return the factor per layer that leads from `first` to `last`; None for no step, or nothing to begin with."""
    if first is None or last is None or steps < 1 or first <= 0:
        return None
    return math.exp((math.log(last) - math.log(first)) / steps) if last > 0 else 0.0


def _not_finite(layers: Sequence[LayerSignal], weights: Sequence[WeightSignal]) -> Iterator[Verdict]:
    for weight in weights:
        if weight.finite < 1:
            share = _percent(1 - weight.finite)
            yield Verdict(kind="not finite", text=f"not finite: {share} of {weight.name} is NaN or infinite")
            return
    for layer in layers:
        if layer.finite < 1 or (layer.pre_rms is None and layer.pre_mean is not None):
            share = _percent(1 - layer.finite)
            yield Verdict(kind="not finite", text=f"overflows: {share} of {layer.name} is NaN or infinite")
            return


def _symmetric(weights: Sequence[WeightSignal]) -> Iterator[Verdict]:
    """Yield where units are alike and, all gradients being alike too, stay so; the last weight's are the classes."""
    nearly = [
        weight
        for weight in weights[:-1]
        if _is_above(weight.symmetry, NEARLY_ALIKE) and _is_above(weight.grad_symmetry, NEARLY_ALIKE)
    ]
    alike = [one for one in nearly if _is_above(one.symmetry, ALIKE) and _is_above(one.grad_symmetry, ALIKE)]
    if not nearly:
        return
    first, *others = alike or nearly
    which = f"{first.shape[0]} units of {first.name}" + (f" (and of {len(others)} more)" if others else "")
    text = f"symmetric: cannot learn, all {which} are alike and get the same gradient"
    if not alike:
        text = f"nearly symmetric: the {which} differ by little more than their biases"
    yield Verdict(kind="symmetric", text=text)


def _is_above(index: float | None, threshold: float) -> bool:
    """Return whether a symmetry index is above the threshold; an unknown one, of no gradient, counts as such."""
    return index is None or index > threshold


def _forward(hidden: Sequence[LayerSignal]) -> Iterator[Verdict]:
    yield from _worst(hidden, "saturates")
    yield from _worst(hidden, "dies")
    silent = next((layer for layer in hidden if not layer.std and not layer.mean), None)
    if silent is not None:
        yield Verdict(kind="no signal", text=f"no signal: {silent.name} gives 0 whatever the input")
        return
    collapsed = next((layer for layer in reversed(hidden) if _is_narrow(layer)), None)
    if collapsed is not None:
        yield Verdict(kind="collapses", text=_collapse(hidden, collapsed))
        return
    yield from _spread(hidden)
    yield from _lost(hidden)


def _worst(hidden: Sequence[LayerSignal], kind: str) -> Iterator[Verdict]:
    """Yield the layer with the largest share of saturated activations, or of dead units, where that is large."""
    shares = [((layer.saturated if kind == "saturates" else layer.dead) or 0.0, layer) for layer in hidden]
    if not shares:
        return
    share, layer = max(shares, key=lambda one: one[0])
    if share < MANY:
        return
    if kind == "dies":
        yield Verdict(
            kind="dies", text=f"dies: {_percent(share)} of the units of {layer.name} are 0 on the whole batch"
        )
        return
    low, high = BOUNDS[layer.activation or ""]
    yield Verdict(
        kind="saturates",
        text=f"saturates: {_percent(share)} of {layer.name} is within {SATURATED_WITHIN} of {low:g} or {high:g}",
    )


def _is_narrow(layer: LayerSignal) -> bool:
    """Return whether a bounded activation uses next to nothing of its range, away from 0."""
    if layer.activation not in BOUNDS or layer.std is None or layer.mean is None:
        return False
    low, high = BOUNDS[layer.activation]
    return layer.std < NARROW * (high - low) and abs(layer.mean) > 3 * layer.std


def _collapse(hidden: Sequence[LayerSignal], layer: LayerSignal) -> str:
    text = f"collapses: {layer.name} gives {layer.mean:.3g} ± {layer.std:.2g} whatever the input"
    if len(hidden) > 1 and hidden[0].std and layer.std and layer is not hidden[0]:
        text += f", its std was {hidden[0].std:.2g} in {hidden[0].name}"
    gain = _sample_gain(hidden)
    return text if gain is None else f"{text}; differences between inputs shrink by {_factor(gain)} per layer"


def _spread(hidden: Sequence[LayerSignal]) -> Iterator[Verdict]:
    """Yield the good word for a bounded activation that is neither at its ends nor in one point."""
    last = hidden[-1] if hidden else None
    if last is None or last.activation not in BOUNDS or last.std is None:
        return
    low, high = BOUNDS[last.activation]
    if last.std >= NARROW * (high - low) and all((layer.saturated or 0) < MANY for layer in hidden):
        yield Verdict(kind="keeps a spread", text=f"keeps a spread: std {last.std:.2g} in {last.name}")


def _lost(hidden: Sequence[LayerSignal]) -> Iterator[Verdict]:
    """Yield what becomes of the differences between inputs, or of the signal's size, where it is lost or explodes."""
    gain = _sample_gain(hidden)
    size = gain_per_layer(*_ends(hidden, "pre_rms"))
    if gain is None or size is None:
        return
    steps = len(hidden) - 1
    last = hidden[-1]
    no_difference = (last.sample_std or 0) < ROUNDING * (abs(last.mean or 0) + (last.std or 0))
    if gain**steps < LOST or no_difference:
        left = f"of the differences between inputs {_left(gain**steps)} is left in {last.name}"
        yield Verdict(kind="vanishes", text=f"vanishes by {_factor(gain)} per layer: {left}")
    elif size**steps > 1 / LOST:
        text = f"explodes by {_factor(size)} per layer: {last.name} has {size**steps:.2g} times the size of the first"
        yield Verdict(kind="explodes", text=text)


def _backward(hidden: Sequence[LayerSignal]) -> Iterator[Verdict]:
    known = [layer for layer in hidden if layer.delta_rms is not None]
    if not known:
        return
    unreached = [layer for layer in known if layer.delta_rms == 0]
    if unreached:
        yield Verdict(kind="gradient vanishes", text=f"no gradient reaches {unreached[-1].name}: it is 0 there")
        return
    steps = len(known) - 1
    gain = gain_per_layer(known[-1].delta_rms, known[0].delta_rms, steps)
    if gain is None:
        return
    first = known[0].name
    if gain**steps < LOST:
        text = f"gradient vanishes by {_factor(gain)} per layer: {_left(gain**steps)} reaches {first}"
        yield Verdict(kind="gradient vanishes", text=text)
    elif gain**steps > 1 / LOST:
        text = f"gradient explodes by {_factor(gain)} per layer: {first} gets {gain**steps:.2g} times the last one's"
        yield Verdict(kind="gradient explodes", text=text)


def _sample_gain(hidden: Sequence[LayerSignal]) -> float | None:
    return gain_per_layer(*_ends(hidden, "sample_std"))


def _ends(layers: Sequence[LayerSignal], quantity: str) -> tuple[float | None, float | None, int]:
    """Return the quantity in the first layer and in the last, and how many steps lie between them."""
    known = [value for layer in layers if (value := getattr(layer, quantity)) is not None]
    return (known[0], known[-1], len(known) - 1) if known else (None, None, 0)


def _factor(gain: float) -> str:
    return f"{gain:.2g}" if gain < 0.995 else f"{gain:.3g}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 else f"{100 * share:.2g} %"


def _left(share: float) -> str:
    return f"{100 * share:.2g} %" if share else "nothing"
