"""The grid of histograms: a row for each scheme, a column for each layer, on shared axes."""

from __future__ import annotations

from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import FigureBase

from initbench.activations import BOUNDS
from initbench.report.bars import rebinned
from initbench.report.compact import axis_end, compact
from initbench.report.plots.figure import colour, plain
from initbench.report.signal_axes import Axis, drawn_layers, evenly, layer_of, scheme_name, signal_axes
from initbench.results import Inspection, LayerSignal, SignalReport

MOST_LAYERS = 10
BARS = 48
TITLE = 16  # characters above a column
SIDES: tuple[Literal["left", "center", "right"], ...] = ("left", "center", "right")
HEADROOM = 1.3  # times the highest bar: the annotation stands above it


def drawn_names(inspection: Inspection) -> list[str]:
    """Return the names of the layers that have a column: at most MOST_LAYERS, evenly spaced."""
    names = drawn_layers(inspection, MOST_LAYERS)
    return [names[index] for index in evenly(len(names), MOST_LAYERS)]


def draw_histograms(figure: FigureBase, inspection: Inspection) -> None:
    """Draw the grid into `figure`, or a part of one: shares of the activations, with the std of each layer.

    A row has one y axis, and layers with the same activation have one x axis. What lies beyond it is in the outermost
    bars.
    """
    names = drawn_names(inspection)
    if not names:
        return
    axes = signal_axes(inspection, names)
    panels = figure.subplots(len(inspection.reports), len(names), squeeze=False)
    for row, report in enumerate(inspection.reports):
        layers = [layer_of(report, name) for name in names]
        highest = max((max(_shares(layer, axes)) for layer in layers), default=0) or 1
        for panel, layer in zip(panels[row], layers, strict=True):
            _draw_cell(panel, layer, axes, colour(row))
            panel.set_ylim(0, HEADROOM * highest)
            if row < len(inspection.reports) - 1:
                panel.tick_params(labelbottom=False)
        _name_scheme(panels[row][0], report, row)
    for panel, name in zip(panels[0], names, strict=True):
        panel.set_title(_title(inspection, name), fontsize=9)


def _draw_cell(panel: Axes, layer: LayerSignal | None, axes: dict[str | None, Axis], shade: str) -> None:
    panel.set_yticks([])
    panel.spines[["top", "right", "left"]].set_visible(False)
    panel.tick_params(labelsize=7)
    shares = _shares(layer, axes)
    if layer is None or not any(shares):
        panel.set_xticks([])
        panel.spines["bottom"].set_visible(False)
        said = "no finite values" if layer else "not there"
        panel.text(0.5, 0.5, said, ha="center", va="center", fontsize=7, color="0.5", transform=panel.transAxes)
        return
    low, high = axes[layer.activation]
    if low < high:
        width = high / BARS - low / BARS
        panel.stairs(shares, [low + index * width for index in range(BARS + 1)], fill=True, color=shade)
        panel.set_xlim(low - width / 2, high + width / 2)
        panel.set_xticks([low, high / 2 + low / 2, high], _ticks(low, high, bounded=layer.activation in BOUNDS))
        for tick, side in zip(panel.get_xticklabels(), SIDES, strict=True):
            tick.set_horizontalalignment(side)  # so that neighbours do not touch
    panel.text(0.5, 0.98, f"std {compact(layer.std)}", ha="center", va="top", fontsize=7, transform=panel.transAxes)


def _ticks(low: float, high: float, *, bounded: bool) -> list[str]:
    """Return the labels of both ends and the middle; ≤ and ≥ where the outermost bars hold what lies beyond."""
    left, middle, right = map(axis_end, (low, high / 2 + low / 2, high))
    if bounded:
        return [left, middle, right]
    return [f"≤{left}" if low else left, middle, f"≥{right}" if high else right]


def _shares(layer: LayerSignal | None, axes: dict[str | None, Axis]) -> list[float]:
    """Return the share of the layer's activations in each bar; zeros where there is no histogram."""
    if layer is None or layer.histogram is None:
        return [0.0] * BARS
    counts = rebinned(layer.histogram, *axes[layer.activation], BARS)
    total = sum(counts) or 1.0
    return [count / total for count in counts]


def _name_scheme(panel: Axes, report: SignalReport, row: int) -> None:
    """Write the scheme's name to the left of its row, a part with its parameters on each line, in its colour."""
    head, *parameters = scheme_name(report).split(":")
    lines = [head, *parameters[:4], *(["…"] if len(parameters) > 4 else [])]
    panel.set_ylabel(
        "\n".join(plain(line, 24) for line in lines),
        rotation=0, ha="right", va="center", fontsize=9, color=colour(row), fontweight="bold",
    )  # fmt: skip


def _title(inspection: Inspection, name: str) -> str:
    """Return the layer's name with its activation, where both fit above a column."""
    layers = (layer_of(report, name) for report in inspection.reports)
    label = next(layer.label for layer in layers if layer)
    return plain(label if len(label) <= TITLE else name, TITLE)
