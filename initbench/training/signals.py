"""The signals in a network while it is trained: when they are measured, on which images, and where they go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from initbench import seeds
from initbench.config import Config
from initbench.data import Dataset
from initbench.results import SignalRow
from initbench.schemes.samples import Samples
from initbench.training.devices import seed_global_generator

IMAGES = 256  # of the training set: as many as `initbench inspect` sends through by default


Step = Callable[[nn.Parameter, Tensor], Tensor]  # what one optimizer step would add to a parameter with this gradient


class Record(Protocol):
    """What is told of the epochs that are over; `ended` where the training ends early, in this epoch."""

    def __call__(self, epoch: int, ended: bool = False) -> None:
        """Measure, where it is time to."""


def signal_recorder(
    model: nn.Module,
    step: Step,
    dataset: Dataset,
    config: Config,
    on_signals: Callable[[SignalRow], None] | None,
) -> Record:
    """Return the function that is told when the training begins (0), which epoch (from 1) is over, and of a divergence.

    It measures `model` on the same images each time and hands the row to `on_signals`, at 0, at every multiple of
    `train.signals`, and where training diverged; it does nothing where that is 0 or nobody listens. The model, its
    optimizer and the random streams stay as they are, so that no number of the run depends on it (torch's global
    generator, which a user's own module may draw from, is seeded here as it is for every epoch). Ratios of update to
    weight are those of `step`, what the optimizer would do next with a gradient that is not clipped. A module that
    cannot be measured gives rows that say why, and no error.
    """
    every = config.train.signals
    if every == 0 or on_signals is None:
        return lambda epoch, ended=False: None
    images, labels = fixed_batch(dataset, config.seed)

    def record(epoch: int, ended: bool = False) -> None:
        if ended or epoch % every == 0:
            seed_global_generator(seeds.derive(config.seed, "signals", "model", epoch), labels.device)
            on_signals(_measured(model, step, images, labels, epoch))

    return record


def fixed_batch(dataset: Dataset, seed: int, size: int = IMAGES) -> tuple[Tensor, Tensor]:
    """Return the training images [B, C, H, W], floats, and labels [B] that all signals of a seed are measured on.

    They are drawn from the stream (seed, "signals"): the same for every scheme and epoch; B is `size` at most.
    """
    order = torch.randperm(len(dataset.train_labels), generator=seeds.stream(seed, "signals"))
    index = order[:size].to(dataset.train_labels.device)
    return Samples(dataset.train_images).floats(index), dataset.train_labels[index]


def _measured(model: nn.Module, step: Step, images: Tensor, labels: Tensor, epoch: int) -> SignalRow:
    from initbench.signals.measure import measure

    try:
        found = measure(model, images, labels, step=step)
    except Exception as error:  # whatever a user's module raises when it is measured is no reason to end its training
        problem = str(error).partition("\n")[0] or type(error).__name__
        return SignalRow(epoch=epoch, problem=problem, layers=(), weights=())
    return SignalRow(epoch=epoch, layers=found.layers, weights=found.weights)
