"""Factors per layer: how signal and gradient change along the hidden layers, or along the steps of a sequence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from initbench.results import LayerSignal


class Change(NamedTuple):
    """What a quantity is at the first and the last layer of a chain that have it, and how many steps lie between."""

    first: float
    last: float
    steps: int

    @property
    def gain(self) -> float | None:
        """Return the factor per step, a geometric mean; 0.0 where nothing is left, None where nothing was there."""
        if self.steps < 1 or self.first <= 0:
            return None
        if self.last <= 0:
            return 0.0
        return math.exp((math.log(self.last) - math.log(self.first)) / self.steps)

    @property
    def total(self) -> float | None:
        """Return the factor over all steps; inf where a float cannot hold it."""
        if self.steps < 1 or self.first <= 0:
            return None
        return self.last / self.first if self.first > 1e-300 else math.inf

    @property
    def reverse(self) -> Change:
        """Return the change from the last to the first."""
        return Change(self.last, self.first, self.steps)


def hidden(layers: Sequence[LayerSignal]) -> list[LayerSignal]:
    """Return all rows but the last, which is the output; of a recurrent layer the last step that is shown."""
    rows = list(layers[:-1])
    return [
        row
        for index, row in enumerate(rows)
        if row.step is None or index + 1 == len(rows) or not _is_next_step(row, rows[index + 1])
    ]


def size_change(layers: Sequence[LayerSignal]) -> Change | None:
    """Return how the root mean square of the pre-activations changes from the first hidden layer to the last.

    Of a recurrent layer, whose pre-activations are not seen, how the std of its states changes, from the first step
    that has one.
    """
    rows = layers[:-1]
    if any(row.step is not None for row in rows):
        return _change(rows, [row.std or None for row in rows])
    return _change(rows, [row.pre_rms for row in rows])


def sample_change(layers: Sequence[LayerSignal]) -> Change | None:
    """Return how the spread between inputs changes from the first hidden layer to the last."""
    return _change(hidden(layers), [row.sample_std for row in hidden(layers)])


def gradient_change(layers: Sequence[LayerSignal]) -> Change | None:
    """Return how the gradient's norm changes from the last hidden layer, or step, to the first.

    The norm over all pre-activations of a sample: sizes of layers that differ do not count as a change.
    """
    rows = reached(layers)
    norms = [None if row.delta_rms is None else row.delta_rms * math.sqrt(row.values) for row in rows]
    change = _change(rows, norms)
    return None if change is None else change.reverse


def reached(layers: Sequence[LayerSignal]) -> list[LayerSignal]:
    """Return the rows that a gradient has a reason to reach: no step of a sequence before anything was read."""
    return [row for row in layers[:-1] if row.step is None or row.std]


def _change(rows: Sequence[LayerSignal], values: Sequence[float | None]) -> Change | None:
    known = [(place, value) for place, value in zip(_places(rows), values, strict=True) if value is not None]
    if not known:
        return None
    return Change(known[0][1], known[-1][1], known[-1][0] - known[0][0])


def _places(rows: Sequence[LayerSignal]) -> list[int]:
    """Return how many layers, or steps of a recurrent layer, lie before each row."""
    places = [0] if rows else []
    for before, row in pairwise(rows):
        between = (row.step or 0) - (before.step or 0) if _is_next_step(before, row) else 1
        places.append(places[-1] + between)
    return places


def _is_next_step(before: LayerSignal, row: LayerSignal) -> bool:
    same = before.name.rpartition(", step ")[0] == row.name.rpartition(", step ")[0]
    return row.step is not None and before.step is not None and same
