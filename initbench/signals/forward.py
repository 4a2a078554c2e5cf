"""The way forward: every layer's statistics, taken when its activations are there; nothing is kept for a way back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from initbench.errors import UsageError
from initbench.signals import statistics
from initbench.signals.misfits import misfits
from initbench.signals.trace import Use, batch_first, by_unit, watched


def forward(model: nn.Module, images: Tensor) -> dict[str, dict[str, Any]]:
    """Return the statistics of each use of a layer, by its name; nothing is kept for a way back."""
    seen = _Statistics(len(images))
    with torch.no_grad(), watched(model, seen), misfits():
        model(images)
    if not seen.rows:
        raise UsageError(f"the forward pass of this {type(model).__name__} uses no layer with a weight.")
    return dict(sorted(seen.rows.items(), key=lambda item: seen.places[item[0]]))


class _Statistics:
    """Takes the statistics of every row, by the name of the use."""

    def __init__(self, samples: int) -> None:
        self.samples = samples
        self.rows: dict[str, dict[str, Any]] = {}
        self.places: dict[str, int] = {}
        self._pre: dict[str, Any] = {"pre_mean": None, "pre_std": None, "pre_rms": None}

    def pre_activation(self, use: Use, value: Tensor) -> None:
        """Take the moments of the pre-activations."""
        moments = statistics.Scaled(value)
        self.rows[use.name] = {"pre_mean": moments.mean, "pre_std": moments.std, "pre_rms": moments.rms}

    def activation(self, use: Use, value: Tensor) -> None:
        """Take the statistics of the activations."""
        value = batch_first(value, self.samples)
        moments, units = statistics.Scaled(value), by_unit(value, use.owner)
        ranked = min(len(value), statistics.RANK_SAMPLES)
        self.places[use.name] = use.place
        self.rows[use.name] = {
            **self._pre,
            **self.rows.get(use.name, {}),
            "name": use.name,
            "kind": use.kind,
            "activation": use.activation,
            "units": units.shape[1],
            "step": use.step,
            "values": value[0].numel(),
            "finite": moments.finite,
            "mean": moments.mean,
            "std": moments.std,
            "sample_std": statistics.sample_std(moments),
            "saturated": statistics.saturated(value, use.activation) if moments.finite == 1 else None,
            "dead": self._dead(use, units) if moments.finite == 1 else None,
            "effective_rank": statistics.effective_rank(moments),
            "max_rank": min(ranked - 1, value[0].numel()) if ranked > 1 else None,
            "histogram": statistics.histogram(value, moments),
        }

    def sequence(self, uses: list[Use], value: Tensor) -> Tensor:
        """Return what was given."""
        return value

    def _dead(self, use: Use, units: Tensor) -> float | None:
        return statistics.dead(units, use.activation) if self.samples >= statistics.DEAD_SAMPLES else None
