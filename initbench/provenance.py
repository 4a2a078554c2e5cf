"""What is found out about a stored run: whether its files are what they were, and whether it comes out the same."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from initbench.results import RunResult, printable

Outcome = Literal["ok", "failed", "not checked"]
CHECKS = ("files", "config", "identity", "data", "weights", "metrics")
LONGEST_REASON = 400  # characters


@dataclass(frozen=True)
class Check:
    """One check of CHECKS: how it ended; why it failed or was not made, or what was left out where it is ok."""

    name: str
    outcome: Outcome
    reason: str = ""

    def __post_init__(self) -> None:
        """Make the reason printable, and cut it: whoever made the folder may have chosen parts of it."""
        reason = printable(self.reason)
        cut = reason if len(reason) <= LONGEST_REASON else f"{reason[: LONGEST_REASON - 1]}…"
        object.__setattr__(self, "reason", cut)


@dataclass(frozen=True)
class Verified:
    """The checks of the run in `folder`, in the order of CHECKS; `result` is None where it cannot be read."""

    folder: Path
    result: RunResult | None
    checks: tuple[Check, ...]

    @property
    def failed(self) -> bool:
        """Whether a check failed."""
        return any(check.outcome == "failed" for check in self.checks)


@dataclass(frozen=True)
class WeightDifference:
    """The weights that differ most, by name, and the largest absolute difference of two of their values.

    `largest` is None where there are no two finite values to compare: one has other weights, or another shape.
    """

    name: str
    largest: float | None


@dataclass(frozen=True)
class Replayed:
    """A stored run, the same run trained again, and how they differ.

    `first` is the first number that differs, in words, and `weights` the largest difference; both are None where
    every bit agrees. `here` says what is different on this machine and in this code, a line each: the likely reasons.
    """

    run: RunResult
    again: RunResult
    tensors: int
    first: str | None
    weights: WeightDifference | None
    here: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether every number of the history and every weight is the same to the bit."""
        return self.first is None and self.weights is None
