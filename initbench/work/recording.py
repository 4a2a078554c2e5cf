"""What one run comes to: its rows and files, collected while it is trained."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass
from typing import Any

from torch import nn

from initbench import environment, events
from initbench.data import Dataset
from initbench.events import Emit, InitStep
from initbench.initial import build_model, initialize_model
from initbench.results import Divergence, EpochRow, PretrainingRow, RunResult, SignalRow, UnfinishedRun
from initbench.store import RunFiles
from initbench.store.strict_json import parse_json
from initbench.work.jobs import Job


@dataclass(frozen=True)
class Finished:
    """A run that ended: its result, and the files of its folder, result.json apart."""

    result: RunResult
    files: dict[str, bytes]


class Recorder:
    """What one run has come to so far: its rows and files, kept here and told to `emit`."""

    def __init__(self, job: Job, emit: Emit) -> None:
        self.job, self._emit = job, emit
        self._files = RunFiles()
        self._parameters = 0
        self.init_s = 0.0
        self._train_s = 0.0  # until it was interrupted
        self._clock: tuple[float, int] | None = None  # since when it is trained, and how many share that time
        self._pretraining: list[PretrainingRow] = []
        self._history: list[EpochRow] = []
        self._files.text("config.yaml", job.config.to_yaml())
        self._files.json("identity.json", job.identity.parts)

    @property
    def train_s(self) -> float:
        """The wall time of the training so far, divided by the number of runs that are trained in it."""
        began, company = self._clock or (time.perf_counter(), 1)
        return self._train_s + (time.perf_counter() - began) / company

    def initialized_model(self, dataset: Dataset) -> nn.Module:
        """Return the job's model at its starting values, on the dataset's device."""
        began = time.perf_counter()
        model = build_model(self.job.config, dataset)
        self._parameters = sum(parameter.numel() for parameter in model.parameters())
        initialize_model(model, self.job.config, dataset, self._on_init_step)
        model.to(dataset.train_images.device)
        self.init_s = time.perf_counter() - began
        return model

    def begin_training(self, company: int) -> None:
        """Start the clock; `company` is how many runs are trained together."""
        self._clock = time.perf_counter(), company

    def _on_init_step(self, step: InitStep) -> None:
        """Take note of one step of a scheme that takes long."""
        if step.row is not None:
            self._pretraining.append(step.row)
            self._files.row("pretraining", step.row)
        self._emit(events.Initializing(self.job.run_id, self.job.label, self.job.config.seed, step))

    def on_epoch(self, row: EpochRow) -> None:
        """Take note of one epoch."""
        self._history.append(row)
        self._files.row("training", row)
        self._emit(events.EpochDone(self.job.run_id, self.job.label, self.job.config.seed, row))

    def on_signals(self, row: SignalRow) -> None:
        """Take note of one look at the signals: on the disk and by `emit` only, as results are to stay small."""
        self._files.row("signals", row)
        self._emit(events.SignalsMeasured(self.job.run_id, self.job.label, self.job.config.seed, row))

    def unfinished(self) -> UnfinishedRun:
        """Return what the run has come to so far."""
        return UnfinishedRun(
            run_id=self.job.run_id,
            identity=self.job.identity.parts,
            scheme=self.job.scheme,
            seed=self.job.config.seed,
            parameters=self._parameters,
            init_s=self.init_s,
            train_s=self.train_s,
            metrics=self._files.rows.decode(),
        )

    def restore(self, run: UnfinishedRun, epochs: int) -> None:
        """Take up what the run had come to, in which `epochs` epochs have a row.

        Raises ValueError, KeyError, TypeError or RecursionError, and changes nothing, where that is not what it says.
        """
        if run.run_id != self.job.run_id:
            raise ValueError(f"it is of the run {run.run_id}")
        rows: dict[str, list[Any]] = {"pretraining": [], "training": [], "signals": []}
        for line in run.metrics.splitlines():
            row = parse_json(line.encode())
            rows[row.pop("phase")].append(row)
        pretraining = [PretrainingRow.model_validate(row) for row in rows["pretraining"]]
        history = [EpochRow.model_validate(row) for row in rows["training"]]
        if [row.epoch for row in history] != list(range(1, epochs + 1)):
            raise ValueError("its rows are not those of its epochs")
        self._pretraining, self._history = pretraining, history
        self._files.rows = run.metrics.encode()
        self._parameters, self.init_s, self._train_s = run.parameters, run.init_s, run.train_s

    def forget(self) -> None:
        """Be as if nothing had been restored."""
        self._pretraining, self._history, self._files.rows = [], [], b""
        self._parameters, self.init_s, self._train_s = 0, 0.0, 0.0

    def resumed(self, epoch: int) -> None:
        """Tell that the run goes on after this epoch."""
        job = self.job
        self._emit(events.Resumed(job.run_id, job.label, job.config.seed, epoch, tuple(self._history)))

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
        resumed_after: tuple[int, ...] = (),
    ) -> Finished:
        """Return what the run came to; its weights are those of `model`, where there is one."""
        job, done = self.job, error is None and divergence is None
        if model is not None:
            self._files.weights(model.state_dict())
        surroundings = environment.describe(job.device, job.config.train.threads)
        self._files.json("environment.json", surroundings | {"resumed_after_epochs": list(resumed_after)})
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
            init_s=self.init_s,
            train_s=self.train_s,
        )
        return Finished(result, self._files.contents)
