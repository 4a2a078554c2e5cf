"""Inspections for the tests: small numpy networks, measured for real, and records that no network should give."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from report.builders import DIGITS
from scipy.special import expit

from initbench.results import (
    Histogram,
    Inspection,
    LayerSignal,
    LayerTheory,
    NetworkTheory,
    SignalReport,
    SignalRow,
    Spectrum,
    Verdict,
    WeightSignal,
)

Array = np.ndarray[Any, np.dtype[np.float64]]

PHI: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "sigmoid": (expit, lambda z: expit(z) * (1 - expit(z))),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(float)),
}
BOUNDS = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0)}
EVIL = "[red]he[/red]:$a=1$"
LONG = "trunc_normal:a=-2.0:b=2.0:mean=0.0:std=1.0"
UNBROKEN = "a_scheme_of_somebody_who_likes_long_names_" * 3

VERDICTS: dict[str, tuple[Verdict, ...]] = {
    "normal:std=1": (
        Verdict(kind="saturates", text="saturates: 91 % of layer fc5 is within 0.01 of 0 or 1"),
        Verdict(kind="gradient vanishes", text="the gradient vanishes by 0.42 per layer"),
    ),
    "normal:std=0.01": (
        Verdict(kind="collapses", text="collapses: from fc1 to fc5 the spread between inputs shrinks by 0.025 a layer"),
    ),
    "xavier_normal": (Verdict(kind="keeps a spread", text="keeps a spread: std 0.11 in layer fc5"),),
    "he_normal": (Verdict(kind="healthy", text="healthy"),),
}


def histogram(values: Array, bins: int = 60) -> Histogram:
    """The counts of all values; one bin where they are all the same."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        return Histogram(low=low, high=high, counts=(values.size,))
    counts, _ = np.histogram(values, bins=bins, range=(low, high))
    return Histogram(low=low, high=high, counts=tuple(map(int, counts)))


def layer(name: str, **changes: Any) -> LayerSignal:
    """A layer of which nothing is known but its name, and `changes`."""
    names = "activation pre_mean pre_std pre_rms mean std sample_std saturated dead effective_rank max_rank histogram"
    unknown = dict.fromkeys((*names.split(), "delta_rms", "delta_finite", "step"))
    facts = {"name": name, "kind": "Linear", "units": 100, "values": 100, "finite": 0.0}
    return LayerSignal(**(facts | unknown | changes))


def weight(name: str, **changes: Any) -> WeightSignal:
    """A weight of which nothing is known but its name, and `changes`."""
    names = "scheme formula gain target_std mean std symmetry grad_norm grad_std grad_symmetry grad_column_symmetry"
    unknown = dict.fromkeys((*names.split(), "update_ratio"))
    facts = {"name": name, "shape": (100, 100), "fan_in": 100, "fan_out": 100, "finite": 1.0, "used": True}
    return WeightSignal(**(facts | unknown | changes))


def report(
    scheme: str | None, layers: Sequence[LayerSignal], weights: Sequence[WeightSignal], **changes: Any
) -> SignalReport:
    """A report on `layers` and `weights`; everything else is unknown, but for `changes`."""
    unknown = dict.fromkeys(
        ("loss", "forward_gain", "sample_gain", "backward_gain", "jacobian_mean", "theory", "no_theory")
    )
    facts: dict[str, Any] = {"scheme": scheme, "seed": 0, "input": "standard normal noise", "samples": 1000}
    parts = {"layers": tuple(layers), "weights": tuple(weights), "notes": (), "gradient_samples": 1000}
    verdicts = VERDICTS.get(scheme or "", (Verdict(kind="healthy", text="healthy"),))
    return SignalReport(**(facts | parts | unknown | {"verdicts": verdicts} | changes))


def inspection(*reports: SignalReport, **changes: Any) -> Inspection:
    """The reports side by side."""
    model = {"name": "mlp", "hidden": [100] * 5, "activation": "sigmoid", "dropout": 0.0, "norm": "none", "bias": True}
    facts = {"config": {"model": model}, "device": "cpu", "dataset": None, "parameters": 51_510, "reports": reports}
    return Inspection(**(facts | changes))


