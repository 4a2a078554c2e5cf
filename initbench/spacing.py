"""Evenly spaced indices: what is shown or measured of more than there is room or time for."""

from __future__ import annotations


def evenly(available: int, wanted: int) -> list[int]:
    """Return at most `wanted` of the indices 0 to available - 1, evenly spaced, the first and the last among them.

    Of one it is the last.
    """
    if available <= wanted:
        return list(range(available))
    if wanted == 1:
        return [available - 1]
    return [round(index * (available - 1) / (wanted - 1)) for index in range(wanted)]
