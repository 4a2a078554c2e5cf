"""What a comparison is once its runs are done: schemes with intervals, paired differences with verdicts."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import Field

from initbench.results.record import SCHEMA_VERSION, Fraction, Record
from initbench.results.run import DatasetInfo, Status

ALPHA: Final = 0.05  # a difference is "detected" where its corrected p is below this

PERCENTILE_MARK: Final = "*"  # shown before an interval that is no BCa one


class RunSummary(Record):
    """One run's line within a comparison."""

    seed: int
    status: Status
    test_accuracy: Fraction | None
    run_id: str


class SchemeSummary(Record):
    """The runs of one scheme. `n` counts the finished runs that mean, interval and range are over.

    `epochs_to_target` is the median over all runs, None where half or more never reached the target.
    """

    scheme: str
    n: int
    diverged: int
    failed: int
    mean: Fraction | None
    ci_low: Fraction | None
    ci_high: Fraction | None
    ci_method: Literal["bca", "percentile"] | None
    min: Fraction | None
    max: Fraction | None
    epochs_to_target: float | None
    reached_target: int
    init_seconds: float | None = Field(None, description="mean wall time of a run's initialization")
    seconds: float | None = Field(description="mean wall time of a run's training, evaluation included")
    runs: tuple[RunSummary, ...]


class PairedDifference(Record):
    """a - b on the seeds that both finished; None where too few did."""

    a: str
    b: str
    n: int
    difference: float | None
    ci_low: float | None
    ci_high: float | None
    ci_method: Literal["bca", "percentile"] | None
    p_value: float | None
    p_holm: float | None
    verdict: str

    @property
    def better(self) -> str | None:
        """The scheme with the higher accuracy where a difference was detected, None where none was."""
        if self.difference is None or self.p_holm is None or self.p_holm >= ALPHA:
            return None
        return self.a if self.difference > 0 else self.b


class Comparison(Record):
    """Runs of several schemes, paired by seed."""

    schema_version: Literal[1] = SCHEMA_VERSION
    dataset: DatasetInfo
    config: dict[str, Any]
    device: str
    seeds: tuple[int, ...]
    target_accuracy: Fraction
    confidence: float
    schemes: tuple[SchemeSummary, ...]
    pairs: tuple[PairedDifference, ...]
    reused: int = Field(description="runs that were found in the runs folder and not trained again")
    warnings: tuple[str, ...]