def simulated(scheme: str, activation: str, std: float, depth: int = 5, width: int = 100) -> SignalReport:
    """Send 500 random inputs through `depth` layers and 10 logits, weights N(0, std^2), and the gradient back."""
    generator = np.random.default_rng(0)
    phi, slope = PHI[activation]
    shapes = [(width, width)] * depth + [(10, width)]
    weights = [std * generator.standard_normal(shape) for shape in shapes]
    before, after = [], [generator.standard_normal((500, width))]
    for index, matrix in enumerate(weights):
        before.append(after[-1] @ matrix.T)
        after.append(phi(before[-1]) if index < depth else before[-1])
    deltas = [generator.standard_normal((500, 10)) / 10]
    for index in range(depth - 1, -1, -1):
        deltas.insert(0, deltas[0] @ weights[index + 1] * slope(before[index]))
    rows = [
        _measured(
            f"fc{i + 1}" if i < depth else "out", activation if i < depth else None, *found, std * math.sqrt(width)
        )
        for i, found in enumerate(zip(before, after[1:], deltas, strict=True))
    ]
    rates = [float(np.mean(d**2)) ** 0.5 for d in deltas]
    signals = [
        weight(
            f"{row.name}.weight", shape=matrix.shape, fan_in=width, fan_out=len(matrix), scheme=scheme, gain=1.0,
            formula="N(0, std^2)", target_std=std, mean=float(matrix.mean()), std=float(matrix.std()), symmetry=0.0012,
            grad_norm=rate * 10, grad_std=rate, grad_symmetry=0.113, update_ratio=0.001 / std,
        )
        for row, matrix, rate in zip(rows, weights, rates, strict=True)
    ]  # fmt: skip
    theory = NetworkTheory(
        activation=activation, sigma_w=std * math.sqrt(width), sigma_b=0.0, q=0.31 if std < 0.5 else None, chi1=0.0679,
        phase="ordered", depth_scale=0.372, trainable_depth=2.23, critical_sigma_w=10.149,
    )  # fmt: skip
    gains = {"forward_gain": 0.93, "sample_gain": 0.41, "backward_gain": 0.27, "jacobian_mean": 0.219}
    return report(scheme, rows, signals, theory=theory, loss=2.4121, **gains)


def _measured(
    name: str, activation: str | None, before: Array, after: Array, delta: Array, sigma_w: float
) -> LayerSignal:
    spread = np.linalg.svd((after - after.mean(0))[:101], compute_uv=False)
    shares = spread[spread > 0] / spread.sum()
    bounds = BOUNDS.get(activation or "")
    rms, backwards = float(np.sqrt(np.mean(before**2))), float(np.sqrt(np.mean(delta**2)))
    saturated = np.mean((after < bounds[0] + 0.01) | (after > bounds[1] - 0.01)) if bounds else None
    return layer(
        name,
        activation=activation,
        units=after.shape[1],
        values=after.shape[1],
        finite=1.0,
        pre_mean=float(before.mean()),
        pre_std=float(before.std()),
        pre_rms=rms,
        mean=float(after.mean()),
        std=float(after.std()),
        sample_std=float(np.sqrt(after.var(0).mean())),
        saturated=None if saturated is None else float(saturated),
        dead=float(np.mean((after == 0).all(0))) if activation == "relu" else None,
        effective_rank=float(np.exp(-np.sum(shares * np.log(shares)))),
        max_rank=min(100, after.shape[1]),
        histogram=histogram(after),
        delta_rms=backwards,
        delta_finite=1.0,
        jacobian=Spectrum(mean=sigma_w / 4, percentiles=(0.01, 0.1, 0.2, 0.31, 0.4), largest=0.5),
        theory=LayerTheory(pre_rms=1.02 * rms, pre_rms_error=0.03 * rms, backward=0.07, delta_rms=0.97 * backwards),
    )


