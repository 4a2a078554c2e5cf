"""How the cost of `initbench compare` grows: wall seconds of the whole command against runs, and against epochs."""

from __future__ import annotations

import dataclasses
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from rivals.own_compare import SCHEMES, run_command
from rivals.recipe import Recipe

from initbench.report.plots.figure import colour, marker, quiet

JOBS = (1, 2)


@dataclass(frozen=True)
class Panel:
    """One panel of the picture."""

    draw: Callable[[Axes], None]


@dataclass(frozen=True)
class Grid:
    """The comparisons that are made: some numbers of runs with the same epochs, some numbers of epochs with the same
    runs. Runs are even: two schemes on so many seeds.
    """

    runs: tuple[int, ...]
    epochs_of_runs: int
    epochs: tuple[int, ...]
    runs_of_epochs: int

    def points(self) -> list[Point]:
        """Return every comparison once."""
        grown = [Point("runs", runs, self.epochs_of_runs, jobs) for runs in self.runs for jobs in JOBS]
        longer = [Point("epochs", self.runs_of_epochs, epochs, jobs) for epochs in self.epochs for jobs in JOBS]
        return grown + longer


@dataclass(frozen=True)
class Point:
    """One comparison; `axis` is what it is a point of."""

    axis: str
    runs: int
    epochs: int
    jobs: int

    @property
    def x(self) -> int:
        """Return what grows."""
        return self.runs if self.axis == "runs" else self.epochs


FULL = Grid(runs=(2, 4, 8, 16), epochs_of_runs=2, epochs=(1, 2, 4, 8), runs_of_epochs=4)
QUICK = Grid(runs=(2, 4, 6), epochs_of_runs=1, epochs=(1, 2, 3), runs_of_epochs=2)


@dataclass(frozen=True)
class Line:
    """The least-squares line through median seconds; `worst` is the largest deviation from it, as a share of it."""

    slope: float
    intercept: float
    r_squared: float
    worst: float

    def at(self, x: float) -> float:
        """Return the line's seconds at `x`."""
        return self.intercept + self.slope * x


Series = Mapping[tuple[str, int], Mapping[int, Sequence[float]]]  # (axis, jobs) -> x -> seconds, a value a round


def measure(recipe: Recipe, rounds: int, grid: Grid) -> Series:
    """Give every command of the grid once a round."""
    found: dict[tuple[str, int], dict[int, list[float]]] = {}
    for number in range(rounds):
        for point in grid.points():
            began = time.monotonic()
            given = dataclasses.replace(recipe, epochs=point.epochs, seeds=point.runs // len(SCHEMES))
            run_command(given, point.jobs)
            seconds = time.monotonic() - began
            found.setdefault((point.axis, point.jobs), {}).setdefault(point.x, []).append(seconds)
            print(f"round {number + 1}/{rounds}: {point}: {seconds:.1f} s", file=sys.stderr, flush=True)
    return found


def fit(seconds: Mapping[int, Sequence[float]]) -> Line:
    """Return the least-squares line through the medians."""
    x = np.array(list(seconds), float)
    y = np.array([statistics.median(values) for values in seconds.values()])
    slope, intercept = np.polyfit(x, y, 1)
    expected = intercept + slope * x
    r_squared = 1 - ((y - expected) ** 2).sum() / ((y - y.mean()) ** 2).sum()
    return Line(float(slope), float(intercept), float(r_squared), float(np.abs(y / expected - 1).max()))


def lines(series: Series) -> list[str]:
    """Return the seconds of every command and the lines through them."""
    shown = ["wall seconds of the whole command `initbench compare`, medians"]
    for (axis, jobs), seconds in series.items():
        points = ", ".join(f"{x}: {statistics.median(values):.1f}" for x, values in seconds.items())
        line = fit(seconds)
        shown.append(
            f"{axis}, -j {jobs}: {points}; {line.intercept:.1f} + {line.slope:.2f} s for each; R² {line.r_squared:.5f},"
            f" farthest from the line {100 * line.worst:.1f} %"
        )
    return shown


def panels(series: Series) -> list[Panel]:
    """Return a panel for each axis."""
    axes_names = dict.fromkeys(axis for axis, _ in series)
    return [Panel(_drawer(axis, series)) for axis in axes_names]


def _drawer(axis: str, series: Series) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        quiet(axes)
        for index, jobs in enumerate(JOBS):
            seconds = series[axis, jobs]
            line = fit(seconds)
            x = list(seconds)
            label = f"-j {jobs}: {line.intercept:.1f} + {line.slope:.2f} s, R² {line.r_squared:.4f}"
            axes.plot([0, max(x)], [line.at(0), line.at(max(x))], color=colour(index), linewidth=1.2, label=label)
            medians = [statistics.median(values) for values in seconds.values()]
            axes.plot(x, medians, marker(index), color=colour(index), markersize=5)
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title(f"the whole command, by {axis}", fontsize=10)
        axes.set_xlabel(axis, fontsize=8)
        axes.set_ylabel("s", fontsize=8)
        axes.legend(fontsize=7, frameon=False)

    return draw
