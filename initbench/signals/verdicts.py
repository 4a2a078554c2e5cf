"""From numbers to words: what a network's first signals say about it, the worst first."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import takewhile

from initbench.activations import BOUNDS
from initbench.results import LayerSignal, Verdict, WeightSignal
from initbench.results.signals import VerdictKind
from initbench.signals import gains
from initbench.signals.statistics import SATURATED_WITHIN

MANY_SATURATED = 0.25  # of a layer's activations
MANY_DEAD = 0.75  # of a layer's units; where inputs have become alike every ReLU is on for all, or off: half are "dead"
NARROW = 0.05  # of the range of a bounded activation: a std below it is a collapse
LOST = 0.01  # what is left of signal or gradient, from one end of the network to the other, where it vanishes
LESS, PER_LAYER = 0.1, 0.6  # and where it shrinks: in all, or in a single layer
CONFIDENT = 3.0  # above the loss of even odds, in nats: a start that is sure of the wrong classes
ALIKE = 1 - 1e-5  # a symmetry index that rounding cannot tell from 1
NEARLY_ALIKE = 0.99  # units with the same weights and biases of their own lie between the two
ROUNDING = 1e-6  # differences between inputs, relative to the activations, that float32 cannot tell from none


def verdicts(
    layers: Sequence[LayerSignal],
    weights: Sequence[WeightSignal],
    loss: float | None,
    *,
    even_odds: float | None = None,
    inputs_differ: bool = True,
) -> tuple[Verdict, ...]:
    """Return what is wrong, or that nothing is; `loss` is None where it is not finite.

    `even_odds` is the loss of a network that gives all classes the same probability, where the loss has such a thing.
    Where the inputs do not differ (one sample, or equal ones) nothing is said of their differences.
    """
    found = list(_not_finite(layers, weights, loss))
    if not found:
        forward = _forward(gains.hidden(layers), layers, inputs_differ, bool(weights and weights[-1].grad_norm))
        found = [*_symmetric(weights), *forward, *_backward(layers, weights), *_confident(loss, even_odds)]
        if all(verdict.kind == "keeps a spread" for verdict in found):
            found = [_healthy(layers), *found]
    return tuple(found)


def _healthy(layers: Sequence[LayerSignal]) -> Verdict:
    changes = {
        "signal": gains.size_change(layers),
        "differences between inputs": gains.sample_change(layers),
        "gradient": gains.gradient_change(layers),
    }
    per = "step" if any(row.step is not None for row in layers) else "layer"
    known = [f"{name} {_times(change.gain)}" for name, change in changes.items() if change and change.gain]
    text = f"healthy: {', '.join(known)} per {per}" if known else "healthy, as far as one layer can tell"
    if all(row.delta_finite is None for row in layers):
        text += "; no gradient came back to be measured"
    return Verdict(kind="healthy", text=text)


def _confident(loss: float | None, even_odds: float | None) -> Iterator[Verdict]:
    if loss is not None and even_odds and loss > even_odds + CONFIDENT:
        yield Verdict(
            kind="loss", text=f"sure of wrong classes: the loss starts at {loss:.3g}, guessing has {even_odds:.3g}"
        )


def _not_finite(
    layers: Sequence[LayerSignal], weights: Sequence[WeightSignal], loss: float | None
) -> Iterator[Verdict]:
    """Yield the first thing that is not finite: a weight, an activation, the loss, a gradient on its way back."""
    text = None
    weight = next((one for one in weights if one.finite < 1), None)
    layer = next((one for one in layers if one.finite < 1 or (one.step is None and one.pre_rms is None)), None)
    gradient = next(
        (one for one in reversed(layers) if (one.delta_finite or 0) < 1 and one.delta_finite is not None), None
    )
    if weight is not None:
        text = f"{_percent(1 - weight.finite)} of {weight.name} is NaN or infinite"
    elif layer is not None:
        text = f"{_percent(1 - layer.finite)} of {_name(layer)} is NaN or infinite"
    elif loss is None:
        text = "the loss is NaN or infinite"
    elif gradient is not None:
        share = _percent(1 - (gradient.delta_finite or 0))
        text = f"the gradient explodes, {share} of it is NaN or infinite at {_name(gradient)}"
    if text is not None:
        yield Verdict(kind="not finite", text=f"not finite: {text}")


def _symmetric(weights: Sequence[WeightSignal]) -> Iterator[Verdict]:
    """Yield where units are alike and, all gradients being alike too, stay so; the last weight's are the classes."""
    nearly = [one for index, one in enumerate(weights[:-1]) if _stays_alike(weights[index:], NEARLY_ALIKE)]
    alike = [one for index, one in enumerate(weights[:-1]) if _stays_alike(weights[index:], ALIKE)]
    if not nearly:
        return
    first, *others = alike or nearly
    which = f"{first.shape[0]} units of {first.name}" + (f" (and of {len(others)} more)" if others else "")
    text = f"symmetric: cannot learn, all {which} are alike and get the same gradient"
    if not alike:
        text = f"nearly symmetric: the {which} differ by little more than their biases"
    yield Verdict(kind="symmetric", text=text)