@functools.cache
def sigmoid() -> Inspection:
    """The histogram experiment: N(0, 1) piles up at 0 and 1, N(0, 0.01^2) is all near 0.5."""
    stds = {"normal:std=1": 1.0, "normal:std=0.01": 0.01, "xavier_normal": 0.1, "he_normal": math.sqrt(0.02)}
    return inspection(*(simulated(scheme, "sigmoid", std) for scheme, std in stds.items()))


@functools.cache
def relu() -> Inspection:
    """Three relu layers, on a stand-in for the data that was asked for."""
    schemes = {"he_normal": math.sqrt(0.02), "xavier_normal": 0.1, "normal:std=1": 1.0}
    model = {"name": "mlp", "hidden": [100, 100, 100], "activation": "relu"}
    reports = [simulated(scheme, "relu", std, depth=3) for scheme, std in schemes.items()]
    return inspection(*reports, config={"model": model}, dataset=DIGITS)


@functools.cache
def convolutional() -> Inspection:
    """No theory, convolutions beside steps of a recurrent layer without activations, weights that gates stack."""
    source = sigmoid().reports[2].layers
    rows = [
        source[0].model_copy(update={"name": "conv1", "kind": "Conv2d", "activation": "relu", "theory": None}),
        *(
            source[5].model_copy(
                update={"name": f"rnn, step {step}", "kind": "LSTM", "step": step, "theory": None, "jacobian": None}
            )
            for step in (1, 14, 28)
        ),
        source[5].model_copy(update={"name": "out", "theory": None}),
    ]
    gates = [weight(f"rnn.weight_ih_l0, gate {gate}", std=0.1, grad_norm=0.2, symmetry=0.01) for gate in "ifgo"]
    weights = [
        weight("conv1.weight", shape=(16, 1, 5, 5), fan_in=25, fan_out=400, std=0.2, target_std=0.2, gain=math.sqrt(2),
               scheme="he_normal", formula="N(0, gain^2 / fan_in)"),
        *gates,
        weight("spare.weight", used=False, std=0.3, scheme="normal:std=0.3", formula="N(0, std^2)"),
    ]  # fmt: skip
    why = "the network is not a chain of fully connected layers"
    notes = ("spare.weight is not used", "rnn: 25 of 28 steps are left out")
    own = {"name": "my_net", "widths": [8, 16, 32], "residual": True, "pool": None}
    first = report("he_normal", rows, weights, no_theory=why, notes=notes, seed=None)
    return inspection(first, report(None, rows, weights, no_theory=why, notes=notes), config={"model": own})


@functools.cache
def broken() -> Inspection:
    """Not a number anywhere: the weights were not finite, or everything was lost."""
    failed = Verdict(kind="not finite", text="not finite: no activation of layer fc1 is a number")
    rows, weights = [layer("fc1", activation="sigmoid"), layer("out")], [weight("fc1.weight", finite=0.5)]
    once = report("he_normal", rows, weights, verdicts=(failed,), gradient_samples=1, samples=1)
    return inspection(once, report("empty", [], [], verdicts=()), config={})


@functools.cache
def constant() -> Inspection:
    """All zeros: one bin a histogram, symmetric, no gradient; and values as large and as small as they come."""
    symmetric = Verdict(kind="symmetric", text="symmetric: cannot learn")
    same = histogram(np.full(100, 0.5))
    zero = {"pre_rms": 0.0, "mean": 0.5, "std": 0.0, "sample_std": 0.0, "delta_rms": 0.0, "finite": 1.0}
    rows = [layer(f"fc{i}", activation="sigmoid", saturated=0.0, histogram=same, **zero) for i in (1, 2)]
    huge = {"pre_rms": 1.7e308, "mean": -1.2e37, "std": 3e38, "sample_std": 1e-40, "delta_rms": 5e-324, "finite": 0.25}
    wide = [
        layer("fc1", activation="sigmoid", histogram=Histogram(low=-1e308, high=1.7e308, counts=(3, 0, 9)), **huge),
        layer("fc2", activation="sigmoid", histogram=Histogram(low=0.0, high=5e-324, counts=(1, 2)), **huge),
    ]
    alike = [weight("fc1.weight", std=0.0, symmetry=1.0, grad_symmetry=1.0, grad_norm=0.0, update_ratio=None)]
    return inspection(report("zeros", rows, alike, verdicts=(symmetric,)), report("normal:std=1e38", wide, alike))


