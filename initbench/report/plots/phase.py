"""The phase diagram as a picture: the regions, the critical line between them, depth scales, named points."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import AbstractPathEffect, withStroke

from initbench.mean_field import CRITICAL_TOLERANCE, PhaseDiagram
from initbench.mean_field.variance import HOMOGENEOUS, Floats

COLOURS = "RdBu_r"  # blue where ordered, red where chaotic, white in between
FULL_COLOUR = 1.8  # |log chi1| at the ends of the colours
SCALES = (2, 5, 10, 30)  # depth scales, in layers, that contours are drawn at
HALO: list[AbstractPathEffect] = [withStroke(linewidth=2.5, foreground="white")]
LABEL_SIZE = 8  # points
POINT: dict[str, Any] = {"color": "#2ca02c", "markeredgecolor": "white", "markersize": 7}

Place = tuple[float, float, float]  # of a label, in shares of the axes: left end, height, right end


def phase_figure(diagram: PhaseDiagram, points: Mapping[str, tuple[float, float]] | None = None) -> Figure:
    """Return the phase diagram as a picture of its own, with the named points (sigma_w, sigma_b)."""
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.add_subplot()
    draw_phase(axes, diagram, points)
    axes.set_title(f"{diagram.activation}: phases of wide networks")
    return figure


def draw_phase(axes: Axes, diagram: PhaseDiagram, points: Mapping[str, tuple[float, float]] | None = None) -> None:
    """Draw `diagram` into `axes`: darker regions where gradients change faster, contours of the depth scale in layers.

    `points` are (sigma_w, sigma_b) by name, such as a scheme's; those outside of the diagram are left out.
    """
    with np.errstate(divide="ignore"):
        log_chi = np.clip(np.log(diagram.chi1), -50, 50)  # [B,W]
    _regions(axes, diagram, log_chi)
    _depth_scales(axes, diagram, log_chi)
    _critical_line(axes, diagram)
    _names(axes, diagram, log_chi)
    _points(axes, diagram, points or {})
    axes.set_xlim(diagram.sigma_w[0], diagram.sigma_w[-1])
    axes.set_ylim(diagram.sigma_b[0], diagram.sigma_b[-1])
    axes.set_xlabel(r"$\sigma_w$")
    axes.set_ylabel(r"$\sigma_b$")
    axes.set_title(rf"{diagram.activation}: depth scale in layers, $\chi_1 = 1$ in black")


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
    shown = [level for level in levels if log_chi.min() < level < log_chi.max()]
    if not shown:
        return
    lines = axes.contour(
        diagram.sigma_w, diagram.sigma_b, log_chi, levels=shown, colors="0.35", linewidths=0.7, linestyles="solid"
    )
    for text in axes.clabel(lines, fmt={level: f"{1 / abs(level):.0f}" for level in shown}, fontsize=7):
        text.set_path_effects(HALO)


def _critical_line(axes: Axes, diagram: PhaseDiagram) -> None:
    """Draw the line chi1 = 1, with a dot where it begins; upright where chi1 does not depend on q."""
    if not diagram.line:
        return
    start = diagram.line[0]
    if diagram.activation in HOMOGENEOUS:
        axes.axvline(start.sigma_w, color="black", linewidth=2)
    else:
        axes.plot([p.sigma_w for p in diagram.line], [p.sigma_b for p in diagram.line], color="black", linewidth=2)
    axes.plot(start.sigma_w, start.sigma_b, "o", color="black", markersize=6, clip_on=False, zorder=3)


def _names(axes: Axes, diagram: PhaseDiagram, log_chi: Floats) -> None:
    """Write each phase's name into the middle of its region."""
    across, up = np.meshgrid(diagram.sigma_w, diagram.sigma_b)
    for name, region in (("ordered", log_chi < -CRITICAL_TOLERANCE), ("chaotic", log_chi > CRITICAL_TOLERANCE)):
        if region.mean() > 0.05:
            middle = float(np.median(across[region])), float(np.median(up[region]))
            axes.text(*middle, name, ha="center", va="center", fontsize=12, fontstyle="italic", path_effects=HALO)


def _points(axes: Axes, diagram: PhaseDiagram, points: Mapping[str, tuple[float, float]]) -> None:
    """Mark the points and write their names beside them, towards the middle and clear of each other."""
    taken: list[Place] = []
    for (x, y), names in _together(diagram, points).items():
        axes.plot(x, y, "D", transform=axes.transAxes, clip_on=False, zorder=4, **POINT)
        label = ", ".join(names)
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


def _together(diagram: PhaseDiagram, points: Mapping[str, tuple[float, float]]) -> dict[tuple[float, float], list[str]]:
    """Return the names at each place within the axes, in shares of them; what cannot be told apart is at one place."""
    places: dict[tuple[float, float], list[str]] = {}
    for name, (sigma_w, sigma_b) in points.items():
        x, y = _share(sigma_w, diagram.sigma_w), _share(sigma_b, diagram.sigma_b)
        if 0 <= x <= 1 and 0 <= y <= 1:
            near = [place for place in places if math.dist(place, (x, y)) < 0.015]
            places.setdefault(near[0] if near else (x, y), []).append(name)
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
