"""Mean-field theory beside the measurement: what a plain stack of Linear layers should do, from its weights' stds.

The theory (initbench.mean_field) is about independent weights around 0 in wide layers. What it is told of the network
is the std of each weight (by the scheme's formula, where there is one, else as measured), the biases' root mean
square, the widths, the activations and the mean squares of the inputs.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import numpy as np
from torch import Tensor, nn

from initbench.activations import MODULES
from initbench.errors import SchemeError
from initbench.layers import SeededDropout
from initbench.mean_field import (
    CURVES,
    TRAINABLE_DEPTH_SCALES,
    Dense,
    critical_point,
    phase_point,
    propagate,
    slope_moment,
)
from initbench.mean_field.variance import HOMOGENEOUS
from initbench.results import LayerSignal, LayerTheory, NetworkTheory, WeightSignal
from initbench.schemes.stack import StackLayer, stack
from initbench.signals.statistics import Scaled

NEUTRAL = (nn.Sequential, nn.Flatten, nn.Identity, nn.Dropout, nn.AlphaDropout, SeededDropout)  # in evaluation
AROUND_ZERO = 5.0  # standard errors that a mean may be away from 0


class NoTheoryError(Exception):
    """Why there is no theory for this network."""


def beside(
    model: nn.Module, images: Tensor, layers: Sequence[LayerSignal], weights: Sequence[WeightSignal]
) -> tuple[tuple[LayerSignal, ...], NetworkTheory]:
    """Return the layers with what theory predicts of each, and the theory of the network.

    Raises NoTheoryError where the network is none that the theory is about.
    """
    dense = _dense(_stack(model), layers, weights)
    q_inputs = images.flatten(1).double().square().mean(1).cpu().numpy()
    if not np.isfinite(q_inputs).all():
        raise NoTheoryError("the input is not finite")
    predicted = propagate(dense, q_inputs)
    theories: list[LayerTheory | None] = []
    delta = layers[-1].delta_rms
    for index in reversed(range(len(layers))):
        of_layer = predicted[index]
        if of_layer.backward is not None and delta is not None:
            delta *= math.sqrt(of_layer.backward)
        theories.append(
            LayerTheory(
                pre_rms=math.sqrt(of_layer.q),
                pre_rms_error=of_layer.q_error / (2 * math.sqrt(of_layer.q)) if of_layer.q else 0.0,
                backward=of_layer.backward,
                delta_rms=delta if delta is None or math.isfinite(delta) else None,
            )
            if math.isfinite(of_layer.q) and math.isfinite(of_layer.q_error)
            else None
        )
    placed = [layer.model_copy(update={"theory": theory}) for layer, theory in zip(layers, theories[::-1], strict=True)]
    return tuple(placed), _network(dense)


def _stack(model: nn.Module) -> list[StackLayer]:
    try:
        found = stack(model)
    except SchemeError as error:
        raise NoTheoryError(str(error).removesuffix(" Choose another scheme or another model.")) from None
    activations = 0
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            activations = 0
        elif type(module).__name__ in MODULES.values() and not isinstance(module, nn.Identity):
            activations += 1
        elif not isinstance(module, NEUTRAL):
            raise NoTheoryError(
                f"it is for plain stacks of Linear layers, but {name} is of class {type(module).__name__}."
            )
        if activations > 1:
            raise NoTheoryError(f"{name} is a second activation behind the same layer.")
    return found


def _dense(found: Sequence[StackLayer], layers: Sequence[LayerSignal], weights: Sequence[WeightSignal]) -> list[Dense]:
    if [layer.name for layer in layers] != [one.name for one in found]:
        raise NoTheoryError("its layers are not used one after the other, each once.")
    return [_layer(one, signal, weight) for one, signal, weight in zip(found, layers, weights, strict=True)]


def _layer(one: StackLayer, signal: LayerSignal, weight: WeightSignal) -> Dense:
    activation = signal.activation or "linear"
    if activation not in CURVES:
        raise NoTheoryError(f"there is no theory here for the activation {activation}.")
    if weight.mean is None or weight.std is None:
        raise NoTheoryError(f"{weight.name} is not finite, or is a single number.")
    if abs(weight.mean) > AROUND_ZERO * weight.std / math.sqrt(math.prod(weight.shape)):
        raise NoTheoryError(f"{weight.name} is not drawn independently around 0.")
    std = weight.std if weight.target_std is None else weight.target_std
    return Dense(std * math.sqrt(weight.fan_in), _bias_rms(one), weight.fan_in, signal.units, activation)


def _bias_rms(one: StackLayer) -> float:
    if one.module.bias is None:
        return 0.0
    bias = Scaled(one.module.bias.detach())
    if bias.rms is None or bias.mean is None:
        raise NoTheoryError(f"the bias of {one.name} is not finite.")
    if bias.std is not None and abs(bias.mean) > AROUND_ZERO * bias.std / math.sqrt(bias.shape[0]):
        raise NoTheoryError(f"the bias of {one.name} is not drawn around 0.")
    return bias.rms


def _network(dense: Sequence[Dense]) -> NetworkTheory:
    """Return the theory of an endless network of layers like the hidden ones; the first, if there are others, apart."""
    hidden = dense[1:-1] or dense[:1]
    activations = {layer.activation for layer in hidden}
    if len(activations) > 1:
        raise NoTheoryError(f"its hidden layers have different activations: {', '.join(sorted(activations))}.")
    activation = activations.pop()
    sigma_w = statistics.median(layer.sigma_w for layer in hidden)
    sigma_b = statistics.median(layer.sigma_b for layer in hidden)
    point = phase_point(activation, sigma_w, sigma_b)
    endless = math.isinf(point.depth_scale)
    return NetworkTheory(
        activation=activation,
        sigma_w=sigma_w,
        sigma_b=sigma_b,
        q=point.q if math.isfinite(point.q) else None,
        chi1=point.chi1,
        phase=point.phase,
        depth_scale=None if endless else point.depth_scale,
        trainable_depth=None if endless else TRAINABLE_DEPTH_SCALES * point.depth_scale,
        critical_sigma_w=_critical_sigma_w(activation, sigma_b),
    )


def _critical_sigma_w(activation: str, sigma_b: float) -> float | None:
    if activation in HOMOGENEOUS:  # chi1 does not depend on q, nor q's fixed point on anything else
        return 1 / math.sqrt(slope_moment(activation, 1.0))
    try:
        return critical_point(activation, sigma_b=sigma_b).sigma_w
    except SchemeError:
        return None
