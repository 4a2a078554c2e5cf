"""What the columns of an inspection's tables mean, in one paragraph: only those that are shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from initbench.results import LayerSignal, SignalReport, WeightSignal

SIGMAS = (
    "sigma_w: std of the weights times sqrt(fan in)",
    "sigma_b: of the biases",
    "chi1: factor of squared gradients per layer",
)


def legend(reports: Sequence[SignalReport], *, details: bool) -> str:
    """Return the meanings of the columns of all `reports`, and of the terms of their theory; "" without any."""
    layers = [row for report in reports for row in report.layers]
    weights = [row for report in reports for row in report.weights] if details else []
    parts = [
        *(_of_layers(layers) if layers else ()),
        *(_of_weights(weights) if weights else ()),
        *(SIGMAS if any(report.theory for report in reports) else ()),
    ]
    return f"Columns: {'; '.join(parts)}." if parts else ""


def _of_layers(rows: Sequence[LayerSignal]) -> Iterator[str]:
    theory = any(row.theory for row in rows)
    beside = ", beside theory's" if theory else ""
    spread = ", ± one standard deviation of networks this wide" if theory else ""
    yield f"pre-act. rms: root mean square of what goes into the activation function{beside}{spread}"
    yield "std: of the activations, over inputs and units"
    yield "between inputs: how far the activations of different inputs differ (std over inputs, unit by unit)"
    if any(row.saturated is not None for row in rows):
        yield "satur.: share of the activations at the ends of the activation function"
    if any(row.dead is not None for row in rows):
        yield "dead: share of units that are 0 for every input"
    if any(row.finite < 1 for row in rows):
        yield "finite: share of the activations that are neither NaN nor infinite"
    yield "effective rank: how many directions the inputs still differ in"
    yield f"gradient rms: of the loss, at the pre-activations{beside}"
    if any(row.jacobian for row in rows):
        yield "Jacobian, mean s: mean singular value of the layer's Jacobian, in at most 12 layers, evenly spaced"


def _of_weights(rows: Sequence[WeightSignal]) -> Iterator[str]:
    formula = " (by the scheme's formula)" if any(row.target_std is not None for row in rows) else ""
    yield f"std{formula}: of the weights"
    yield "symmetry: 1 where all units are alike, 0 where they are independent"
    yield "grad. norm, std, symm.: the same of the weights' gradient"
    yield "update ratio: norm of the optimizer's first step over the norm of the weights"
