"""The phase diagram as a picture: the regions, the critical line between them, depth scales, named points."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from initbench.mean_field import CRITICAL_TOLERANCE, PhaseDiagram, critical_point, phase_diagram
from initbench.mean_field.variance import HOMOGENEOUS, Floats
from initbench.report.plots.figure import HALO, plain

COLOURS = "RdBu_r"  # blue where ordered, red where chaotic, white in between
FULL_COLOUR = 1.8  # |log chi1| at the ends of the colours
SCALES = (2, 5, 10, 30)  # depth scales, in layers, that contours are drawn at
LABEL_SIZE = 8  # points
POINT: dict[str, Any] = {"color": "#2ca02c", "markeredgecolor": "white", "markersize": 7}
FINE = 161, 65  # places of a diagram in which chi1 jumps
ALONG_JUMP = 401, 13  # places of sigma_w and of sigma_b from which the jump is read

Marked = tuple[float, float, str]  # of a point, in shares of the axes, and its marker
Place = tuple[float, float, float]  # of a label, in shares of the axes: left end, height, right end


def phase_figure(diagram: PhaseDiagram, points: Mapping[str, tuple[float, float]] | None = None) -> Figure:
    """Return the phase diagram as a picture of its own, with the named points (sigma_w, sigma_b)."""
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.add_subplot()
    draw_phase(axes, diagram, points)
    axes.set_title(f"{diagram.activation}: phases of wide networks")
    figure.legend(loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return figure


def draw_phase(axes: Axes, diagram: PhaseDiagram, points: Mapping[str, tuple[float, float]] | None = None) -> None:
    """Draw `diagram` into `axes`: darker regions where gradients change faster, contours of the depth scale in layers.

    `points` are (sigma_w, sigma_b) by name, such as a scheme's; those outside of the diagram are arrows at its edge.
    What the lines mean is in their labels: the caller adds the legend where there is room. Where the critical line
    begins above the lowest sigma_b the diagram is drawn from a finer one: below the line's start chi1 jumps.
    """
    jump = _jump(diagram)
    diagram = _finer(diagram) if jump is not None else diagram
    with np.errstate(divide="ignore"):
        log_chi = np.clip(np.log(diagram.chi1), -50, 50)  # [B,W]
    _regions(axes, diagram, log_chi)
    _depth_scales(axes, diagram, log_chi if jump is None else _without_jump(diagram, log_chi, *jump))
    if jump is not None:
        axes.plot(*jump, color="black", linewidth=1, linestyle="--", label=r"$\chi_1$ jumps past 1")
    _critical_line(axes, diagram)
    _names(axes, diagram, log_chi)
    _points(axes, diagram, points or {})
    axes.set_xlim(diagram.sigma_w[0], diagram.sigma_w[-1])
    axes.set_ylim(diagram.sigma_b[0], diagram.sigma_b[-1])
    axes.set_xlabel(r"$\sigma_w$")
    axes.set_ylabel(r"$\sigma_b$")


def _finer(diagram: PhaseDiagram) -> PhaseDiagram:
    return phase_diagram(
        diagram.activation, sigma_w=_ends(diagram.sigma_w), sigma_b=_ends(diagram.sigma_b), points=FINE
    )


def _ends(axis: Floats) -> tuple[float, float]:
    return float(axis[0]), float(axis[-1])


def _jump(diagram: PhaseDiagram) -> tuple[Floats, Floats] | None:
    """Return (sigma_w, sigma_b) of where chi1 jumps past 1, up to the start of the critical line; None where nowhere.

    gelu and silu have an unstable fixed point there: beyond it the variance goes to another one at once.
    """
    start = critical_point(diagram.activation)
    low, high = _ends(diagram.sigma_b)
    if start.sigma_b <= low or diagram.activation in HOMOGENEOUS:
        return None
    ends = low, min(start.sigma_b, high)
    finest = phase_diagram(diagram.activation, sigma_w=_ends(diagram.sigma_w), sigma_b=ends, points=ALONG_JUMP)
    chaotic = finest.chi1 > 1
    first = chaotic.argmax(1)
    found = chaotic.any(1) & (first > 0)
    if not found.any():
        return None
    across = (finest.sigma_w[first] + finest.sigma_w[np.maximum(first - 1, 0)]) / 2
    return across[found], finest.sigma_b[found]


def _without_jump(diagram: PhaseDiagram, log_chi: Floats, across: Floats, up: Floats) -> Floats:
    """Return `log_chi` with NaN on both sides of the jump, so that no contour runs along it."""
    near = np.abs(diagram.sigma_w - np.interp(diagram.sigma_b, up, across)[:, None])  # [B,W]
    below = diagram.sigma_b[:, None] <= up[-1]
    return np.where((near <= float(diagram.sigma_w[1] - diagram.sigma_w[0])) & below, math.nan, log_chi)


def _regions(axes: Axes, diagram: PhaseDiagram, log_chi: Floats) -> None:
    """Fill the axes with colours, a pixel for each place of the diagram, blended."""
    left, right = _pixel_edges(diagram.sigma_w)
    bottom, top = _pixel_edges(diagram.sigma_b)
    axes.imshow(
        log_chi,
        extent=(left, right, bottom, top),
        origin="lower",
        aspect="auto",
        interpolation="bilinear",
        cmap=COLOURS,
        vmin=-FULL_COLOUR,
        vmax=FULL_COLOUR,
    )


def _pixel_edges(centres: Floats) -> tuple[float, float]:
    half = float(centres[1] - centres[0]) / 2
    return float(centres[0]) - half, float(centres[-1]) + half


def _depth_scales(axes: Axes, diagram: PhaseDiagram, log_chi: Floats) -> None:
    """Draw contours at SCALES, each labelled with its number of layers."""
    levels = sorted(sign / scale for sign in (-1, 1) for scale in SCALES)
    shown = [level for level in levels if np.nanmin(log_chi) < level < np.nanmax(log_chi)]
    if not shown:
        return
    lines = axes.contour(
        diagram.sigma_w, diagram.sigma_b, log_chi, levels=shown, colors="0.35", linewidths=0.7, linestyles="solid"
    )
    axes.plot([], [], color="0.35", linewidth=0.7, label="depth scale, in layers")
    for text in axes.clabel(lines, fmt={level: f"{1 / abs(level):.0f}" for level in shown}, fontsize=7):
        text.set_path_effects(HALO)


def _critical_line(axes: Axes, diagram: PhaseDiagram) -> None:
    """Draw the line chi1 = 1, with a dot where it begins; upright where chi1 does not depend on q."""
    if not diagram.line:
        return
    start = diagram.line[0]
    if diagram.activation in HOMOGENEOUS:
        axes.axvline(start.sigma_w, color="black", linewidth=2, label="critical")
    else:
        line = [p.sigma_w for p in diagram.line], [p.sigma_b for p in diagram.line]
        axes.plot(*line, color="black", linewidth=2, label="critical")
    dot = axes.plot(start.sigma_w, start.sigma_b, "o", color="black", markersize=6, clip_on=False, zorder=3)[0]
    dot.set_label("where q stays, too" if diagram.activation in HOMOGENEOUS else "its start")


def _names(axes: Axes, diagram: PhaseDiagram, log_chi: Floats) -> None:
    """Write each phase's name into the middle of its region."""
    across, up = np.meshgrid(diagram.sigma_w, diagram.sigma_b)
    for name, region in (("ordered", log_chi < -CRITICAL_TOLERANCE), ("chaotic", log_chi > CRITICAL_TOLERANCE)):
        if region.mean() > 0.05:
            middle = float(np.median(across[region])), float(np.median(up[region]))
            axes.text(*middle, name, ha="center", va="center", fontsize=12, fontstyle="italic", path_effects=HALO)


