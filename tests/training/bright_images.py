"""A dataset, a config and a model that train in milliseconds."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from initbench import make_config
from initbench.config import Config
from initbench.data import Dataset
from initbench.initial import build_model, initialize_model


def initialized_model(settings: Config, data: Dataset) -> nn.Module:
    model = build_model(settings, data)
    initialize_model(model, settings, data)
    return model


def dataset(images: int = 230) -> Dataset:
    """Random images of 3 classes that differ in brightness, so that there is something to learn."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (images,), generator=generator)
    pixels = torch.randint(0, 100, (images, 1, 4, 4), generator=generator) + 70 * labels.view(-1, 1, 1, 1)
    pixels = pixels.to(torch.uint8)
    return Dataset("bright", None, 3, pixels, labels, pixels[:70], labels[:70], "0" * 64)


def config(**settings: Any) -> Config:
    overrides = [f"{key.replace('__', '.')}={value}" for key, value in settings.items()]
    return make_config({"model": {"hidden": [16]}, "data": {"batch_size": 50}, "train": {"epochs": 3}}, overrides)
