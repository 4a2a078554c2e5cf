"""From configs to jobs: the data is loaded, every scheme tried on the model, every run given its identity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from initbench.config import Config
from initbench.data import Dataset
from initbench.errors import UsageError
from initbench.events import Emit
from initbench.identity import identity_of
from initbench.initial import tried_model
from initbench.results import DatasetInfo
from initbench.training.devices import resolve_device
from initbench.training.epochs import steps_per_epoch
from initbench.training.precision import check_precision
from initbench.training.stack_size import largest_stack, memory_trial
from initbench.training.stackable import unstackable
from initbench.work import Engine, Job, load_dataset


@dataclass(frozen=True)
class Plan:
    """The jobs, seed by seed, what they are trained on (on the CPU), and how many parameters their model has.

    At most `stack` of them fit the device as the replicas of one stack.
    """

    jobs: list[Job]
    dataset: Dataset
    parameters: int
    stack: int


def plan(configs: Mapping[str, Sequence[Config]], data_dir: Path | None, emit: Emit) -> Plan:
    """Return the jobs for `configs` (label -> its configs, one a seed).

    Every scheme is tried on the model first, so that one that does not fit is refused before any training.
    Raises DeviceError, DataError, SchemeError, and UsageError for batches that the data cannot fill and for a model
    that cannot be stacked where that is asked for.
    """
    base = next(iter(configs.values()))[0]
    device = resolve_device(base.device)
    check_precision(base.train.precision, device)
    dataset = load_dataset(base, data_dir, emit)
    _check_batches(base, dataset.info)
    models_tried = [tried_model(of_scheme[0], dataset).to(device) for of_scheme in configs.values()]
    for model in models_tried:
        _check_batch_norm(model, base, dataset.info)
    engine = _engine(base, models_tried[0], dataset, device)
    by_seed = zip(*([(label, one) for one in of_scheme] for label, of_scheme in configs.items()), strict=True)
    jobs = [
        Job(label, one, str(device), engine, dataset.info, identity_of(one, dataset.info, device.type, engine))
        for paired in by_seed
        for label, one in paired
    ]
    _check_distinct(jobs)
    stack = 1 if engine == "sequential" else _stack(base, models_tried[0], dataset.on(device), len(jobs))
    return Plan(jobs, dataset, sum(parameter.numel() for parameter in models_tried[0].parameters()), stack)


def _stack(config: Config, model: nn.Module, dataset: Dataset, replicas: int) -> int:
    """Return how many of `replicas` fit the device at a time; 1 where not even one does, which its run will tell."""
    try:
        return largest_stack(replicas, memory_trial(model, dataset, config))
    except torch.OutOfMemoryError:
        return 1


def _engine(config: Config, model: nn.Module, dataset: Dataset, device: torch.device) -> Engine:
    """Return what `train.engine` means for this model here; raises UsageError where it is asked for and cannot be."""
    asked = config.train.engine
    if asked == "sequential" or (asked == "auto" and device.type == "cpu"):
        return "sequential"
    problem = (
        "signals are recorded of single models (train.signals)"
        if config.train.signals
        else unstackable(model, dataset.train_images.shape[1:])
    )
    if problem and asked == "stacked":
        raise UsageError(f"train.engine stacked: {problem}. Use train.engine=sequential.")
    return "sequential" if problem else "stacked"


def _check_distinct(jobs: Sequence[Job]) -> None:
    """Raise UsageError where two schemes are the same on this model, as he and he:gain=auto are with ReLU."""
    labels: dict[str, str] = {}
    for job in jobs:
        twin = labels.setdefault(job.run_id, job.label)
        if twin != job.label:
            raise UsageError(f"schemes {twin!r} and {job.label!r} are the same on this model; name one of them.")


def _check_batches(config: Config, dataset: DatasetInfo) -> None:
    if steps_per_epoch(dataset.train_size, config.data.batch_size, config.data.drop_last) == 0:
        raise UsageError(
            f"data.batch_size {config.data.batch_size} with data.drop_last leaves no batch of the"
            f" {dataset.train_size} training images. Lower data.batch_size, raise data.limit, or set"
            " data.drop_last=false."
        )


def _check_batch_norm(model: nn.Module, config: Config, dataset: DatasetInfo) -> None:
    last = dataset.train_size % config.data.batch_size
    single = config.data.batch_size == 1 or (last == 1 and not config.data.drop_last)
    if single and any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in model.modules()):
        raise UsageError(
            "batch normalization cannot be trained on a batch of one image, which data.batch_size"
            f" {config.data.batch_size} leaves here. Choose another data.batch_size."
        )
