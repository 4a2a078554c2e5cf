"""The sequential training loop: one model, epoch by epoch, everything in memory on one device."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from initbench import seeds
from initbench.config import Config
from initbench.data import Dataset
from initbench.layers import seed_dropout
from initbench.results import Divergence, EpochRow, SignalRow
from initbench.training.backprop import Backprop
from initbench.training.devices import seed_global_generator
from initbench.training.epochs import epoch_order, learning_rate, mean_loss, steps_per_epoch
from initbench.training.optimizers import Optimizer, build_optimizer, clipped, dense
from initbench.training.pixels import Pixels, accuracy
from initbench.training.precision import check_precision, products_in, subnormals_flushed
from initbench.training.signals import signal_recorder
from initbench.training.state import TrainingState, model_tensors, optimizer_tensors, restore, tensors_of


@dataclass(frozen=True)
class _Trainee:
    """Everything that one step touches."""

    model: nn.Module
    backprop: Backprop
    optimizer: Optimizer
    config: Config
    pixels: Pixels
    labels: Tensor  # [N], of the training images
    classes: int

    steps: int  # in the whole training

    def next_rate(self) -> float:
        """Return the learning rate of the step that comes next."""
        return learning_rate(self.config.train, self.optimizer.steps, self.steps)

    def trial_step(self, parameter: nn.Parameter, gradient: Tensor) -> Tensor:
        """Return the change that the next step would make to `parameter` with this gradient, and change nothing."""
        places = {id(one): index for index, one in enumerate(self.backprop.parameters)}
        return self.optimizer.trial(places[id(parameter)], gradient, self.next_rate())

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that training changes, by the names it has in a state."""
        return model_tensors(tensors_of(self.model)) | optimizer_tensors([self.optimizer])

    def state(self, epoch: int) -> TrainingState:
        """Return what training goes on from after this epoch: this memory itself, no copy."""
        return TrainingState(epoch, self.optimizer.steps, self.tensors())


