"""What an unfinished run has come to: enough to go on from its last epoch, together with the tensors beside it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from initbench.results.record import SCHEMA_VERSION, Record
from initbench.results.run import Divergence


class UnfinishedRun(Record):
    """One run of an unfinished task: which it is, and its rows so far, as its metrics.jsonl will have them."""

    run_id: str
    identity: dict[str, Any]
    scheme: str
    seed: int
    parameters: int = Field(ge=0)
    init_s: float = Field(ge=0)
    train_s: float = Field(ge=0)
    metrics: str


class UnfinishedTask(Record):
    """A run, or the runs of one stack, after `epoch` of `epochs` epochs, in which the optimizer took `steps` steps.

    `ended` has the replicas of the stack that diverged, by their places; `resumed_after` the epochs after which it was
    interrupted, and gone on with, before.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    epoch: int = Field(ge=0)
    epochs: int = Field(ge=1)
    steps: int = Field(ge=0)
    ended: dict[int, Divergence] = Field(default_factory=dict)
    resumed_after: tuple[int, ...] = ()
    runs: tuple[UnfinishedRun, ...] = Field(min_length=1)
