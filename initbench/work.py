"""One task: initialize models, train them, collect their files. What an executor does, in any process."""

from __future__ import annotations

import functools
import itertools
import time
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from initbench import data, environment, events
from initbench.config import Config
from initbench.data import Dataset
from initbench.errors import UsageError
from initbench.events import Emit, InitStep
from initbench.initial import build_model, initialize_model
from initbench.results import DatasetInfo, Divergence, EpochRow, PretrainingRow, RunResult, SignalRow
from initbench.schemes import parse
from initbench.store import RunFiles, folder_name
from initbench.threads import torch_threads
from initbench.training import train, train_stacked
from initbench.training.stack_size import split

Engine = Literal["sequential", "stacked"]


@dataclass(frozen=True)
class Job:
    """One run to be executed: a complete config on a known device, dataset and engine. Picklable."""

    label: str
    config: Config
    device: str
    engine: Engine
    dataset: DatasetInfo
    run_id: str

    @functools.cached_property
    def scheme(self) -> str:
        """The scheme as results name it: canonical, with those parameters that differ from their defaults."""
        return parse(self.config.init.scheme).label

    @property
    def folder(self) -> str:
        """The name of the run's folder."""
        label = f"{self.config.name}-{self.scheme}" if self.config.name else self.scheme
        return folder_name(label, self.config.seed, self.run_id)


@dataclass(frozen=True)
class Finished:
    """A run that ended: its result, and the files of its folder, result.json apart."""

    result: RunResult
    files: dict[str, bytes]


Task = tuple[Job, ...]  # the jobs that one worker does at a time: one, or the replicas of one stack


def tasks_of(jobs: Iterable[Job], stack: int | None = None) -> list[Task]:
    """Return the jobs as tasks: neighbours of one shape in the fewest stacks of at most `stack`, others alone."""
    groups = itertools.groupby(jobs, lambda job: (job.engine, _shape(job.config) if job.engine == "stacked" else job))
    tasks: list[Task] = []
    for (engine, _), group in groups:
        members = list(group)
        blocks = split(len(members), 1 if engine == "sequential" else stack or len(members))
        tasks += [tuple(members[place] for place in block) for block in blocks]
    return tasks


def _shape(config: Config) -> tuple[object, ...]:
    """Return what the replicas of a stack have in common."""
    return config.model, config.data, config.train.model_copy(update={"lr": None})


def execute_task(task: Task, dataset: Dataset, emit: Emit) -> list[Finished]:
    """Train the task's jobs. A run that cannot be finished (memory, an operation) is a result: `failed`.

    Bugs keep their traceback.
    """
    first = task[0]
    here = _on_device(dataset, first.device)
    with torch_threads(first.config.train.threads):
        if first.engine == "sequential":
            return [_trained(job, here, emit) for job in task]
        return _trained_together(task, here, emit)


def lost(task: Task, reason: str) -> list[Finished]:
    """Return what is to be kept of runs whose worker died."""
    return [_Progress(job, events.ignore).finished(error=reason) for job in task]


def _trained(job: Job, dataset: Dataset, emit: Emit) -> Finished:
    progress = _Progress(job, emit)
    try:
        model = progress.initialized_model(dataset)
        began = time.perf_counter()
        divergence = train(model, dataset, job.config, progress.on_epoch, progress.on_signals)
        return progress.finished(model, divergence, train_s=time.perf_counter() - began)
    except (RuntimeError, MemoryError, UsageError) as error:
        return progress.failed(error)


def _trained_together(task: Task, dataset: Dataset, emit: Emit) -> list[Finished]:
    """Train replicas as one computation. Where that fails they are halved, until those that fail are alone."""
    progresses = [_Progress(job, emit) for job in task]
    try:
        models = [progress.initialized_model(dataset) for progress in progresses]
        began = time.perf_counter()
        divergences = train_stacked(
            models, dataset, [job.config for job in task], lambda replica, row: progresses[replica].on_epoch(row)
        )
        train_s = (time.perf_counter() - began) / len(task)
        ended = zip(progresses, models, divergences, strict=True)
        return [progress.finished(model, divergence, train_s=train_s) for progress, model, divergence in ended]
    except (RuntimeError, MemoryError, UsageError) as error:
        if len(task) == 1:
            return [progresses[0].failed(error)]
    middle = len(task) // 2
    return [*_trained_together(task[:middle], dataset, emit), *_trained_together(task[middle:], dataset, emit)]


