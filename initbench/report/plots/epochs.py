"""How the signals changed in training: a panel a statistic, a line a layer, against the epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from initbench.report.plots.figure import fit_axis, numbers, plain, quiet, wrapped
from initbench.report.training_signals import measured
from initbench.results import SignalRow
from initbench.spacing import evenly

SHADES = "viridis"
LIGHTEST = 0.92  # of the colours, which end in a yellow that is hard to see
MOST_NAMED = 10  # lines in a legend
PANEL = (4.2, 3.0)  # inches


@dataclass(frozen=True)
class Panel:
    """A statistic over the epochs: for each layer, or weight, a value an epoch; `shares` are drawn from 0 to 1.

    The panels with the same `of` have the same lines, in the same colours: one legend is enough for them.
    """

    title: str
    of: str
    lines: Mapping[str, list[float | None]]
    shares: bool = False

    @property
    def empty(self) -> bool:
        """Return whether there is no value at all."""
        return all(value is None for values in self.lines.values() for value in values)


def epochs_figure(rows: Sequence[SignalRow], title: str) -> Figure:
    """Return a figure of std, std between inputs, saturated and dead shares (if any), gradient norm by epoch.

    Epochs at which nothing could be measured are left out.
    """
    rows = measured(rows)
    panels = [panel for panel in _panels(rows) if not (panel.shares and panel.empty)]
    figure = Figure(figsize=(PANEL[0] * len(panels), PANEL[1] + 0.4), layout="constrained")
    figure.suptitle(wrapped(title, int(12 * PANEL[0] * len(panels))), fontsize=10)
    epochs = [row.epoch for row in rows]
    last = {panel.of: index for index, panel in enumerate(panels)}
    for index, axes in enumerate(figure.subplots(1, len(panels), squeeze=False)[0]):
        _draw(axes, panels[index], epochs)
        if panels[index].lines and last[panels[index].of] == index:
            beside = axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=7, frameon=False)
            beside.set_title(panels[index].of, prop={"size": 8})
    return figure


def _panels(rows: Sequence[SignalRow]) -> list[Panel]:
    layers = {layer.name: None for row in rows for layer in row.layers}
    weights = {weight.name: None for row in rows for weight in row.weights}

    def of_layers(title: str, attribute: str, *, shares: bool = False) -> Panel:
        found = [{layer.name: getattr(layer, attribute) for layer in row.layers} for row in rows]
        return Panel(title, "layers", {name: [values.get(name) for values in found] for name in layers}, shares)

    norms = [{weight.name: weight.grad_norm for weight in row.weights} for row in rows]
    return [
        of_layers("std of the activations", "std"),
        of_layers("std between inputs", "sample_std"),
        of_layers("share of saturated activations", "saturated", shares=True),
        of_layers("share of dead units", "dead", shares=True),
        Panel("norm of the gradient", "weights", {name: [values.get(name) for values in norms] for name in weights}),
    ]


def _draw(axes: Axes, panel: Panel, epochs: Sequence[int]) -> None:
    """Draw a line for each layer, darkest for the first; the legend names at most MOST_NAMED of them."""
    quiet(axes)
    names = list(panel.lines)
    named = evenly(len(names), MOST_NAMED)
    shades = mpl.colormaps[SHADES]
    for index, (name, values) in enumerate(panel.lines.items()):
        shade = shades(LIGHTEST * index / max(len(names) - 1, 1))
        label = plain(name, 22) if index in named else "_"
        axes.plot(epochs, numbers(values), color=shade, linewidth=1.4, marker="o", markersize=3, label=label)
    axes.set_title(panel.title, fontsize=10)
    axes.set_xlabel("epoch", fontsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(epochs) == 1:
        axes.set_xticks(epochs)
    if panel.shares:
        axes.set_ylim(-0.02, 1.02)
    else:
        fit_axis(axes, [value for values in panel.lines.values() for value in values])