def _points(axes: Axes, diagram: PhaseDiagram, points: Mapping[str, tuple[float, float]]) -> None:
    """Mark the points, outside ones by an arrow, and write their names beside them, clear of each other."""
    taken: list[Place] = []
    for (x, y, mark), names in _together(diagram, points).items():
        axes.plot(x, y, mark, transform=axes.transAxes, clip_on=False, zorder=4, **POINT)
        label = plain(", ".join(names))
        left, level, right = place = _free_place(axes, label, x, y, taken)
        taken.append(place)
        axes.annotate(
            label,
            (x, y),
            xycoords="axes fraction",
            xytext=(left if x < 0.5 else right, level),
            textcoords="axes fraction",
            ha="left" if x < 0.5 else "right",
            va="center",
            fontsize=LABEL_SIZE,
            path_effects=HALO,
            arrowprops={"arrowstyle": "-", "color": "0.3", "linewidth": 0.6, "shrinkB": 4},
            zorder=5,
        )


def _together(diagram: PhaseDiagram, points: Mapping[str, tuple[float, float]]) -> dict[Marked, list[str]]:
    """Return the names at each place of the axes, in shares of them; what cannot be told apart is at one place.

    A point outside is an arrow at the edge that it lies beyond.
    """
    places: dict[Marked, list[str]] = {}
    for name, (sigma_w, sigma_b) in points.items():
        x, y = _share(sigma_w, diagram.sigma_w), _share(sigma_b, diagram.sigma_b)
        mark = ">" if x > 1 else "<" if x < 0 else "^" if y > 1 else "v" if y < 0 else "D"
        here = min(max(x, 0), 1), min(max(y, 0), 1)
        near = [place for place in places if place[2] == mark and math.dist(place[:2], here) < 0.015]
        places.setdefault(near[0] if near else (*here, mark), []).append(name)
    return places


def _share(value: float, axis: Floats) -> float:
    return float((value - axis[0]) / (axis[-1] - axis[0]))


def _free_place(axes: Axes, label: str, x: float, y: float, taken: Sequence[Place]) -> Place:
    """Return where `label` goes for a point at (x, y): towards the middle, until no other label is there."""
    wide, high = (LABEL_SIZE / 72 * size for size in (0.58 * len(label), 1.6))  # inches
    figure, frame = axes.get_figure(root=True), axes.get_window_extent()
    dpi = figure.dpi if figure else 72.0
    width, height = wide * dpi / frame.width, high * dpi / frame.height
    left = min(x + 0.02, 1 - width) if x < 0.5 else max(x - 0.02 - width, 0)
    step = height if y < 0.5 else -height
    level = min(max(y + step / 2, height), 1 - height)
    while any(left < end and start < left + width and abs(level - other) < 0.9 * height for start, other, end in taken):
        level += step
    return left, level, left + width