def train(
    model: nn.Module,
    dataset: Dataset,
    config: Config,
    on_epoch: Callable[[EpochRow], None],
    on_signals: Callable[[SignalRow], None] | None = None,
    *,
    start: TrainingState | None = None,
    on_state: Callable[[TrainingState], None] | None = None,
) -> Divergence | None:
    """Train `model` on `dataset` (both on one device) as `config` says; call `on_epoch` with each epoch's row.

    The order of the images comes from the stream (seed, "order", epoch), which no scheme can shift. A loss or a weight
    that is not finite ends the training after the epoch it occurs in, which then has no row: where is returned.
    `on_signals` gets what the network looks like before the first and after every `train.signals` epochs, and where it
    diverged. Numbers too small for a normal float32 count as 0.

    `on_state` gets what training can go on from, before the first epoch and after each but the last, when all rows of
    that epoch are told.
    With it as `start`, and the model as it was built, training goes on there with the same bits. Raises StateError for
    the state of another training, and DeviceError where the device has no products in the precision asked for.
    """
    device = dataset.train_labels.device
    check_precision(config.train.precision, device)
    trainee = _trainee(model, dataset, config)
    record = signal_recorder(model, trainee.trial_step, dataset, config, on_signals)
    with (
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        products_in(config.train.precision, device),
        subnormals_flushed(),
    ):
        if start is None:
            record(0)
            if on_state:
                on_state(trainee.state(0))
        else:
            restore(start, trainee.tensors(), [trainee.optimizer], trainee.steps // config.train.epochs)
        for epoch in range(start.epoch + 1 if start else 1, config.train.epochs + 1):
            seed_global_generator(seeds.derive(config.seed, "model", epoch), device)
            row = _epoch(trainee, dataset, epoch)
            if isinstance(row, Divergence):
                record(epoch, ended=True)
                return row
            on_epoch(row)
            record(epoch)
            if on_state and epoch < config.train.epochs:
                on_state(trainee.state(epoch))
    return None


def _trainee(model: nn.Module, dataset: Dataset, config: Config) -> _Trainee:
    for parameter in model.parameters():
        parameter.data = dense(parameter.data)
    backprop = Backprop(model, config.train.precision, dataset.train_labels.device.type)
    return _Trainee(
        model,
        backprop,
        build_optimizer(config.train, backprop.parameters),
        config,
        Pixels(dataset.train_images),
        dataset.train_labels,
        dataset.classes,
        config.train.epochs * steps_per_epoch(len(dataset.train_labels), config.data.batch_size, config.data.drop_last),
    )


def _epoch(trainee: _Trainee, dataset: Dataset, epoch: int) -> EpochRow | Divergence:
    started = time.perf_counter()
    config = trainee.config
    order = epoch_order(config, epoch, len(trainee.labels)).to(trainee.labels.device)
    labels = trainee.labels[order]
    seed_dropout(trainee.model, config.seed, epoch, order.device)
    logits = _steps(trainee, order, labels)
    losses = _losses(logits, labels, config.data.batch_size)
    if (step := _first_step_astray(trainee, losses)) is not None:
        return Divergence(epoch=epoch, step=step)
    return EpochRow(
        epoch=epoch,
        train_loss=float(mean_loss(losses, len(order), config.data.batch_size)),
        train_accuracy=float((logits.max(0).indices == labels).double().mean()),
        test_accuracy=accuracy(trainee.model, dataset.test_images, dataset.test_labels, config.data.eval_scale),
        seconds=time.perf_counter() - started,
    )


def _first_step_astray(trainee: _Trainee, losses: Tensor) -> int | None:
    """Return the first step (from 1) whose loss is not finite; the last one where only the weights after it are not."""
    finite = losses.isfinite()
    if not finite.all():
        return int(finite.int().argmin()) + 1
    weights_finite = all(bool(parameter.isfinite().all()) for parameter in trainee.optimizer.parameters)
    return None if weights_finite else len(losses)


def _steps(trainee: _Trainee, order: Tensor, labels: Tensor) -> Tensor:
    """Take one optimizer step per batch; return the logits of each image [C, N], as they were when it was seen.

    Nothing is read back from the device within the epoch: losses and accuracy are looked at once, after it. The classes
    are the first axis, as torch computes a softmax over it with the images side by side in a vector.
    """
    trainee.model.train()
    batch_size, clip_norm = trainee.config.data.batch_size, trainee.config.train.clip_norm
    backprop, seen = trainee.backprop, []
    minus_one = torch.full((1, batch_size), -1.0, device=order.device)
    with backprop.mode():
        for index, of_batch in zip(
            torch.split(order, batch_size), torch.split(labels[None], batch_size, 1), strict=True
        ):
            logits = backprop.forward(trainee.pixels.at(index)).t().clone(memory_format=torch.contiguous_format)
            backprop.backward(_loss_gradient(logits, of_batch, minus_one))
            gradients = backprop.gradients
            if clip_norm is not None:
                gradients = clipped(gradients, clip_norm)
            trainee.optimizer.step(gradients, trainee.next_rate())
            seen.append(logits)
        return torch.cat(seen, 1)


def _loss_gradient(logits: Tensor, labels: Tensor, minus_one: Tensor) -> Tensor:
    """Return d loss / d logits [B, C] of the mean cross-entropy, (softmax(logits) - onehot(labels)) / B.

    `logits` are [C, B], `labels` and `minus_one` (-1 for each image) [1, B].
    """
    gradient = torch.softmax(logits, 0)
    return gradient.scatter_add_(0, labels, minus_one[:, : labels.shape[1]]).div_(labels.shape[1]).t()


def _losses(logits: Tensor, labels: Tensor, batch_size: int) -> Tensor:
    """Return the mean loss of each step [S] from the logits [C, N] and labels [N] of the images, in their order."""
    each = torch.log_softmax(logits, 0).gather(0, labels[None])[0].neg()
    full = len(each) // batch_size * batch_size
    whole, rest = each[:full].view(-1, batch_size).mean(1), each[full:]
    return torch.cat([whole, rest.mean()[None]]) if len(rest) else whole
