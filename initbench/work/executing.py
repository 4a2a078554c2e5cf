"""One task: initialize models, train them, collect their files. What an executor does, in any process."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from initbench import events
from initbench.data import Dataset
from initbench.errors import UsageError
from initbench.events import Emit, Notice
from initbench.initial import build_model
from initbench.results import Divergence, EpochRow
from initbench.store import Unfinished
from initbench.threads import torch_threads
from initbench.training import train, train_stacked
from initbench.training.state import StateError, TrainingState
from initbench.work.dataset import on_device
from initbench.work.jobs import Job, Task
from initbench.work.recording import Finished, Recorder
from initbench.work.saving import Saving

CANNOT_FINISH = (RuntimeError, MemoryError, UsageError)  # what ends one run; anything else is a bug, or the disk's


def execute_task(task: Task, dataset: Dataset, emit: Emit, unfinished: Unfinished | None = None) -> list[Finished]:
    """Train the task's jobs, from where `unfinished` has kept them, and keep them there epoch by epoch.

    A run that cannot be finished (memory, an operation) is a result: `failed`; where it was memory, it is tried twice.
    Bugs keep their traceback. Raises StoreError where the disk does not keep what is unfinished.
    """
    here = on_device(dataset, task[0].device)
    with torch_threads(task[0].config.train.threads):
        if task[0].engine == "sequential":
            return [_trained_alone(job, here, emit, unfinished) for job in task]
        return _trained_together(task, here, emit, unfinished)


def lost(task: Task, reason: str) -> list[Finished]:
    """Return what is to be kept of runs whose worker died."""
    return [Recorder(job, events.ignore).finished(error=reason) for job in task]


def _trained_alone(job: Job, dataset: Dataset, emit: Emit, unfinished: Unfinished | None) -> Finished:
    """Train one run; where memory does not suffice, once more."""
    recorder = Recorder(job, emit)
    try:
        return _trained([recorder], dataset, emit, unfinished)[0]
    except CANNOT_FINISH as error:
        if not out_of_memory(error):
            return recorder.failed(error)
        reason = f"{job.label}, seed {job.config.seed}: {_first_line(error)}; it is tried once more."
    emit(Notice(reason))  # now the memory of the first try is free
    recorder = Recorder(job, emit)
    try:
        return _trained([recorder], dataset, emit, unfinished)[0]
    except CANNOT_FINISH as error:
        return recorder.failed(error)


def _trained_together(task: Task, dataset: Dataset, emit: Emit, unfinished: Unfinished | None) -> list[Finished]:
    """Train replicas as one computation. Where that fails they are halved, until those that fail are alone."""
    if len(task) == 1:
        return [_trained_alone(task[0], dataset, emit, unfinished)]
    try:
        return _trained([Recorder(job, emit) for job in task], dataset, emit, unfinished)
    except CANNOT_FINISH:
        middle = len(task) // 2
    halves = task[:middle], task[middle:]
    return [finished for half in halves for finished in _trained_together(half, dataset, emit, unfinished)]


def _trained(
    recorders: Sequence[Recorder], dataset: Dataset, emit: Emit, unfinished: Unfinished | None
) -> list[Finished]:
    """Train the recorders' runs as one computation, from the beginning or from where they were interrupted."""
    saving = Saving(recorders, unfinished, emit)
    start = saving.restored()
    models = [
        build_model(recorder.job.config, dataset) if start else recorder.initialized_model(dataset)
        for recorder in recorders
    ]
    for recorder in recorders:
        recorder.begin_training(company=len(recorders))
    try:
        ends = _train(models, dataset, recorders, start, saving.on_state)
    except StateError as error:
        saving.discard(error)
        return _trained([Recorder(recorder.job, emit) for recorder in recorders], dataset, emit, unfinished)
    outcomes = zip(recorders, models, ends, strict=True)
    return [recorder.finished(model, end, resumed_after=saving.resumed_after) for recorder, model, end in outcomes]


def _train(
    models: Sequence[nn.Module],
    dataset: Dataset,
    recorders: Sequence[Recorder],
    start: TrainingState | None,
    on_state: Callable[[TrainingState], None],
) -> list[Divergence | None]:
    """Train the models, a stack or a single one, and return where each diverged."""
    configs = [recorder.job.config for recorder in recorders]
    if recorders[0].job.engine == "stacked":

        def on_epoch(replica: int, row: EpochRow) -> None:
            recorders[replica].on_epoch(row)

        return train_stacked(models, dataset, configs, on_epoch, start=start, on_state=on_state)
    [model], [recorder], [config] = models, recorders, configs
    model.to(dataset.train_images.device)  # where it was restored, it is on the CPU
    return [train(model, dataset, config, recorder.on_epoch, recorder.on_signals, start=start, on_state=on_state)]


def out_of_memory(error: Exception) -> bool:
    """Return whether `error` says that memory was short; torch's own for the CPU is a plain RuntimeError.

    A scheme that met it may have made an error of its own of it, which it is the cause of.
    """
    return any(
        isinstance(one, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(one)
        for one in (error, error.__cause__)
    )


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