def _stays_alike(weights: Sequence[WeightSignal], threshold: float) -> bool:
    """Return whether the units of the first weight, the gradients they get, and what is learned of them, are alike.

    The last is in the columns of the next gradient that is not 0. It tells units that start at 0 beside a shortcut, as
    Fixup's do, from those that stay there.
    """
    weight, *above = weights
    if not weight.used or not all(_is_above(one, threshold) for one in (weight.symmetry, weight.grad_symmetry)):
        return False
    learned = next((one for one in above if one.grad_norm), None)
    if learned is None or learned.shape[1] != weight.shape[0]:
        return True
    return _is_above(learned.grad_column_symmetry, threshold)


def _is_above(index: float | None, threshold: float) -> bool:
    return index is not None and index > threshold


def _forward(
    hidden: Sequence[LayerSignal], layers: Sequence[LayerSignal], inputs_differ: bool, output_learns: bool
) -> Iterator[Verdict]:
    yield from _saturated(hidden)
    yield from _dead(hidden)
    silent = list(takewhile(lambda layer: not layer.std and not layer.mean, reversed(hidden)))
    if silent and not output_learns:  # where it does, something comes by beside the silent layers
        yield Verdict(kind="no signal", text=f"no signal: {_name(silent[-1])} gives 0 whatever the input")
        return
    if hidden and _is_narrow(hidden[-1]):
        yield Verdict(kind="collapses", text=_collapse(hidden, layers, inputs_differ))
        return
    if inputs_differ and _is_lost(hidden[-1] if hidden else None):
        yield Verdict(kind="vanishes", text=_lost(hidden, layers))
        return
    yield from _spread(hidden)
    if inputs_differ:
        yield from _changes(hidden, layers)


def _saturated(hidden: Sequence[LayerSignal]) -> Iterator[Verdict]:
    worst = max(hidden, key=lambda layer: layer.saturated or 0, default=None)
    if worst is None or (worst.saturated or 0) < MANY_SATURATED:
        return
    low, high = BOUNDS[worst.activation or ""]
    where = f"{_percent(worst.saturated or 0)} of {_name(worst)} is within {SATURATED_WITHIN} of {low:g} or {high:g}"
    yield Verdict(kind="saturates", text=f"saturates: {where}")


def _dead(hidden: Sequence[LayerSignal]) -> Iterator[Verdict]:
    worst = max(hidden, key=lambda layer: layer.dead or 0, default=None)
    if worst is not None and (worst.dead or 0) >= MANY_DEAD:
        where = f"{_percent(worst.dead or 0)} of the units of {_name(worst)} are 0 on the whole batch"
        yield Verdict(kind="dies", text=f"dies: {where}")


def _is_narrow(layer: LayerSignal) -> bool:
    """Return whether a bounded activation uses next to nothing of its range, away from 0."""
    if layer.activation not in BOUNDS or layer.std is None or layer.mean is None:
        return False
    low, high = BOUNDS[layer.activation]
    return layer.std < NARROW * (high - low) and abs(layer.mean) > 3 * layer.std


def _collapse(hidden: Sequence[LayerSignal], layers: Sequence[LayerSignal], inputs_differ: bool) -> str:
    layer = hidden[-1]
    text = f"collapses: {_name(layer)} gives {layer.mean:.3g} ± {layer.std:.2g} whatever the input"
    if len(hidden) > 1 and hidden[0].std:
        text += f", its std was {hidden[0].std:.2g} in {_name(hidden[0])}"
    change = gains.sample_change(layers)
    if not inputs_differ or change is None or not change.gain:
        return text
    return f"{text}; differences between inputs {_times(change.gain)} per layer"


def _is_lost(layer: LayerSignal | None) -> bool:
    """Return whether nothing but rounding is left of the differences between inputs."""
    if layer is None or layer.sample_std is None:
        return False
    return layer.sample_std <= ROUNDING * (abs(layer.mean or 0) + (layer.std or 0))


