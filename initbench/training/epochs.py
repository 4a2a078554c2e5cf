"""What an epoch is, whatever trains it: which images in which order, at which learning rate, and its mean loss."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from initbench import seeds
from initbench.config import Config, TrainConfig


def steps_per_epoch(images: int, batch_size: int, drop_last: bool) -> int:
    """Return the number of optimizer steps that an epoch over `images` takes."""
    return images // batch_size if drop_last else math.ceil(images / batch_size)


def epoch_order(config: Config, epoch: int, images: int) -> Tensor:
    """Return the indices of this epoch's images [N], in order; without the last, smaller batch where it is dropped.

    They come from the stream (seed, "order", epoch), which no scheme can shift.
    """
    order = torch.randperm(images, generator=seeds.stream(config.seed, "order", epoch))
    steps = steps_per_epoch(images, config.data.batch_size, config.data.drop_last)
    return order[: steps * config.data.batch_size]


def learning_rate(config: TrainConfig, step: int, steps: int) -> float:
    """Return the rate of the optimizer step `step` (from 0) of `steps` in the whole training.

    cosine: lr_t = lr (1 + cos(pi t / steps)) / 2 (Loshchilov & Hutter 2017, eq. 5, without restarts).
    """
    return config.lr * (1 + math.cos(math.pi * step / steps)) / 2 if config.schedule == "cosine" else config.lr


def mean_loss(losses: Tensor, images: int, batch_size: int) -> Tensor:
    """Return the mean loss per image [...] of the steps' mean losses [..., S], whose last batch may be smaller."""
    sizes = torch.full_like(losses, batch_size, dtype=torch.float64)
    sizes[..., -1] = images - batch_size * (losses.shape[-1] - 1)
    return (losses.double() * sizes).sum(-1) / images
