"""What a run is once it is done: its history, its data, how it ended."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

from pydantic import FailFast, Field, field_validator, model_validator

from initbench.results.record import SCHEMA_VERSION, Count, Fraction, Ordinal, Record, Seconds

Status = Literal["done", "diverged", "failed"]
SECTIONS: Final = ("model", "init", "data", "train", "inspect")  # of a config


class EpochRow(Record):
    """One epoch of a history: mean training loss and accuracy over the epoch's steps, test accuracy after it."""

    epoch: Ordinal
    train_loss: float
    train_accuracy: Fraction
    test_accuracy: Fraction
    seconds: Seconds


class PretrainingRow(Record):
    """One epoch of a layer's unsupervised pre-training, part of the initialization.

    `reconstruction_error` is the mean squared difference per input between the images (or activations) and what the
    layer makes of them; `free_energy` (of the visible units, in nats) and `pseudo_log_likelihood` (in nats) are means
    over a sample, None for a layer that is no Boltzmann machine.
    """

    layer: str
    epoch: Ordinal
    reconstruction_error: float
    free_energy: float | None = None
    pseudo_log_likelihood: float | None = None
    seconds: Seconds


class DatasetInfo(Record):
    """The data that a run was trained and tested on; `stand_in_for` names the dataset it replaces, if any."""

    name: str
    stand_in_for: str | None
    train_size: Count
    test_size: Count
    sha256: str


class Divergence(Record):
    """Where the training loss first was not finite: epoch and step within it, both from 1."""

    epoch: Ordinal
    step: Ordinal


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
    parameters: Count
    pretraining: Annotated[tuple[PretrainingRow, ...], FailFast()] = ()
    history: Annotated[tuple[EpochRow, ...], FailFast()]
    test_accuracy: Fraction | None
    divergence: Divergence | None = None
    error: str | None = None
    init_s: Seconds = Field(description="wall time of the initialization, pre-training included")
    train_s: Seconds = Field(description="wall time of the training, evaluation included")
    run_dir: str | None = None

    @field_validator("error")
    @classmethod
    def _is_text(cls, error: str | None) -> str | None:
        r"""Write out what UTF-8 does not have, such as a byte of a path that is no text: \udcff."""
        return error and error.encode(errors="backslashreplace").decode()

    @field_validator("config")
    @classmethod
    def _has_sections(cls, config: dict[str, Any]) -> dict[str, Any]:
        """Refuse a config whose sections are none: what is shown of a run looks into them."""
        for name in SECTIONS:
            if not isinstance(config.get(name, {}), dict):
                raise ValueError(f"{name} is no mapping")
        return config

    @model_validator(mode="after")
    def _has_an_accuracy_where_done(self) -> Self:
        if (self.test_accuracy is not None) != (self.status == "done"):
            raise ValueError("a run has a test accuracy where its status is done, and only there")
        return self