def _lost(hidden: Sequence[LayerSignal], layers: Sequence[LayerSignal]) -> str:
    first = len(hidden) - len(list(takewhile(_is_lost, reversed(hidden))))
    change = gains.sample_change(layers[: layers.index(hidden[first]) + 1])
    by = f" {_times(change.gain)} per layer," if change is not None and change.gain else ""
    return f"vanishes:{by} from {_name(hidden[first])} on nothing is left of the differences between inputs"


def _spread(hidden: Sequence[LayerSignal]) -> Iterator[Verdict]:
    """Yield the good word for a bounded activation that is neither at its ends nor in one point."""
    last = hidden[-1] if hidden else None
    if last is None or last.activation not in BOUNDS or last.std is None:
        return
    low, high = BOUNDS[last.activation]
    if last.std >= NARROW * (high - low) and all((layer.saturated or 0) < MANY_SATURATED for layer in hidden):
        yield Verdict(kind="keeps a spread", text=f"keeps a spread: std {last.std:.2g} in {_name(last)}")


def _changes(hidden: Sequence[LayerSignal], layers: Sequence[LayerSignal]) -> Iterator[Verdict]:
    """Yield that the differences between inputs, or the signal, change too much from the first layer to the last."""
    spread, size = gains.sample_change(layers), gains.size_change(layers)
    last = _name(layers[-2]) if len(layers) > 1 else ""
    if spread is not None and _is_less(spread):
        kind: VerdictKind = "vanishes" if (spread.total or 0) < LOST else "shrinks"
        left = f"{_share(spread.total or 0)} of the differences between inputs is left in {last}"
        yield Verdict(kind=kind, text=f"{kind}: {_times(spread.gain or 0)} per layer, {left}")
    elif size is not None and _is_less(size.reverse):
        kind = "explodes" if (size.reverse.total or 0) < LOST else "grows"
        per = "step" if layers[0].step is not None else "layer"
        text = f"{kind}: {_times(size.gain or 0)} per {per}, {_times(size.total or 0)} in all in {last}"
        yield Verdict(kind=kind, text=text)


def _is_less(change: gains.Change) -> bool:
    """Return whether a change leaves too little of what was there, per layer or in all."""
    return change.total is not None and change.gain is not None and (change.total < LESS or change.gain < PER_LAYER)


def _cancels(layers: Sequence[LayerSignal], weights: Sequence[WeightSignal]) -> bool:
    """Return whether the last weight sends back nothing but rounding: its columns are alike, the classes' sum to 0."""
    if len(layers) < 2 or not weights:
        return False
    (below, out), last = layers[-2:], weights[-1]
    if last.mean is None or last.std is None:
        return False
    if below.step is not None or not below.delta_rms or not out.delta_rms or below.saturated:
        return False
    size = math.hypot(last.mean, last.std)
    return below.delta_rms < ROUNDING * size * out.delta_rms


def _backward(layers: Sequence[LayerSignal], weights: Sequence[WeightSignal]) -> Iterator[Verdict]:
    rows = [row for row in gains.reached(layers) if row.delta_rms is not None]
    unreached = list(takewhile(lambda row: row.delta_rms == 0, rows))
    if unreached or (rows and _cancels(layers, weights)):
        last, left = (unreached[-1], "it is 0") if unreached else (rows[-1], "only rounding is left")
        text = f"no gradient reaches {_name(last)} in the first step: {left} there"
        yield Verdict(kind="gradient vanishes", text=text)
        return
    change = gains.gradient_change(layers)
    if change is None:
        return
    per, first = "step" if rows[0].step is not None else "layer", _name(rows[0])
    if _is_less(change):
        kind: VerdictKind = "gradient vanishes" if (change.total or 0) < LOST else "gradient shrinks"
        text = f"{kind}: {_times(change.gain or 0)} per {per}, {_share(change.total or 0)} reaches {first}"
        yield Verdict(kind=kind, text=text)
    elif _is_less(change.reverse):
        kind = "gradient explodes" if (change.reverse.total or 0) < LOST else "gradient grows"
        text = f"{kind}: {_times(change.gain or 0)} per {per}, {_times(change.total or 0)} in all at {first}"
        yield Verdict(kind=kind, text=text)


def _name(layer: LayerSignal) -> str:
    """Return the layer's name; "layer 0" where it is a number."""
    return f"layer {layer.name}" if layer.name[:1].isdigit() else layer.name


def _times(factor: float) -> str:
    return f"x {factor:.3g}" if 0.995 <= factor < 1000 else f"x {factor:.2g}"


def _percent(share: float) -> str:
    return "less than 1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"


def _share(share: float) -> str:
    """Return a share in percent, a small one as a power of ten."""
    return f"{100 * share:.2g} %" if share >= 1e-4 else f"{share:.1e}" if share else "nothing"
