"""From configs to jobs: the data is loaded, every scheme tried on the model, every run given its identity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import torch
from torch import nn

import initbench
from initbench.config import Config
from initbench.errors import UsageError
from initbench.events import Emit
from initbench.models import models
from initbench.registry import source_revision
from initbench.results import SCHEMA_VERSION, DatasetInfo
from initbench.schemes import parse
from initbench.training.devices import resolve_device
from initbench.training.loop import steps_per_epoch
from initbench.work import Job, Places, initialized_model, load_dataset


def plan(configs: Mapping[str, Sequence[Config]], places: Places, emit: Emit) -> tuple[list[Job], int]:
    """Return the jobs for `configs` (label -> its configs, one a seed), seed by seed, and the parameter count.

    Every scheme is tried on the model first, so that one that does not fit is refused before any training.
    Raises DeviceError, DataError, SchemeError, and UsageError for batches that the data cannot fill.
    """
    base = next(iter(configs.values()))[0]
    device = resolve_device(base.device)
    dataset = load_dataset(base, places.data_dir, device, emit)
    _check_batches(base, dataset.info)
    models = [initialized_model(of_scheme[0], dataset) for of_scheme in configs.values()]
    _check_batch_norm(models[0], base, dataset.info)
    by_seed = zip(*([(label, one) for one in of_scheme] for label, of_scheme in configs.items()), strict=True)
    jobs = [
        Job(label, one, str(device), dataset.info, run_identity(one, dataset.info, device.type), places)
        for paired in by_seed
        for label, one in paired
    ]
    return jobs, sum(parameter.numel() for parameter in models[0].parameters())


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
            f" {config.data.batch_size} leaves here. Change data.batch_size or set data.drop_last=true."
        )


def run_identity(config: Config, dataset: DatasetInfo, device_type: str) -> str:
    """Return a run's id: the first 16 hex digits of the SHA-256 over everything that determines its numbers."""
    settings = config.to_dict()
    for without_effect in ("name", "device"):
        del settings[without_effect]
    del settings["data"]["fallback"]  # what it led to is in the dataset's hash
    determining = {
        "schema_version": SCHEMA_VERSION,
        "initbench": initbench.__version__,
        "torch": torch.__version__,
        "device": device_type,
        "dataset": [dataset.name, dataset.stand_in_for, dataset.sha256],
        "config": settings,
        "own_scheme": source_revision(parse(config.init.scheme).scheme.fill),
        "own_model": source_revision(models[config.model.name].build),
    }
    text = json.dumps(determining, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
