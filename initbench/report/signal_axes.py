"""What the pictures of an inspection share, in the terminal and on paper: rows, names, the axes of histograms."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import accumulate

from initbench.activations import BOUNDS
from initbench.results import Histogram, Inspection, LayerSignal, SignalReport
from initbench.spacing import evenly

TAIL = 0.005  # share of a histogram that a shared axis may leave out at each end
ENDS = 3  # layers at each end that are always shown

Axis = tuple[float, float]


def scheme_name(report: SignalReport) -> str:
    """Return the name of the report's scheme, or that there was none."""
    return report.scheme or "weights as they are"


def drawn_layers(inspection: Inspection, most: int) -> list[str]:
    """Return the names of the layers whose histograms are shown: all, if they are at most `most`.

    Else those with an activation, and the last one; where no layer has an activation all of them. The first report
    that has layers gives the order.
    """
    rows = next((report.layers for report in inspection.reports if report.layers), ())
    if len(rows) <= most or not any(row.activation for row in rows):
        return [row.name for row in rows]
    return [row.name for index, row in enumerate(rows) if row.activation or index == len(rows) - 1]


def layer_of(report: SignalReport, name: str) -> LayerSignal | None:
    """Return the row of the layer `name`, None where the report has none."""
    return next((row for row in report.layers if row.name == name), None)


def both_ends(count: int, most: int) -> list[int]:
    """Return at most `most` of the indices below `count`: the first three, the last three, evenly spaced ones."""
    if count <= most:
        return list(range(count))
    between = evenly(count - 2 * ENDS, most - 2 * ENDS)
    return [*range(ENDS), *(ENDS + index for index in between), *range(count - ENDS, count)]


def signal_axes(inspection: Inspection, names: Sequence[str]) -> dict[str | None, Axis]:
    """Return the axis that the histograms of all layers with the same activation share, by activation.

    A bounded activation has its bounds. Else the axis reaches far enough for three quarters of the histograms, so that
    a scheme that explodes leaves the others readable. 0 is on it, and in its middle where no activation follows.
    """
    ends: dict[str | None, list[Axis]] = {}
    for row in _rows(inspection, names):
        found = ends.setdefault(row.activation, [])
        if row.histogram is not None:
            found.append(_robust_range(row.histogram))
    return {
        activation: BOUNDS.get((activation or "").lower()) or _shared(found, centred=activation is None)
        for activation, found in ends.items()
        if found
    }


def _rows(inspection: Inspection, names: Sequence[str]) -> Iterator[LayerSignal]:
    wanted = set(names)
    return (row for report in inspection.reports for row in report.layers if row.name in wanted)


def _shared(ranges: Sequence[Axis], *, centred: bool) -> Axis:
    if centred:
        reach = _rounded(_most([max(abs(low), abs(high)) for low, high in ranges]))
        return -reach, reach
    low, high = -_most([-low for low, _ in ranges]), _most([high for _, high in ranges])
    return min(_rounded(low), 0), max(_rounded(high), 0)


def _most(values: Sequence[float]) -> float:
    """Return the smallest of the values that three quarters of them do not exceed."""
    return sorted(values)[math.ceil(0.75 * len(values)) - 1]


def _rounded(value: float) -> float:
    """Return two significant digits of a finite number; the largest of float64 stay finite."""
    rounded = float(f"{value:.1e}")
    return rounded if math.isfinite(rounded) else value


def _robust_range(histogram: Histogram) -> Axis:
    """Return where the histogram begins and ends, but for TAIL of its counts at each end."""
    counts, total = histogram.counts, sum(histogram.counts)
    step = histogram.high / len(counts) - histogram.low / len(counts)
    up = list(accumulate(counts))
    first = next((i for i, count in enumerate(up) if count > TAIL * total), 0)
    last = next((i for i, count in enumerate(up) if count >= (1 - TAIL) * total), len(counts) - 1)
    return histogram.low + first * step, histogram.low + (last + 1) * step
