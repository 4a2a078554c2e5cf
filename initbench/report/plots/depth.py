"""The signal against depth: spread forward, gradient back, one line a scheme, theory dotted beside the measurement."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes

from initbench.report.plots.figure import colour, fit_axis, marker, numbers, plain, quiet
from initbench.results import Inspection, LayerSignal
from initbench.spacing import evenly

MOST_TICKS = 10
MOST_CHARACTERS = 8  # of a layer's name under an axis
MARKED = 20  # layers: with more of them lines have no markers

Number = Callable[[LayerSignal], float | None]


def draw_std(axes: Axes, inspection: Inspection) -> None:
    """Draw the std of the activations (solid) and their std between inputs (dashed) against depth."""
    drawn = [
        *_draw_lines(axes, inspection, lambda layer: layer.std, "-"),
        *_draw_lines(axes, inspection, lambda layer: layer.sample_std, "--"),
    ]
    _finish(axes, inspection, drawn, "spread of the activations", "solid: std, dashed: std between inputs")


def draw_pre_activations(axes: Axes, inspection: Inspection) -> None:
    """Draw the root mean square of the pre-activations (solid), and what theory predicts (dotted), against depth."""
    measured = _draw_lines(axes, inspection, lambda layer: layer.pre_rms, "-")
    predicted = _draw_lines(axes, inspection, lambda layer: layer.theory.pre_rms if layer.theory else None, ":")
    _finish(axes, inspection, measured + predicted, "rms of the pre-activations", _key(predicted))


def draw_gradient(axes: Axes, inspection: Inspection) -> None:
    """Draw the root mean square of the gradient at the pre-activations (solid), and theory (dotted), against depth."""
    measured = _draw_lines(axes, inspection, lambda layer: layer.delta_rms, "-")
    predicted = _draw_lines(axes, inspection, lambda layer: layer.theory.delta_rms if layer.theory else None, ":")
    _finish(axes, inspection, measured + predicted, "rms of the gradient", _key(predicted))


def _key(predicted: Sequence[float | None]) -> str:
    return "solid: measured, dotted: theory" if any(value is not None for value in predicted) else "measured"


def _draw_lines(axes: Axes, inspection: Inspection, number: Number, style: str) -> list[float | None]:
    """Draw a line for each scheme; return all values. Dotted lines, of theory, are thick and pale, under the others."""
    drawn: list[float | None] = []
    for index, report in enumerate(inspection.reports):
        values = [number(layer) for layer in report.layers]
        marked = marker(index) if len(values) <= MARKED and style == "-" else ""
        width, alpha, zorder = (3.0, 0.55, 1.5) if style == ":" else (1.4, 1.0, 2.0)
        axes.plot(
            range(1, len(values) + 1), numbers(values),
            linestyle=style, color=colour(index), marker=marked, markersize=3.5,
            linewidth=width, alpha=alpha, zorder=zorder,
        )  # fmt: skip
        drawn += values
    return drawn


def _finish(axes: Axes, inspection: Inspection, drawn: Sequence[float | None], title: str, key: str) -> None:
    """Give the axes a title, what the styles of lines mean, a scale, the layers' names; the colours are the grid's."""
    quiet(axes)
    axes.set_title(title, fontsize=10, pad=16)
    axes.text(0.5, 1.02, key, ha="center", va="bottom", fontsize=7.5, color="0.3", transform=axes.transAxes)
    fit_axis(axes, drawn)
    _name_layers(axes, max((report.layers for report in inspection.reports), key=len, default=()))


def _name_layers(axes: Axes, layers: Sequence[LayerSignal]) -> None:
    """Write under the axis the layers' names; of a recurrent layer's steps their numbers; else the layers' numbers."""
    ticks = evenly(len(layers), MOST_TICKS)
    steps = any(row.step is not None for row in layers)
    names = [layers[tick].name if layers[tick].step is None else str(layers[tick].step) for tick in ticks]
    if all(len(name) <= MOST_CHARACTERS for name in names):
        axes.set_xticks([tick + 1 for tick in ticks], [plain(name) for name in names])
        axes.set_xlabel("step" if steps else "", fontsize=8)
    else:
        axes.set_xticks([tick + 1 for tick in ticks])
        axes.set_xlabel("layer or step" if steps else "layer", fontsize=8)
    axes.set_xlim(0.8, max(len(layers), 1) + 0.2)
