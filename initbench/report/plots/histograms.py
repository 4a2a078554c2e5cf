"""The grid of histograms: a row for each scheme, a column for each layer, on shared axes."""

from __future__ import annotations

import re
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import FigureBase

from initbench.activations import BOUNDS
from initbench.report.bars import rebinned
from initbench.report.compact import axis_end, compact
from initbench.report.plots.figure import HALO, colour, plain
from initbench.report.signal_axes import Axis, drawn_layers, layer_of, scheme_name, signal_axes
from initbench.results import Histogram, Inspection, LayerSignal, SignalReport
from initbench.spacing import evenly

MOST_LAYERS = 10
BARS = 49  # odd, so that the middle of an axis is within a bar
TITLE = 16  # characters above a column
SIDES: tuple[Literal["left", "center", "right"], ...] = ("left", "center", "right")
MOST_BEYOND = 0.2  # share of a layer's activations beyond the axis, above which it is said
_PARTS = re.compile(r"[^\s._/]*[\s._/]*")  # of a layer's label: it may break after each
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
    _name_beyond(panel, layer, low, high)
    if low < high:
        width = high / BARS - low / BARS
        panel.stairs(shares, [low + index * width for index in range(BARS + 1)], fill=True, color=shade)
        panel.set_xlim(low - width / 2, high + width / 2)
        panel.set_xticks([low, high / 2 + low / 2, high], _ticks(low, high, bounded=layer.activation in BOUNDS))
        for tick, side in zip(panel.get_xticklabels(), SIDES, strict=True):
            tick.set_horizontalalignment(side)  # so that neighbours do not touch
    panel.text(0.5, 0.98, f"std {compact(layer.std)}", ha="center", va="top", fontsize=7, transform=panel.transAxes)


def _name_beyond(panel: Axes, layer: LayerSignal, low: float, high: float) -> None:
    """Write beside an outermost bar the share of activations beyond the axis, where much of the bar stands for them."""
    if layer.histogram is None:
        return
    for share, side, x in zip(beyond(layer.histogram, low, high), ("left", "right"), (0.06, 0.94), strict=True):
        if share > MOST_BEYOND:
            panel.text(
                x, 0.8, f"{100 * share:.0f} %\nbeyond",
                ha=side, va="top", fontsize=6, color="0.25", path_effects=HALO, transform=panel.transAxes,
            )  # fmt: skip


def beyond(histogram: Histogram, low: float, high: float) -> tuple[float, float]:
    """Return the shares of a histogram's counts below `low` and above `high`, each bin's spread evenly over it."""
    counts, total = histogram.counts, sum(histogram.counts) or 1
    if histogram.low == histogram.high:
        return float(histogram.low < low), float(histogram.low > high)
    step = histogram.high / len(counts) - histogram.low / len(counts)
    below = above = 0.0
    for index, count in enumerate(counts):
        start, end = histogram.low + index * step, histogram.low + (index + 1) * step
        below += count * _part(start, min(end, low), step)
        above += count * _part(max(start, high), end, step)
    return below / total, above / total


def _part(start: float, end: float, step: float) -> float:
    """Return the part of a bin of width `step` that goes from `start` to `end`, 0 where that is no way."""
    return min((end - start) / step, 1.0) if end > start and step > 0 else 0.0


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
    """Return the layer's name with its activation, broken where names may be, so that it fits above a column."""
    layers = (layer_of(report, name) for report in inspection.reports)
    label = next(layer.label for layer in layers if layer)
    return "\n".join(plain(line, TITLE) for line in _broken(label))


def _broken(label: str) -> list[str]:
    """Return the lines of a layer's label: no longer than TITLE, but for parts that have no place to break at."""
    lines = [""]
    for part in _PARTS.findall(label):
        fits = len((lines[-1] + part).rstrip()) <= TITLE
        lines = [*lines[:-1], lines[-1] + part] if fits else [*lines, part]
    return [line.strip() for line in lines if line.strip()]
