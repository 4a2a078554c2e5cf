"""Images as the network sees them: uint8 until used, then float32 in [0, scale]."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Pixels:
    """Turns images [B, C, H, W] uint8 into float32 in [0, scale], in memory that the next call takes again."""

    def __init__(self, images: Tensor, scale: float = 1.0) -> None:
        self._images = images
        self._scale = scale
        self._bytes = images[:0]
        self._floats = torch.empty(0)

    def at(self, index: Tensor) -> Tensor:
        """Return the images at `index` [B]."""
        self._fit(index.shape[0])
        return self._as_floats(torch.index_select(self._images, 0, index, out=self._bytes))

    def between(self, first: int, end: int) -> Tensor:
        """Return the images first, ..., end - 1."""
        chosen = self._images[first:end]
        self._fit(chosen.shape[0])
        return self._as_floats(chosen)

    def _fit(self, size: int) -> None:
        if self._floats.shape[0] != size:
            self._bytes = self._images.new_empty(size, *self._images.shape[1:])
            self._floats = self._images.new_empty(size, *self._images.shape[1:], dtype=torch.float32)

    def _as_floats(self, chosen: Tensor) -> Tensor:
        return self._floats.copy_(chosen).div_(255 / self._scale)


def accuracy(model: nn.Module, images: Tensor, labels: Tensor, scale: float = 1.0, chunk: int = 500) -> float:
    """Return the share of `images` [N, C, H, W] uint8 whose largest logit is at `labels` [N].

    The model is put into evaluation mode; the images go through in chunks, so that memory stays bounded.
    """
    model.eval()
    correct = torch.zeros((), dtype=torch.int64, device=labels.device)
    pixels = Pixels(images, scale)
    with torch.inference_mode():
        for first in range(0, len(labels), chunk):
            some = labels[first : first + chunk]
            correct += (model(pixels.between(first, first + chunk)).argmax(1) == some).sum()
    return int(correct) / len(labels)
