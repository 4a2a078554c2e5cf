"""What a run and a comparison are once they are done: plain frozen records with a strict JSON round trip.

Accuracies are fractions in [0, 1], times are seconds. The JSON schemas in report/schema are made from these records.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION: Final = 1  # of the JSON documents and of the folders under runs/; part of a run's identity

ALPHA: Final = 0.05  # a difference is "detected" where its corrected p is below this

PERCENTILE_MARK: Final = "*"  # shown before an interval that is no BCa one

Fraction = Annotated[float, Field(ge=0, le=1)]
Status = Literal["done", "diverged", "failed"]


class Record(BaseModel):
    """A frozen record: unknown keys are refused, and so are NaN and infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, ser_json_inf_nan="constants")


class EpochRow(Record):
    """One epoch of a history: mean training loss and accuracy over the epoch's steps, test accuracy after it."""

    epoch: int = Field(ge=1)
    train_loss: float
    train_accuracy: Fraction
    test_accuracy: Fraction
    seconds: float = Field(ge=0)


class PretrainingRow(Record):
    """One epoch of a layer's unsupervised pre-training, part of the initialization.

    `reconstruction_error` is the mean squared difference per input between the images (or activations) and what the
    layer makes of them; `free_energy` (of the visible units, in nats) and `pseudo_log_likelihood` (in nats) are means
    over a sample, None for a layer that is no Boltzmann machine.
    """

    layer: str
    epoch: int = Field(ge=1)
    reconstruction_error: float
    free_energy: float | None = None
    pseudo_log_likelihood: float | None = None
    seconds: float = Field(ge=0)


class DatasetInfo(Record):
    """The data that a run was trained and tested on; `stand_in_for` names the dataset it replaces, if any."""

    name: str
    stand_in_for: str | None
    train_size: int
    test_size: int
    sha256: str


class Divergence(Record):
    """Where the training loss first was not finite: epoch and step within it, both from 1."""

    epoch: int
    step: int


class RunResult(Record):
    """One config trained once with one seed. `test_accuracy` is the last epoch's, None unless status is "done"."""

    schema_version: Literal[1] = SCHEMA_VERSION
    run_id: str
    scheme: str
    seed: int
    status: Status
    device: str
    config: dict[str, Any]
    dataset: DatasetInfo
    parameters: int
    pretraining: tuple[PretrainingRow, ...] = ()
    history: tuple[EpochRow, ...]
    test_accuracy: Fraction | None
    divergence: Divergence | None = None
    error: str | None = None
    init_s: float = Field(description="wall time of the initialization, pre-training included")
    train_s: float = Field(description="wall time of the training, evaluation included")
    run_dir: str | None = None


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