@functools.cache
def deep() -> Inspection:
    """A hundred tanh layers, in which the signal shrinks from layer to layer."""
    shape, grid = np.linspace(-3, 3, 41), {"xavier_normal": 0.95, "normal:std=0.05": 0.6}
    counts = tuple(int(1000 * math.exp(-(x**2) / 2)) for x in shape)
    reports = []
    for scheme, gain in grid.items():
        sizes = [gain**depth for depth in range(100)]
        rows = [
            layer(f"fc{i + 1}", activation="tanh", finite=1.0, pre_rms=size, std=size, sample_std=size, saturated=0.0,
                  mean=0.0, delta_rms=sizes[-1 - i], histogram=Histogram(low=-size, high=size, counts=counts))
            for i, size in enumerate(sizes)
        ]  # fmt: skip
        weights = [weight(f"fc{i + 1}.weight", std=0.1, grad_norm=size) for i, size in enumerate(sizes)]
        reports.append(report(scheme, rows, weights))
    return inspection(*reports, config={"model": {"name": "mlp", "hidden": [100] * 100, "activation": "tanh"}})


@functools.cache
def named() -> Inspection:
    """Nine schemes, some with names that look like markup or are longer than the terminal is wide."""
    source = sigmoid().reports[2]
    first, *_, last = source.layers
    rows = [row.model_copy(update={"name": f"[b]{row.name}[/b] ünd_$x$"}) for row in (first, last)]
    names = [EVIL, LONG, UNBROKEN, *(f"normal:std=0.{i}" for i in range(1, 7))]
    weights = [weight("[bold]w.weight", scheme=EVIL, std=0.1), weight("encoder.layers.0.attention.key.weight" * 3)]
    loud = (Verdict(kind="dies", text="[blink]dies[/blink]: 50 % of $fc1$"), Verdict(kind="explodes", text="explodes"))
    reports = [report(name, rows, weights, verdicts=loud, notes=("[i]note[/i]",)) for name in names]
    return inspection(*reports, config={"model": {"name": "[u]net[/u]", "path": "x" * 90}})


INSPECTIONS: dict[str, Callable[[], Inspection]] = {
    "sigmoid": sigmoid,
    "relu": relu,
    "convolutional": convolutional,
    "broken": broken,
    "constant": constant,
    "deep": deep,
    "named": named,
    "none": lambda: inspection(),
}


def training(epochs: Sequence[int] = (0, 1, 2, 4, 6, 8, 10, 15)) -> tuple[SignalRow, ...]:
    """How the signals of a relu network changed in training: ever more dead units, a shrinking gradient."""
    source = relu().reports[0]
    return tuple(
        SignalRow(
            epoch=epoch,
            layers=tuple(
                row.model_copy(update={"std": (row.std or 1) * (1 + epoch / 9), "dead": min(1.0, 0.02 * epoch)})
                for row in source.layers
            ),
            weights=tuple(
                found.model_copy(update={"grad_norm": (found.grad_norm or 1) * 0.7**epoch}) for found in source.weights
            ),
        )
        for epoch in epochs
    )


ROWS: dict[str, tuple[SignalRow, ...]] = {
    "training": training(),
    "one look": training((0,)),
    "nothing": (),
    "broken": tuple(SignalRow(epoch=i, layers=broken().reports[0].layers, weights=()) for i in (0, 1)),
    "deep": tuple(
        SignalRow(epoch=i, layers=deep().reports[0].layers, weights=deep().reports[0].weights) for i in (0, 5)
    ),
    "problem": (
        *training((0, 1)),
        SignalRow(epoch=2, problem="the forward pass failed", layers=(), weights=()),
        SignalRow(epoch=3, problem="the forward pass failed", layers=(), weights=()),
        *training((4,)),
    ),
    "only problems": (SignalRow(epoch=2, problem="the forward pass failed", layers=(), weights=()),),
    "named": tuple(SignalRow(epoch=i, layers=named().reports[0].layers, weights=()) for i in (1, 100)),
}
