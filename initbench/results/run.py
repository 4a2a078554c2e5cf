"""What a run is once it is done: its history, its data, how it ended."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from initbench.results.record import SCHEMA_VERSION, Fraction, Record

Status = Literal["done", "diverged", "failed"]


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
