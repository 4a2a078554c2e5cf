"""What schemes are tried on: a layer of every kind for a rule on one weight, small networks for one on a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from initbench import seeds
from initbench.models import models
from initbench.schemes.samples import Samples

# small, so that rules that train stay quick
CLASSES = 3
IMAGES = 24
IMAGE_SHAPE = 1, 4, 4  # C, H, W


@dataclass(frozen=True)
class Subject:
    """A layer or a network: its name, a function that builds it, and its activation."""

    name: str
    build: Callable[[], nn.Module]
    activation: str


def _layer(name: str, build: Callable[[], nn.Module], activation: str = "relu") -> Subject:
    return Subject(name, build, activation)


def _model(name: str, model: str, **options: Any) -> Subject:
    """Return a network of the registry, for images of IMAGE_SHAPE."""
    entry = models[model]
    validated = entry.options.model_validate(options)
    activation = getattr(validated, "activation", "relu")
    return Subject(name, lambda: entry.build(validated, IMAGE_SHAPE, CLASSES), activation)


LAYERS = (
    _layer("Linear 128->128", lambda: nn.Linear(128, 128)),
    _layer("Linear 256->64", lambda: nn.Linear(256, 64)),
    _layer("Linear 64->256", lambda: nn.Linear(64, 256)),
    _layer("Conv1d 16->32, 5", lambda: nn.Conv1d(16, 32, 5)),
    _layer("Conv2d 16->32, 3x3", lambda: nn.Conv2d(16, 32, 3)),
    _layer("Conv2d 32->16, 3x3", lambda: nn.Conv2d(32, 16, 3)),
    _layer("Conv3d 8->16, 3x3x3", lambda: nn.Conv3d(8, 16, 3)),
    _layer("Conv2d 32->64, 4 groups", lambda: nn.Conv2d(32, 64, 3, groups=4)),
    _layer("Conv2d 64, depthwise", lambda: nn.Conv2d(64, 64, 5, groups=64)),
    _layer("RNN 48->32", lambda: nn.RNN(48, 32), "tanh"),
    _layer("GRU 48->32", lambda: nn.GRU(48, 32), "tanh"),
    _layer("LSTM 48->32", lambda: nn.LSTM(48, 32), "tanh"),
)


def networks() -> tuple[Subject, ...]:
    """Return the small networks, built through the registry of models."""
    return (
        _model("MLP, relu", "mlp", hidden=[12, 8], activation="relu"),
        _model("MLP, sigmoid", "mlp", hidden=[12, 8], activation="sigmoid"),
        _model("residual MLP, relu", "mlp", hidden=[8] * 5, activation="relu", residual=True),
        _model("CNN, relu", "cnn", channels=[2, 4], kernel=3, hidden=[6], activation="relu"),
        _model("RNN, tanh", "rnn", cell="rnn", hidden=8),
        _model("GRU", "rnn", cell="gru", hidden=8),
        _model("LSTM", "rnn", cell="lstm", hidden=8),
    )


def samples(dtype: torch.dtype) -> Samples:
    """Return images [24, 1, 4, 4] in [0, 1] with their labels [24]: a random pattern for each class, and noise."""
    generator = seeds.stream(0, "init", "conformance", "images")
    labels = torch.arange(IMAGES) % CLASSES
    patterns = torch.rand((CLASSES, *IMAGE_SHAPE), generator=generator)
    noise = torch.rand((IMAGES, *IMAGE_SHAPE), generator=generator)
    return Samples((0.7 * patterns[labels] + 0.3 * noise).to(dtype), labels)
