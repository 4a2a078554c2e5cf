"""What happens while runs are executed, as plain records: the command line draws its progress from them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from initbench.results import DatasetInfo, EpochRow, PretrainingRow, RunResult, SignalRow


@dataclass(frozen=True)
class Notice:
    """One line that the user should see: a stand-in is used, a bad file was set aside."""

    text: str


@dataclass(frozen=True)
class Downloading:
    """A file is being fetched: bytes so far, and in all where the server says so."""

    file: str
    done_bytes: int
    total_bytes: int | None


@dataclass(frozen=True)
class Planned:
    """The data is there and the models fit: this is what will be executed, by how many workers, in what time.

    `labels` has the label of each run that is not `reused`, in the order they are started in. What is expected comes
    from a calibration: `expected_s` of wall time in all, None where there was none; of one run `init_s` by its label,
    and `train_s`. `shard` (k, n): the runs are those of the k-th of n parts of a larger plan.
    """

    config: dict[str, Any]
    device: str
    dataset: DatasetInfo
    parameters: int
    runs: int
    seeds: tuple[int, ...]
    epochs: int
    reused: int
    run_dir: str | None
    labels: tuple[str, ...] = ()
    expected_s: float | None = None
    init_s: Mapping[str, float] = field(default_factory=dict)
    train_s: float | None = None
    workers: int = 1
    executor: str = "inline"
    engine: str = "sequential"
    shard: tuple[int, int] | None = None


@dataclass(frozen=True)
class InitStep:
    """A scheme that takes long did `done` of `total` steps; `row` is there where a pre-training epoch ended."""

    text: str
    done: int
    total: int
    row: PretrainingRow | None = None


@dataclass(frozen=True)
class Initializing:
    """One run is being initialized by a scheme that takes long."""

    run_id: str
    label: str
    seed: int
    step: InitStep


@dataclass(frozen=True)
class Resumed:
    """One run goes on after `epoch`, where it was interrupted before; `history` has its rows until then."""

    run_id: str
    label: str
    seed: int
    epoch: int
    history: tuple[EpochRow, ...]


@dataclass(frozen=True)
class EpochDone:
    """One run finished one epoch."""

    run_id: str
    label: str
    seed: int
    row: EpochRow


@dataclass(frozen=True)
class SignalsMeasured:
    """The signals of one run were recorded, as `train.signals` asks for; not told of a run that is reused."""

    run_id: str
    label: str
    seed: int
    row: SignalRow


@dataclass(frozen=True)
class RunDone:
    """One run ended (done, diverged or failed), or was found in the runs folder (`reused`)."""

    label: str
    result: RunResult
    reused: bool


Event = Notice | Downloading | Planned | Initializing | Resumed | EpochDone | SignalsMeasured | RunDone
Emit = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Do nothing with the event."""


def warn(event: Event) -> None:
    """Turn a notice into a Python warning: what a caller hears who asked for nothing."""
    if isinstance(event, Notice):
        warnings.warn(event.text, stacklevel=2)
