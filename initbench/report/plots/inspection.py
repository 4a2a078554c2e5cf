"""An inspection as one figure: the histograms on top; below, spread, pre-activations, gradient, the phase diagram."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from initbench.report.plots.depth import draw_gradient, draw_pre_activations, draw_std
from initbench.report.plots.figure import colour, marker, wrapped
from initbench.report.plots.histograms import draw_histograms, drawn_names
from initbench.report.signals_view import caption
from initbench.results import Inspection

CELL = (1.35, 1.05)  # inches of one histogram
PANEL = (3.3, 2.9)  # inches of one panel below the grid
NAMES = 1.8  # inches of the schemes' names
MOST_HIGH = 14.0  # inches of the grid: with more schemes its rows get lower


def inspection_figure(inspection: Inspection) -> Figure:
    """Return the figure; the phase diagram is left out where theory does not apply, or is not of one activation."""
    activation = _activation(inspection)
    panels = 3 if activation is None else 4
    grid_width = NAMES + CELL[0] * len(drawn_names(inspection))
    grid_height = min(CELL[1] * len(inspection.reports), MOST_HIGH) + 0.4
    width, height = max(grid_width, PANEL[0] * panels), grid_height + PANEL[1] + 0.4
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(wrapped(caption(inspection), int(13 * width)), fontsize=9)
    top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=[grid_height, PANEL[1]])[:, 0]
    draw_histograms(top, inspection)
    below = bottom.subplots(1, panels)
    draw_std(below[0], inspection)
    draw_pre_activations(below[1], inspection)
    draw_gradient(below[2], inspection)
    if activation is not None:
        _draw_phase(below[3], inspection, activation)
    return figure


def _activation(inspection: Inspection) -> str | None:
    """Return the activation that the schemes' theories are about, None where there is not exactly one."""
    found = {report.theory.activation for report in inspection.reports if report.theory}
    return found.pop() if len(found) == 1 else None


def _draw_phase(axes: Axes, inspection: Inspection, activation: str) -> None:
    """Draw the phase diagram, from sigma_w = 0 where a scheme needs that, and each scheme in it, in its colour.

    A scheme beyond the right or the upper edge is an arrow there.
    """
    from initbench.mean_field import phase_diagram
    from initbench.report.plots.phase import draw_phase

    first, last = phase_diagram(activation, points=(2, 2)).sigma_w
    if any(report.theory and report.theory.sigma_w < first for report in inspection.reports):
        first = 0
    draw_phase(axes, phase_diagram(activation, sigma_w=(float(first), float(last))))
    axes.set_title(f"phases of {activation}", fontsize=10, pad=16)
    axes.tick_params(labelsize=8)
    axes.legend(loc="upper left", fontsize=6, framealpha=0.85, handlelength=1.4, labelspacing=0.3)
    right, top = axes.get_xlim()[1], axes.get_ylim()[1]
    for index, report in enumerate(inspection.reports):
        if report.theory is None:
            continue
        sigma_w, sigma_b = report.theory.sigma_w, report.theory.sigma_b
        outside = sigma_w > right or sigma_b > top
        axes.plot(
            min(sigma_w, right), min(sigma_b, top),
            marker=">" if sigma_w > right else "^" if outside else marker(index), markersize=8, linestyle="",
            color=colour(index), markeredgecolor="white", clip_on=False, zorder=6,
        )  # fmt: skip
