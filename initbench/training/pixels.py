"""Images as the network sees them: uint8 until used, then float32 in [0, scale]."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def to_float(images: Tensor, scale: float = 1.0) -> Tensor:
    """Return images [B, C, H, W] uint8 as float32 in [0, scale]."""
    return images.to(torch.float32).div_(255 / scale)


def accuracy(model: nn.Module, images: Tensor, labels: Tensor, scale: float = 1.0, chunk: int = 2_000) -> float:
    """Return the share of `images` [N, C, H, W] uint8 whose largest logit is at `labels` [N].

    The model is put into evaluation mode; the images go through in chunks, so that memory stays bounded.
    """
    model.eval()
    correct = torch.zeros((), dtype=torch.int64, device=labels.device)
    with torch.inference_mode():
        for some_images, some_labels in zip(torch.split(images, chunk), torch.split(labels, chunk), strict=True):
            correct += (model(to_float(some_images, scale)).argmax(1) == some_labels).sum()
    return int(correct) / len(labels)