class _Progress:
    """What one run has come to so far: its rows and files, kept here and told to `emit`."""

    def __init__(self, job: Job, emit: Emit) -> None:
        self._job, self._emit = job, emit
        self._files = RunFiles()
        self._parameters = 0
        self._init_s = 0.0
        self._pretraining: list[PretrainingRow] = []
        self._history: list[EpochRow] = []
        self._files.text("config.yaml", job.config.to_yaml())
        self._files.json("environment.json", environment.describe(job.device, job.config.train.threads))

    def initialized_model(self, dataset: Dataset) -> nn.Module:
        """Return the job's model at its starting values, on the dataset's device."""
        began = time.perf_counter()
        model = build_model(self._job.config, dataset)
        self._parameters = sum(parameter.numel() for parameter in model.parameters())
        initialize_model(model, self._job.config, dataset, self._on_init_step)
        model.to(dataset.train_images.device)
        self._init_s = time.perf_counter() - began
        return model

    def _on_init_step(self, step: InitStep) -> None:
        """Take note of one step of a scheme that takes long."""
        if step.row is not None:
            self._pretraining.append(step.row)
            self._files.row("pretraining", step.row)
        self._emit(events.Initializing(self._job.run_id, self._job.label, self._job.config.seed, step))

    def on_epoch(self, row: EpochRow) -> None:
        """Take note of one epoch."""
        self._history.append(row)
        self._files.row("training", row)
        self._emit(events.EpochDone(self._job.run_id, self._job.label, self._job.config.seed, row))

    def on_signals(self, row: SignalRow) -> None:
        """Take note of one look at the signals: on the disk and by `emit` only, as results are to stay small."""
        self._files.row("signals", row)
        self._emit(events.SignalsMeasured(self._job.run_id, self._job.label, self._job.config.seed, row))

    def failed(self, error: Exception) -> Finished:
        """Return the run that `error` ended; raises it again where it is a bug."""
        if isinstance(error, NotImplementedError | RecursionError):
            raise error
        self._files.text("traceback.txt", traceback.format_exc())
        return self.finished(error=f"{type(error).__name__}: {error}")

    def finished(
        self,
        model: nn.Module | None = None,
        divergence: Divergence | None = None,
        *,
        error: str | None = None,
        train_s: float = 0.0,
    ) -> Finished:
        """Return what the run came to; its weights are those of `model`, where there is one."""
        job, done = self._job, error is None and divergence is None
        if model is not None:
            self._files.weights(model.state_dict())
        result = RunResult(
            run_id=job.run_id,
            scheme=job.scheme,
            seed=job.config.seed,
            status="done" if done else "diverged" if divergence else "failed",
            device=job.device,
            config=job.config.to_dict(),
            dataset=job.dataset,
            parameters=self._parameters,
            pretraining=tuple(self._pretraining),
            history=tuple(self._history),
            test_accuracy=self._history[-1].test_accuracy if done else None,
            divergence=divergence,
            error=error,
            init_s=self._init_s,
            train_s=train_s,
        )
        return Finished(result, self._files.contents)


_moved: dict[tuple[str, str], Dataset] = {}  # the dataset in use where it is not on the CPU, by its SHA-256 and device


def _on_device(dataset: Dataset, device: str) -> Dataset:
    """Return the dataset on `device`, moved there once a process."""
    if device == "cpu":
        return dataset
    key = dataset.sha256, device
    if key not in _moved:
        _moved.clear()
        _moved[key] = dataset.on(torch.device(device))
    return _moved[key]


def load_dataset(config: Config, data_dir: Path | None, emit: Emit) -> Dataset:
    """Read (or fetch) and verify the config's dataset, on the CPU."""
    return data.load(
        config.data.name,
        data_dir=data_dir,
        fallback=config.data.fallback,
        limit=config.data.limit,
        notify=lambda text: emit(events.Notice(text)),
        progress=lambda file, done, total: emit(events.Downloading(file, done, total)),
    )
