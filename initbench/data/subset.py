"""Stratified subsets: of a given size, each class in proportion, drawn without replacement."""

from __future__ import annotations

from typing import TYPE_CHECKING

from initbench.data.dataset import Images
from initbench.seeds import stream

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def limited(images: Images, limit: int | None, name: str) -> Images:
    """Return at most `limit` training and at most `limit` test images of dataset `name`, the same ones each time."""
    if limit is None:
        return images
    train = stratified(images.train_labels, limit, generator=stream(0, "split", name))
    test = stratified(images.test_labels, limit, generator=stream(0, "split", name))
    return Images(
        images.train_images[train], images.train_labels[train], images.test_images[test], images.test_labels[test]
    )


def quotas(counts: Tensor, size: int) -> Tensor:
    """Return how many of `size` fall to each class: proportional to `counts`, exact in sum, ties to the lower class.

    Largest-remainder method (Hamilton): the floor of counts * size / total, then one more for the largest remainders.
    """
    total = int(counts.sum())
    quota = counts * size // total
    remainder = counts * size % total
    left = size - int(quota.sum())
    quota[remainder.argsort(descending=True, stable=True)[:left]] += 1
    return quota


def stratified(labels: Tensor, size: int, *, generator: torch.Generator) -> Tensor:
    """Return min(size, N) indices into `labels` [N], ascending, with the classes in proportion."""
    import torch

    if size >= len(labels):
        return torch.arange(len(labels))
    shuffled = torch.randperm(len(labels), generator=generator)
    grouped = shuffled[labels[shuffled].argsort(stable=True)]  # class by class, in drawn order within each
    counts = labels.bincount()
    starts = counts.cumsum(0) - counts
    rank = torch.arange(len(labels)) - starts.repeat_interleave(counts)  # [N] place within the class
    return grouped[rank < quotas(counts, size).repeat_interleave(counts)].sort().values
