"""One row for each kind of network that the models build, small; what holds for all of them is tested over it."""

from __future__ import annotations

from typing import Any

from torch import nn

from initbench.models import models

NETWORKS: dict[str, dict[str, Any]] = {
    "mlp": {"name": "mlp", "hidden": [8, 8], "norm": "layer", "dropout": 0.2},
    "residual mlp": {"name": "mlp", "hidden": {"width": 8, "depth": 5}, "residual": True, "norm": "batch"},
    "cnn": {"name": "cnn", "channels": [4, 8], "hidden": [16]},
    "plain cnn": {
        "name": "cnn", "channels": {"width": 4, "depth": 12}, "kernel": 3, "stride": [2, 2, 1], "pool": "none",
        "padding_mode": "circular", "activation": "tanh", "groups": 2, "norm": "batch", "readout": "mean", "hidden": [],
    },
    "rnn": {"name": "rnn", "hidden": 8},
    "gru": {"name": "rnn", "cell": "gru", "hidden": 8, "layers": 2},
    "lstm": {"name": "rnn", "cell": "lstm", "hidden": 8},
    "permuted rnn": {"name": "rnn", "hidden": 4, "input": "pixels", "permutation": 3, "activation": "relu"},
}  # fmt: skip


def build(name: str, image_shape: tuple[int, int, int] = (1, 28, 28), **options: Any) -> nn.Module:
    """Return the model with these options, for ten classes."""
    return models[name].build(models[name].options(**options), image_shape, 10)


def count(module: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in module.parameters())
