"""When several workers are done that share a list of tasks: each takes the next one as soon as it is free."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

EXACT = 2_000  # so many tasks are handed out one by one; where there are more, those before them are shared evenly


def makespan(costs: Sequence[float], loads: Sequence[float]) -> float:
    """Return when the last worker is done (Graham 1966: list scheduling).

    `costs` [N] are the seconds of the tasks, in the order they are taken in; `loads` [W], one for each worker, are
    seconds that it is still busy with what it has.
    """
    even = sum(costs[:-EXACT]) / len(loads)
    workers = [load + even for load in loads]
    heapq.heapify(workers)
    for cost in costs[-EXACT:]:
        heapq.heapreplace(workers, workers[0] + cost)
    return max(workers)
