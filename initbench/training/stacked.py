"""The stacked training loop: replicas of one shape, each with its own seed, scheme and learning rate, step by step."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from initbench.config import Config
from initbench.data import Dataset
from initbench.layers import seed_dropout_of_stack
from initbench.results import Divergence, EpochRow
from initbench.training.epochs import epoch_order, learning_rate, mean_loss
from initbench.training.pixels import Pixels
from initbench.training.precision import check_precision, products_in, subnormals_flushed
from initbench.training.stack import Stack, build_stack, restore_stack, state_of
from initbench.training.stackable import unstackable
from initbench.training.state import TrainingState

__all__ = ["train_stacked", "try_step", "unstackable"]

WINDOW = 20  # steps whose logits are kept before their losses are computed, all at once
EVALUATED = 500  # images that are evaluated at once, for each replica


def train_stacked(
    models: Sequence[nn.Module],
    dataset: Dataset,
    configs: Sequence[Config],
    on_epoch: Callable[[int, EpochRow], None],
    *,
    start: TrainingState | None = None,
    on_state: Callable[[TrainingState], None] | None = None,
) -> list[Divergence | None]:
    """Train each of `models` on `dataset` as its config says, all together, as `train` does one by one.

    `on_epoch` gets the replica's place among the models and each of its rows; the outcome of each is returned in that
    order, None for one that did not diverge, and the models have their trained weights. An epoch's `seconds` are the
    wall time of all replicas' epoch divided by their number. `on_state` gets what the stack can go on from, before the
    first epoch and after each but the last; with it as `start`, and the models as they were built, it does, with the
    same bits.

    The numbers are those of `train` up to rounding. What the weights of the other replicas are, and whether they
    diverge, changes no bit of them: one that diverged is computed along, unseen. How many others there are, and which
    place a replica has among them, may change the last bits, as torch's kernels cut a longer tensor elsewhere.

    The models are on the dataset's device or on the CPU. The configs may differ in seed, init and train.lr; raises
    ValueError where anything else does, for signals, which are of one model, and StateError for the state of another
    stack. Raises DeviceError where the device has no products in the precision asked for. What vmap cannot map over
    raises: `unstackable` asks beforehand.
    """
    _check(models, configs)
    device = dataset.train_labels.device
    check_precision(configs[0].train.precision, device)
    by_rate = sorted(range(len(configs)), key=lambda place: configs[place].train.lr)
    ends = dict(start.ended) if start else {}
    with products_in(configs[0].train.precision, device), subnormals_flushed():
        stack = build_stack([models[place] for place in by_rate], dataset, [configs[place] for place in by_rate])
        if start:
            restore_stack(start, stack, models)
        elif on_state:
            on_state(state_of(0, stack, models, ends))
        for epoch in range(start.epoch + 1 if start else 1, configs[0].train.epochs + 1):
            outcomes = dict(zip(by_rate, enumerate(_epoch(stack, epoch)), strict=True))
            for place, (replica, outcome) in sorted(outcomes.items()):
                if place in ends:
                    continue
                if isinstance(outcome, EpochRow):
                    on_epoch(place, outcome)
                    continue
                ends[place] = outcome
                stack.replicas.hand_back(replica, models[place])
            if len(ends) == len(models):
                break
            if on_state and epoch < configs[0].train.epochs:
                on_state(state_of(epoch, stack, models, ends))
    for replica, place in enumerate(by_rate):
        if place not in ends:
            stack.replicas.hand_back(replica, models[place])
    return [ends.get(place) for place in range(len(models))]


def try_step(models: Sequence[nn.Module], dataset: Dataset, configs: Sequence[Config]) -> None:
    """Do what takes the most memory in `train_stacked` with these arguments, leaving the models as they are."""
    with products_in(configs[0].train.precision, dataset.train_labels.device), subnormals_flushed():
        stack = build_stack(models, dataset, configs)
        seed_dropout_of_stack(stack.replicas.network, stack.seeds, 1, stack.of_replica.device)
        orders = _orders(stack, 1)
        _steps(stack, orders[:, : WINDOW * stack.config.data.batch_size])
        _hits(stack, len(dataset.test_labels[:EVALUATED]))


def _check(models: Sequence[nn.Module], configs: Sequence[Config]) -> None:
    if not models or len(models) != len(configs):
        raise ValueError(f"got {len(models)} models and {len(configs)} configs, allowed: as many of both, 1 or more")
    if len({_shared(config).model_dump_json() for config in configs}) > 1:
        raise ValueError("the configs of a stack may differ in seed, init and train.lr, but differ in more")
    if configs[0].train.signals:
        raise ValueError("a stack of replicas records no signals; train.signals must be 0, or each model trained alone")


def _shared(config: Config) -> Config:
    """Return the config with a fixed value for what may differ between replicas."""
    plain = Config()
    train = config.train.model_copy(update={"lr": plain.train.lr})
    return config.model_copy(update={"seed": 0, "name": None, "init": plain.init, "train": train})


def _epoch(stack: Stack, epoch: int) -> list[EpochRow | Divergence]:
    """Train for one epoch and return the row of each replica, in the order of the stack."""
    started = time.perf_counter()
    seed_dropout_of_stack(stack.replicas.network, stack.seeds, epoch, stack.of_replica.device)
    orders = _orders(stack, epoch)
    images, test_images = orders.shape[1], len(stack.dataset.test_labels)
    losses, train_hits = _steps(stack, orders)
    astray = _first_steps_astray(losses, stack.replicas.finite()).tolist()
    columns = [mean_loss(losses, images, stack.config.data.batch_size), train_hits, _hits(stack, test_images)]
    rows = zip(*(column.tolist() for column in columns), strict=True)
    seconds = (time.perf_counter() - started) / len(stack.seeds)
    return [
        Divergence(epoch=epoch, step=step)
        if step
        else EpochRow(
            epoch=epoch,
            train_loss=loss,
            train_accuracy=train_hit / images,
            test_accuracy=test_hit / test_images,
            seconds=seconds,
        )
        for step, (loss, train_hit, test_hit) in zip(astray, rows, strict=True)
    ]


def _orders(stack: Stack, epoch: int) -> Tensor:
    """Return the indices of this epoch's images, in order, for each distinct seed [S, N], on the device."""
    images = len(stack.dataset.train_labels)
    of_seeds = [stack.config.model_copy(update={"seed": seed}) for seed in stack.distinct_seeds]
    orders = torch.stack([epoch_order(config, epoch, images) for config in of_seeds])
    return orders.to(stack.of_replica.device)


