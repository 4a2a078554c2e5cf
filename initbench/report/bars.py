"""A histogram in one line of block characters."""

from __future__ import annotations

import math
from itertools import pairwise

from initbench.results import Histogram

BLOCKS = "▁▂▃▄▅▆▇█"
EMPTY = " "
LEAST = 1e-9  # share of all counts below which a cell is empty: rounding, not a count
FAR = 1e300  # cells away from the axis: stands for what overflows


def bar_row(histogram: Histogram, low: float, high: float, width: int) -> str:
    """Return `width` characters, as high as the counts between `low` and `high` are, relative to the fullest cell.

    What lies outside of [low, high] is in the first and the last cell. A cell with little in it shows the lowest block.
    """
    shares = rebinned(histogram, low, high, width)
    fullest, total = max(shares, default=0.0), sum(shares)
    if not total:
        return EMPTY * width
    return "".join(
        BLOCKS[max(math.ceil(share / fullest * len(BLOCKS)), 1) - 1] if share > LEAST * total else EMPTY
        for share in shares
    )


def rebinned(histogram: Histogram, low: float, high: float, cells: int) -> list[float]:
    """Return the counts in `cells` equal cells of [low, high]; their sum is that of the histogram's counts.

    Each bin's count is spread evenly over the bin and goes to the cells by overlap, outside of the axis to the first
    and the last one. Where all values are the same (or low = high) they are in one cell.
    """
    found = [0.0] * cells
    if cells < 1:
        return found
    left, right = _position(histogram.low, low, high, cells), _position(histogram.high, low, high, cells)
    bins = len(histogram.counts)
    edges = [left + (right - left) * (index / bins) for index in range(bins)] + [right]
    for (start, end), count in zip(pairwise(edges), histogram.counts, strict=True):
        if count:
            _spread(found, start, end, count)
    return found


def _spread(found: list[float], start: float, end: float, count: int) -> None:
    """Add `count`, spread evenly from `start` to `end` (in cells from the left end of the axis), to the cells."""
    first, last = _cell(start, len(found)), _cell(end, len(found))
    if first == last:
        found[first] += count
        return
    for index in range(first, last + 1):
        begins = start if index == first else index
        ends = end if index == last else index + 1
        found[index] += count * ((ends - begins) / (end - start))


def _cell(position: float, cells: int) -> int:
    """Return the cell that holds a position, the outermost ones for what is outside."""
    return min(max(math.floor(position), 0), cells - 1)


def _position(value: float, low: float, high: float, cells: int) -> float:
    """Return where `value` is, in cells from the left end of the axis; no edge of float64 makes it overflow."""
    scale = max(abs(value), abs(low), abs(high))
    length = high / scale - low / scale if scale else 0.0
    if length <= 0:  # an axis without length has everything that is on it in its middle cell
        return cells / 2 if value == low else math.copysign(FAR, value - low)
    return min(max((value / scale - low / scale) / length * cells, -FAR), FAR)
