"""One job: initialize a model, train it, write its folder. What an executor does once per run, in any process."""

from __future__ import annotations

import dataclasses
import time
import traceback
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from initbench import data, environment, events
from initbench.config import Config
from initbench.data import Dataset
from initbench.errors import DataError, UsageError
from initbench.events import Emit, InitStep
from initbench.initial import build_model, initialize_model
from initbench.results import DatasetInfo, Divergence, EpochRow, PretrainingRow, RunResult, SignalRow
from initbench.schemes import parse
from initbench.store import NoWriter, Store, Writer, folder_name
from initbench.threads import torch_threads
from initbench.training import train, warm_up


@dataclass(frozen=True)
class Places:
    """Where data is looked for first, and where results go (None: nowhere)."""

    data_dir: Path | None
    runs_dir: Path | None


@dataclass(frozen=True)
class Job:
    """One run to be executed: a complete config on a known device and dataset. Picklable."""

    label: str
    config: Config
    device: str
    dataset: DatasetInfo
    run_id: str
    places: Places

    @property
    def scheme(self) -> str:
        """Return the scheme as results name it: canonical, with those parameters that differ from their defaults."""
        return parse(self.config.init.scheme).label

    @property
    def folder(self) -> str:
        """Return the name of the run's folder."""
        label = f"{self.config.name}-{self.scheme}" if self.config.name else self.scheme
        return folder_name(label, self.config.seed, self.run_id)


def execute_job(job: Job, emit: Emit) -> RunResult:
    """Train one job and store it. A run that cannot be finished (memory, an operation) is a result: `failed`.

    Raises InitbenchError where the data or the disk is not what was planned with; bugs keep their traceback.
    """
    dataset = _dataset_of(job)
    warm_up()
    with torch_threads(job.config.train.threads), _writer(job) as writer:
        writer.text("config.yaml", job.config.to_yaml())
        writer.json("environment.json", environment.describe(job.device, job.config.train.threads))
        result = _trained(job, dataset, writer, emit)
        if job.places.runs_dir:
            result = result.model_copy(update={"run_dir": str(writer.final_path)})
        writer.json("result.json", result.model_dump(mode="json"))
        return result


def _trained(job: Job, dataset: Dataset, writer: Writer, emit: Emit) -> RunResult:
    progress = _Progress(job, writer, emit)
    try:
        model = build_model(job.config, dataset)
        progress.parameters = sum(parameter.numel() for parameter in model.parameters())
        initialize_model(model, job.config, dataset, progress.on_init_step)
        model.to(dataset.train_images.device)
        progress.initialized()
        divergence = train(model, dataset, job.config, progress.on_epoch, progress.on_signals)
    except (RuntimeError, MemoryError, UsageError) as error:
        if isinstance(error, NotImplementedError | RecursionError):
            raise
        writer.text("traceback.txt", traceback.format_exc())
        return progress.result(error=f"{type(error).__name__}: {error}")
    result = progress.result(divergence)
    writer.weights(model.state_dict())
    return result


class _Progress:
    """What one run has come to so far: its rows, kept and told to `emit`, and its clock."""

    def __init__(self, job: Job, writer: Writer, emit: Emit) -> None:
        self.job, self.writer, self.emit = job, writer, emit
        self.parameters = 0
        self.pretraining: list[PretrainingRow] = []
        self.history: list[EpochRow] = []
        self._started = time.perf_counter()
        self._initialized: float | None = None

    def on_init_step(self, step: InitStep) -> None:
        """Take note of one step of a scheme that takes long."""
        if step.row is not None:
            self.pretraining.append(step.row)
            self.writer.row("pretraining", step.row)
        self.emit(events.Initializing(self.job.run_id, self.job.label, self.job.config.seed, step))

    def initialized(self) -> None:
        """Take note that the training begins."""
        self._initialized = time.perf_counter()

    def on_epoch(self, row: EpochRow) -> None:
        """Take note of one epoch."""
        self.history.append(row)
        self.writer.row("training", row)
        self.emit(events.EpochDone(self.job.run_id, self.job.label, self.job.config.seed, row))

    def on_signals(self, row: SignalRow) -> None:
        """Take note of one look at the signals: on the disk and by `emit` only, as results are to stay small."""
        self.writer.row("signals", row)
        self.emit(events.SignalsMeasured(self.job.run_id, self.job.label, self.job.config.seed, row))

    def result(self, divergence: Divergence | None = None, error: str | None = None) -> RunResult:
        """Return what the run came to, its clock stopped now."""
        ended = time.perf_counter()
        initialized = ended if self._initialized is None else self._initialized
        done = error is None and divergence is None
        return RunResult(
            run_id=self.job.run_id,
            scheme=self.job.scheme,
            seed=self.job.config.seed,
            status="done" if done else "diverged" if divergence else "failed",
            device=self.job.device,
            config=self.job.config.to_dict(),
            dataset=self.job.dataset,
            parameters=self.parameters,
            pretraining=tuple(self.pretraining),
            history=tuple(self.history),
            test_accuracy=self.history[-1].test_accuracy if done else None,
            divergence=divergence,
            error=error,
            init_s=initialized - self._started,
            train_s=ended - initialized,
        )


def _writer(job: Job) -> AbstractContextManager[Writer]:
    runs_dir = job.places.runs_dir
    return Store(runs_dir).writing(job.folder, job.run_id) if runs_dir else nullcontext(NoWriter())


_loaded: dict[tuple[str, str], Dataset] = {}  # the dataset in use, by its SHA-256 and device: loaded once a process


def _dataset_of(job: Job) -> Dataset:
    """Return the dataset that `job` was planned with; raises DataError where the disk has another by now.

    A stand-in is read as what it is: whether the dataset it stands for can be had was settled when planning.
    """
    key = job.dataset.sha256, job.device
    if key not in _loaded:
        read = data.load(job.dataset.name, data_dir=job.places.data_dir, fallback="none", limit=job.config.data.limit)
        _keep(dataclasses.replace(read, stand_in_for=job.dataset.stand_in_for), torch.device(job.device))
    if key not in _loaded:
        raise DataError(f"dataset {job.dataset.name!r} changed while runs were executed; give the command again.")
    return _loaded[key]


def load_dataset(config: Config, data_dir: Path | None, device: torch.device, emit: Emit) -> Dataset:
    """Read (or fetch) and verify the config's dataset, and return it on `device`; `execute_job` finds it again."""
    read = data.load(
        config.data.name,
        data_dir=data_dir,
        fallback=config.data.fallback,
        limit=config.data.limit,
        notify=lambda text: emit(events.Notice(text)),
        progress=lambda file, done, total: emit(events.Downloading(file, done, total)),
    )
    return _keep(read, device)


def _keep(read: Dataset, device: torch.device) -> Dataset:
    dataset = dataclasses.replace(
        read,
        train_images=read.train_images.to(device),
        train_labels=read.train_labels.to(device),
        test_images=read.test_images.to(device),
        test_labels=read.test_labels.to(device),
    )
    _loaded.clear()
    _loaded[dataset.sha256, str(device)] = dataset
    return dataset
