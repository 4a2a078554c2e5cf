"""The dataset that a task is trained on: read and verified, and moved to the task's device."""

from __future__ import annotations

from pathlib import Path

import torch

from initbench import data, events
from initbench.config import Config
from initbench.data import Dataset
from initbench.events import Emit

_moved: dict[tuple[str, str], Dataset] = {}  # the dataset in use where it is not on the CPU, by its SHA-256 and device


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


def on_device(dataset: Dataset, device: str) -> Dataset:
    """Return the dataset on `device`, moved there once a process."""
    if device == "cpu":
        return dataset
    key = dataset.sha256, device
    if key not in _moved:
        _moved.clear()
        _moved[key] = dataset.on(torch.device(device))
    return _moved[key]