def _first_steps_astray(losses: Tensor, finite_weights: Tensor) -> Tensor:
    """Return for each replica [R] the first step (from 1) whose loss in losses [R, S] is not finite, 0 where none is.

    It is the last one where only the weights after it are not.
    """
    finite = losses.isfinite()
    first = finite.int().argmin(1) + 1
    of_weights = torch.where(finite_weights, 0, losses.shape[1])
    return torch.where(finite.all(1), of_weights, first)


def _steps(stack: Stack, orders: Tensor) -> tuple[Tensor, Tensor]:
    """Take one step per batch of orders [S, N]; return the losses [R, steps] and how many images each got right [R].

    Nothing is read back from the device.
    """
    stack.replicas.network.train()
    batch_size = stack.config.data.batch_size
    losses: list[Tensor] = []
    hits = torch.zeros(len(stack.seeds), dtype=torch.int64, device=orders.device)
    for of_window in torch.split(orders, WINDOW * batch_size, dim=1):
        steps = [_step(stack, index) for index in torch.split(of_window, batch_size, dim=1)]
        logits, labels = (torch.cat(of_steps, 1) for of_steps in zip(*steps, strict=True))  # [R, N, C], [R, N]
        hits += (logits.argmax(2) == labels).sum(1)
        each = cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(labels.shape)
        losses += [of_batch.mean(1) for of_batch in torch.split(each, batch_size, dim=1)]
    return torch.stack(losses, 1), hits


def _step(stack: Stack, index: Tensor) -> tuple[Tensor, Tensor]:
    """Take one step on the images at index [S, B]; return the logits [R, B, C] before it, and the labels [R, B]."""
    of_replicas = index.index_select(0, stack.of_replica)
    images = stack.pixels.at(of_replicas.flatten()).view(*of_replicas.shape, *stack.dataset.train_images.shape[1:])
    labels = stack.dataset.train_labels.index_select(0, of_replicas.flatten()).view(of_replicas.shape)
    logits = stack.replicas.logits(images)
    seen = logits.detach()
    with torch.no_grad():
        gradients = stack.replicas.gradients(logits, _loss_gradient(seen, labels))
        if stack.config.train.clip_norm is not None:
            gradients = clipped_each(gradients, stack.config.train.clip_norm)
        for same in stack.rates:
            rate = learning_rate(same.config, same.optimizer.steps, stack.steps)
            same.optimizer.step([gradient[same.which] for gradient in gradients], rate)
    return seen, labels


def _loss_gradient(logits: Tensor, labels: Tensor) -> Tensor:
    """Return d loss / d logits [R, B, C] of each replica's mean cross-entropy, (softmax(logits) - onehot(labels)) / B.

    The softmax runs over the middle axis of the transposed logits, where torch has the images side by side in a vector.
    """
    replicas, batch = labels.shape
    gradient = torch.softmax(logits.mT.contiguous(), 1)  # [R, C, B]
    gradient.scatter_add_(1, labels[:, None], gradient.new_full((1, 1, 1), -1.0).expand(replicas, 1, batch))
    return gradient.div_(batch).mT


def clipped_each(gradients: Sequence[Tensor], max_norm: float) -> list[Tensor]:
    """Return the gradients [R, ...] scaled so that the norm of each replica's, all together, is `max_norm` at most.

    Source: Pascanu et al. 2013, section 3.2.
    """
    norms = torch.stack([torch.linalg.vector_norm(gradient.flatten(1), dim=1) for gradient in gradients])  # [P, R]
    scale = (max_norm / (torch.linalg.vector_norm(norms, dim=0) + 1e-6)).clamp(max=1.0)
    return [gradient * scale.view(-1, *[1] * (gradient.dim() - 1)) for gradient in gradients]


def _hits(stack: Stack, images: int) -> Tensor:
    """Return how many of the first `images` test images each replica gets right [R]."""
    stack.replicas.network.eval()
    labels = stack.dataset.test_labels[:images]
    pixels = Pixels(stack.dataset.test_images[:images], stack.config.data.eval_scale)
    hits = torch.zeros(len(stack.seeds), dtype=torch.int64, device=labels.device)
    for first in range(0, images, EVALUATED):
        logits = stack.replicas.logits_of_all(pixels.between(first, first + EVALUATED))
        hits += (logits.argmax(2) == labels[first : first + EVALUATED]).sum(1)
    return hits
