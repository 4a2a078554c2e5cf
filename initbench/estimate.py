"""How long a list of jobs will take: a short calibration on this machine, and the arithmetic from it to wall time."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from initbench.config import Config
from initbench.data import Dataset
from initbench.errors import UsageError
from initbench.events import InitStep
from initbench.initial import build_model, initialize_model
from initbench.makespan import makespan
from initbench.results import DatasetInfo
from initbench.schemes import parse
from initbench.threads import torch_threads
from initbench.training import train, train_stacked
from initbench.training.epochs import steps_per_epoch
from initbench.work import Job, Task, tasks_of

STEPS_S, IMAGES_S, INIT_S, STOPPED_S = 0.25, 0.1, 0.3, 1.0  # a trial that took so long is long enough
LIMIT_S = 1.0  # a model whose single step takes longer is measured no more than it must be
FIRST_IMAGES = 64  # evaluated by the first trial
FIRST_SAMPLES = 200  # training images of the first trial of a scheme that trains on all of them
SMALL_LR = 1e-6  # nothing diverges within a trial; a step takes as long at any rate

Clock = Callable[[], float]


@dataclass(frozen=True)
class Work:
    """What one training consists of: epochs of so many steps, each tested on so many images, and looks at signals."""

    epochs: int
    steps: int
    images: int
    looks: int = 0

    @property
    def counts(self) -> tuple[int, ...]:
        """Return how often each of the `Costs` but the initializations occurs."""
        return 1, self.epochs, self.epochs * self.steps, self.epochs * self.images, self.looks


@dataclass(frozen=True)
class Costs:
    """Seconds of what runs consist of, all of one model: of one run, epoch, step, test image, look at the signals.

    `init_s` is that of an initialization, by the label of the scheme.
    """

    run_s: float
    epoch_s: float
    step_s: float
    image_s: float
    look_s: float
    init_s: Mapping[str, float]

    def train_s(self, config: Config, dataset: DatasetInfo) -> float:
        """Return the expected seconds of one training."""
        each = self.run_s, self.epoch_s, self.step_s, self.image_s, self.look_s
        return sum(cost * count for cost, count in zip(each, work_of(config, dataset).counts, strict=True))


def work_of(config: Config, dataset: DatasetInfo) -> Work:
    """Return what a training with this config consists of."""
    every, epochs = config.train.signals, config.train.epochs
    steps = steps_per_epoch(dataset.train_size, config.data.batch_size, config.data.drop_last)
    return Work(epochs, steps, dataset.test_size, looks=1 + epochs // every if every else 0)


def expected_s(
    jobs: Sequence[Job], costs: Costs, workers: int, start_s: float = 0.0, stack: int | None = None
) -> float:
    """Return the expected wall seconds of `jobs` on `workers`, each of which takes `start_s` to start.

    Stacks hold at most `stack` replicas. Each task goes to the next worker that is free.
    """
    costs_s = [_task_s(task, costs) for task in tasks_of(jobs, stack)]
    return makespan(costs_s, [start_s] * workers) if costs_s else 0.0


def _task_s(task: Task, costs: Costs) -> float:
    """Return the expected seconds of one task; the replicas of a stack are trained once, together."""
    each = [costs.train_s(job.config, job.dataset) for job in task]
    init_s = sum(costs.init_s.get(job.label, 0.0) for job in task)
    return init_s + (max(each) if task[0].engine == "stacked" else sum(each))


def measure(
    jobs: Sequence[Job], dataset: Dataset, stack: int | None = None, clock: Clock = time.perf_counter
) -> Costs | None:
    """Return the costs of these jobs (one or more, all of one model), measured on this machine in about a second.

    The first of them, or the first stack, is trained for a few steps; what that takes for several numbers of epochs,
    steps and test images is taken apart by `fit`. Each scheme is run once, one that takes long only at its beginning.
    None where something fails: then the runs themselves will tell why.
    """
    config, task = jobs[0].config, tasks_of(jobs, stack)[0]
    schemes = {job.label: job.config for job in jobs}
    try:
        with torch_threads(config.train.threads):
            run_s, epoch_s, step_s, image_s, look_s = fit(list(_trials(_trial(task, dataset, clock), config, dataset)))
            init_s = {label: _init_s(one, dataset, clock) for label, one in schemes.items()}
    except (RuntimeError, MemoryError, UsageError):
        return None
    return Costs(run_s, epoch_s, step_s, image_s, look_s, init_s)


def fit(trials: Sequence[tuple[Work, float]]) -> list[float]:
    """Return seconds per run, epoch, step, test image and look, from trials (what was done, seconds).

    Least squares of the relative errors, no cost below 0 (Lawson & Hanson 1974, NNLS): the timing noise of a trial
    grows with its length.
    """
    import numpy as np
    from scipy.optimize import nnls

    seconds = np.array([max(took_s, 1e-9) for _, took_s in trials])
    counts = np.array([work.counts for work, _ in trials]) / seconds[:, None]  # [T,5]
    return [float(cost) for cost in nnls(counts, np.ones(len(trials)))[0]]


Timed = Callable[[Work], tuple[Work, float]]  # do this much, and return it with its seconds


def _trials(timed: Timed, config: Config, dataset: Dataset) -> Iterator[tuple[Work, float]]:
    """Yield a few short trainings and what they took, after one that is not counted."""
    most_steps = max(1, len(dataset.train_labels) // config.data.batch_size)
    most_images = len(dataset.test_labels)
    timed(Work(1, 1, 1))
    work, step_s = timed(Work(1, 1, 1))
    yield work, step_s
    images = _doubled(min(FIRST_IMAGES, most_images), most_images)
    yield from _until((timed(Work(1, 1, size)) for size in images), IMAGES_S)
    yield from _until((timed(Work(1, steps, 1)) for steps in _doubled(2, most_steps)), STEPS_S)
    if config.train.signals:
        yield timed(Work(1, 1, 1, looks=2))
    if step_s < LIMIT_S:
        yield timed(Work(3, 1, 1))


def _doubled(size: int, most: int) -> Iterator[int]:
    """Yield `size`, twice that, and so on, and `most` in the end; nothing where `size` is more than that."""
    while size < most:
        yield size
        size *= 2
    if size < 2 * most:
        yield most


def _until(trials: Iterator[tuple[Work, float]], enough_s: float) -> Iterator[tuple[Work, float]]:
    """Yield trials up to the first that takes so long."""
    for work, took_s in trials:
        yield work, took_s
        if took_s >= enough_s:
            return


def _trial(task: Task, dataset: Dataset, clock: Clock) -> Timed:
    """Return what trains the task's models: the same ones each time, as nobody looks at them."""
    device = torch.device(task[0].device)
    replicas = task if task[0].engine == "stacked" else task[:1]
    models = [build_model(job.config, dataset).to(device) for job in replicas]

    def timed(work: Work) -> tuple[Work, float]:
        configs = [_shortened(job.config, work) for job in replicas]
        subset = _subset(dataset, work.steps * configs[0].data.batch_size, work.images).on(device)
        started = clock()
        if task[0].engine == "stacked":
            train_stacked(models, subset, configs, lambda replica, row: None)
        else:
            train(models[0], subset, configs[0], lambda row: None, lambda row: None)
        return work, clock() - started

    return timed


