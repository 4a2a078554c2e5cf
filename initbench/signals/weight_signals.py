"""One weight at a time: what it was meant to be, what it is, and what the gradient and the optimizer make of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from initbench.results import WeightSignal
from initbench.schemes import SchemeSpec
from initbench.schemes.fans import fans
from initbench.schemes.gains import gain_value
from initbench.schemes.weights import Weight
from initbench.signals.statistics import Scaled, symmetry

Step = Callable[[nn.Parameter, Tensor], Tensor]  # what one optimizer step would add to a parameter with this gradient


def described(weight: Weight, spec: SchemeSpec | None, activation: str | None) -> dict[str, Any]:
    """Return the fields of a WeightSignal that do not need a gradient; `spec` is what filled the weight, if known."""
    moments = Scaled(weight.tensor)
    fan_in, fan_out = fans(weight.shape)
    of_scheme = spec if spec is not None and spec.scheme.level == "weight" else None
    return {
        "name": weight.name,
        "shape": weight.shape,
        "scheme": None if spec is None else spec.label,
        "formula": None if spec is None else spec.scheme.formula,
        "fan_in": fan_in,
        "fan_out": fan_out,
        "gain": None if of_scheme is None else _gain(of_scheme.resolved(activation)),
        "target_std": None if of_scheme is None else of_scheme.std(weight.shape, activation, weight.groups),
        "mean": moments.mean,
        "std": moments.std,
        "finite": moments.finite,
        "symmetry": symmetry(_incoming(weight)),
    }


def _gain(params: Mapping[str, Any]) -> float | None:
    return None if params.get("gain") is None else float(gain_value(params["gain"]))


def _incoming(weight: Weight) -> Tensor:
    """Return what each unit is computed with, a row a unit: its weights, and its bias where it has one of its own."""
    rows = weight.tensor.flatten(1)
    bias = getattr(weight.owner, "bias", None)
    if isinstance(bias, Tensor) and bias.shape == rows.shape[:1] and weight.name.endswith("weight"):
        return torch.cat([rows, bias.detach().unsqueeze(1).to(rows)], dim=1)
    return rows


NO_GRADIENT: dict[str, Any] = {
    "used": False,
    "grad_norm": None,
    "grad_std": None,
    "grad_symmetry": None,
    "grad_column_symmetry": None,
    "update_ratio": None,
}


def of_gradient(weight: Weight, gradient: Tensor, update: Tensor | None) -> dict[str, Any]:
    """Return the fields of a WeightSignal that are about the gradient [out, in, *kernel] and the first update."""
    moments = Scaled(gradient)
    return {
        "used": True,
        "grad_norm": moments.norm,
        "grad_std": moments.std,
        "grad_symmetry": symmetry(gradient),
        "grad_column_symmetry": symmetry(gradient.transpose(0, 1)),
        "update_ratio": None if update is None else _ratio(Scaled(update).norm, Scaled(weight.tensor).norm),
    }


def _ratio(above: float | None, below: float | None) -> float | None:
    if above is None or not below:
        return None
    ratio = above / below
    return ratio if math.isfinite(ratio) else None


def signals(facts: Mapping[str, Mapping[str, Any]], gradients: Mapping[str, Mapping[str, Any]]) -> list[WeightSignal]:
    """Return the records of the weights in `facts`; those that no gradient has reached are not used."""
    return [WeightSignal(**of_one, **gradients.get(name, NO_GRADIENT)) for name, of_one in facts.items()]
