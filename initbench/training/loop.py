"""The sequential training loop: one model, epoch by epoch, everything in memory on one device."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from initbench import seeds
from initbench.config import Config
from initbench.data import Dataset
from initbench.layers import seed_dropout
from initbench.results import Divergence, EpochRow, SignalRow
from initbench.training.devices import seed_global_generator
from initbench.training.optimizers import build_optimizer, build_schedule
from initbench.training.pixels import accuracy, to_float
from initbench.training.signals import signal_recorder


@dataclass(frozen=True)
class _Trainee:
    """Everything that one step touches."""

    model: nn.Module
    parameters: list[nn.Parameter]
    optimizer: Optimizer
    schedule: LRScheduler | None
    clip_norm: float | None


def steps_per_epoch(images: int, batch_size: int, drop_last: bool) -> int:
    """Return the number of optimizer steps that an epoch over `images` takes."""
    return images // batch_size if drop_last else math.ceil(images / batch_size)


def train(
    model: nn.Module,
    dataset: Dataset,
    config: Config,
    on_epoch: Callable[[EpochRow], None],
    on_signals: Callable[[SignalRow], None] | None = None,
) -> Divergence | None:
    """Train `model` on `dataset` (both on one device) as `config` says; call `on_epoch` with each epoch's row.

    The order of the images comes from the stream (seed, "order", epoch), which no scheme can shift. A loss or a weight
    that is not finite ends the training after the epoch it occurs in, which then has no row: where is returned.
    `on_signals` gets what the network looks like before the first and after every `train.signals` epochs, and where it
    diverged.
    """
    trainee = _trainee(model, config, len(dataset.train_labels))
    record = signal_recorder(model, trainee.optimizer, dataset, config, on_signals)
    device = dataset.train_labels.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        record(0)
        for epoch in range(1, config.train.epochs + 1):
            seed_global_generator(seeds.derive(config.seed, "model", epoch), device)
            row = _epoch(trainee, dataset, config, epoch)
            if isinstance(row, Divergence):
                record(epoch, ended=True)
                return row
            on_epoch(row)
            record(epoch)
    return None


@functools.cache
def warm_up() -> None:
    """Import what torch imports at the first step of an optimizer, seconds that belong to no run."""
    parameter = nn.Parameter(torch.zeros(1))
    parameter.grad = torch.zeros(1)
    Adam([parameter], fused=True).step()


def _trainee(model: nn.Module, config: Config, images: int) -> _Trainee:
    parameters = list(model.parameters())
    optimizer = build_optimizer(config.train, parameters)
    steps = config.train.epochs * steps_per_epoch(images, config.data.batch_size, config.data.drop_last)
    return _Trainee(
        model, parameters, optimizer, build_schedule(config.train, optimizer, steps), config.train.clip_norm
    )


def _epoch(trainee: _Trainee, dataset: Dataset, config: Config, epoch: int) -> EpochRow | Divergence:
    started = time.perf_counter()
    order = _order(config, epoch, len(dataset.train_labels)).to(dataset.train_labels.device)
    seed_dropout(trainee.model, config.seed, epoch, order.device)
    losses, logits = _steps(trainee, dataset, order, config.data.batch_size)
    if (step := _first_step_astray(trainee, losses)) is not None:
        return Divergence(epoch=epoch, step=step)
    return EpochRow(
        epoch=epoch,
        train_loss=_mean_loss(losses, len(order), config.data.batch_size),
        train_accuracy=float((logits.argmax(1) == dataset.train_labels[order]).double().mean()),
        test_accuracy=accuracy(trainee.model, dataset.test_images, dataset.test_labels, config.data.eval_scale),
        seconds=time.perf_counter() - started,
    )


def _first_step_astray(trainee: _Trainee, losses: Tensor) -> int | None:
    """Return the first step (from 1) whose loss is not finite; the last one where only the weights after it are not."""
    finite = losses.isfinite()
    if not finite.all():
        return int(finite.int().argmin()) + 1
    weights_finite = all(bool(parameter.isfinite().all()) for parameter in trainee.parameters)
    return None if weights_finite else len(losses)


def _order(config: Config, epoch: int, images: int) -> Tensor:
    """Return the indices of this epoch's images [N], in order; without the last, smaller batch where it is dropped."""
    order = torch.randperm(images, generator=seeds.stream(config.seed, "order", epoch))
    steps = steps_per_epoch(images, config.data.batch_size, config.data.drop_last)
    return order[: steps * config.data.batch_size]


def _steps(trainee: _Trainee, dataset: Dataset, order: Tensor, batch_size: int) -> tuple[Tensor, Tensor]:
    """Take one optimizer step per batch; return the loss of each step [S] and the logits of each image seen [N, C].

    Nothing is read back from the device within the epoch: finite losses and accuracy are looked at once, after it.
    """
    trainee.model.train()
    batches = torch.split(order, batch_size)
    losses = torch.empty(len(batches), device=order.device)
    logits = torch.empty(len(order), dataset.classes, device=order.device)
    for step, (index, seen) in enumerate(zip(batches, torch.split(logits, batch_size), strict=True)):
        images = to_float(dataset.train_images.index_select(0, index))
        losses[step] = _step(trainee, images, dataset.train_labels.index_select(0, index), seen)
    return losses, logits


def _step(trainee: _Trainee, images: Tensor, labels: Tensor, seen: Tensor) -> Tensor:
    """Take one step on images [B, C, H, W] and labels [B]; write the logits to `seen` [B, C] and return the loss."""
    logits = trainee.model(images)
    loss = cross_entropy(logits, labels)
    for parameter in trainee.parameters:
        parameter.grad = None
    torch.autograd.backward(loss)
    if trainee.clip_norm is not None:
        clip_grad_norm_(trainee.parameters, trainee.clip_norm)
    trainee.optimizer.step()
    if trainee.schedule is not None:
        trainee.schedule.step()
    seen.copy_(logits.detach())
    return loss.detach()


def _mean_loss(losses: Tensor, images: int, batch_size: int) -> float:
    """Return the mean loss per image; the last batch may be smaller than `batch_size`."""
    sizes = torch.full_like(losses, batch_size, dtype=torch.float64)
    sizes[-1] = images - batch_size * (len(losses) - 1)
    return float((losses.double() * sizes).sum() / images)