def _shortened(config: Config, work: Work) -> Config:
    changes = {"epochs": work.epochs, "lr": SMALL_LR, "signals": int(work.looks > 0)}
    return config.model_copy(update={"train": config.train.model_copy(update=changes)})


def _subset(dataset: Dataset, train_size: int, test_size: int | None = None) -> Dataset:
    """Return the first so many training and test images (all test images where no number is given)."""
    return dataclasses.replace(
        dataset,
        train_images=dataset.train_images[:train_size],
        train_labels=dataset.train_labels[:train_size],
        test_images=dataset.test_images[:test_size],
        test_labels=dataset.test_labels[:test_size],
    )


class _Enough(Exception):  # noqa: N818 # no error: an initialization went on for long enough to tell how long it takes
    """Ends an initialization."""

    def __init__(self, expected_s: float) -> None:
        self.expected_s = expected_s


def _init_s(config: Config, dataset: Dataset, clock: Clock) -> float:
    """Return the expected seconds of one initialization, building the model included."""
    if parse(config.init.scheme).scheme.needs != "the training set":
        return _timed_init(config, dataset, clock)
    return _pretraining_s(
        lambda images: _timed_init(config, _subset(dataset, images), clock), len(dataset.train_labels)
    )


def _pretraining_s(timed: Callable[[int], float], images: int) -> float:
    """Return the seconds of a scheme that trains on all `images`: from two subsets, and the line through them.

    Its steps are no measure: the first layer's take longer than the others'.
    """
    size = first = min(FIRST_SAMPLES, images)
    took_s = first_s = timed(size)
    while size < images and (took_s < INIT_S or size == first):
        size = min(2 * size, images)
        took_s = timed(size)
    slope = max(0.0, took_s - first_s) / (size - first) if size > first else 0.0
    return took_s + slope * (images - size)


def _timed_init(config: Config, dataset: Dataset, clock: Clock) -> float:
    """Return the seconds of one initialization; of one that takes long, extrapolated from the steps it did so far."""
    started = clock()

    def report(step: InitStep) -> None:
        elapsed = clock() - started
        if elapsed >= STOPPED_S and 0 < step.done < step.total:
            raise _Enough(elapsed * step.total / step.done)

    try:
        initialize_model(build_model(config, dataset), config, dataset, report)
    except _Enough as enough:
        return enough.expected_s
    return clock() - started
