"""Apply a scheme to a module: the scheme to all of it, or to each layer the one that is chosen for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from initbench.errors import SchemeError, UsageError
from initbench.events import InitStep
from initbench.schemes.filling import Bias, check_claim_to_fit, check_fits, fill, fill_bias, guarded, streams
from initbench.schemes.samples import Samples
from initbench.schemes.spec import SchemeSpec, parse
from initbench.schemes.weights import Weight, biases, weights

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

Layers = Mapping[str, str | SchemeSpec]


def initialize(
    module: nn.Module,
    scheme: str | SchemeSpec,
    *,
    generator: Generator,
    bias: Bias = "default",
    activation: str | None = None,
    layers: Layers | None = None,
    data: Samples | Tensor | tuple[Tensor, Tensor] | None = None,
    report: Callable[[InitStep], None] = lambda step: None,
) -> None:
    """Overwrite the weights and biases of `module`, in place, with `scheme`.

    Weights are the floating-point parameters with two or more dimensions (of Linear, convolutions, embeddings; the
    stacked gates of RNN, GRU, LSTM and the projections of MultiheadAttention one by one). Biases are the
    one-dimensional parameters named *bias* beside a weight. Parameters of normalization layers keep their values; the
    multipliers of residual blocks become 1, unless the scheme says otherwise.

    One number is drawn from `generator`; the stream of each parameter is derived from it and from the parameter's
    name, so that adding a layer does not change the draws of the others. All draws are made on the CPU in float32
    (float64 for float64 parameters), so that the same generator gives the same weights on every device.

    Arguments: `scheme`, "name:key=value" or a parsed spec; `bias`, "zeros", "default" (PyTorch's own
    U(±1/sqrt(fan_in))) or a number, for those biases that the scheme does not set itself; `activation`, what gain=auto
    and some schemes follow; `layers`, pattern -> the rule of the weights whose name, or whose layer's name, it matches
    (as file names are matched, the last match counts); after a scheme on the whole model these are replaced at the
    end; `data`, the training images [N, ...] (uint8, or floats in [0, 1]), with their labels [N] where given, for a
    scheme that looks at data; `report`, which hears of the progress of those that take long.
    Raises UsageError for arguments of the wrong type; SchemeError for an unknown scheme, one that does not fit the
    model, lacks data, does not fill every weight in place or draws from torch's global generator, for a pattern that
    matches nothing, and for a lazy module.
    """
    import torch
    from torch import nn

    if not isinstance(generator, torch.Generator) or not isinstance(module, nn.Module):
        raise UsageError(
            f"initialize() got a {type(module).__name__} and generator={generator!r}; it needs a torch.nn.Module and a"
            " torch.Generator, such as torch.Generator().manual_seed(0)."
        )
    _check_bias(bias)
    spec, stream = _parsed(scheme), streams(generator)
    chosen = check_model(module, spec, activation=activation, layers=layers)
    for name, owner, tensor in biases(module):
        fill_bias(owner, tensor, bias, stream(name))
    _reset_multipliers(module)
    if spec.scheme.level == "model":
        with _restored_on_error(module):
            _fill_model(module, spec, stream("model"), activation, _samples(spec, data), report)
    for weight, of_layer in chosen:
        if of_layer.scheme.level == "weight":
            fill(weight, of_layer, generator=stream(weight.name), activation=activation)


def check_model(
    module: nn.Module, scheme: str | SchemeSpec, *, activation: str | None = None, layers: Layers | None = None
) -> list[tuple[Weight, SchemeSpec]]:
    """Return every weight of `module` with the scheme that fills it; raises SchemeError where one does not fit.

    Changes nothing and needs no data.
    """
    spec = _parsed(scheme)
    chosen = _chosen(weights(module), spec, layers or {})
    _check_weights(chosen)
    for _, of_layer in chosen:
        of_layer.resolved(activation)
    if spec.scheme.level == "model" and spec.scheme.fits:
        check_claim_to_fit(spec, "this model", module, activation, **spec.resolved(activation))
    return chosen


def _check_weights(chosen: list[tuple[Weight, SchemeSpec]]) -> None:
    """Raise SchemeError for the first weight that its rule does not fit; it names the other ones."""
    errors: dict[str, SchemeError] = {}
    for weight, spec in chosen:
        try:
            if spec.scheme.level == "weight":
                check_fits(weight, spec)
        except SchemeError as error:
            errors.setdefault(weight.parameter, error)
    if errors:
        first, *others = errors
        also = f" Nor does it fit {', '.join(others[:5])}{' and others' * (len(others) > 5)}." if others else ""
        raise SchemeError(f"{errors[first]}{also}")


def _parsed(scheme: str | SchemeSpec) -> SchemeSpec:
    if not isinstance(scheme, str | SchemeSpec):
        raise UsageError(f"scheme={scheme!r}: give a text such as 'he_normal', or a parsed scheme.")
    return scheme if isinstance(scheme, SchemeSpec) else parse(scheme)


def _check_bias(bias: Bias) -> None:
    is_number = isinstance(bias, int | float) and not isinstance(bias, bool) and math.isfinite(bias)
    if not is_number and bias not in ("zeros", "default"):
        raise UsageError(f"bias={bias!r}: give 'zeros', 'default' or a finite number.")


def _chosen(found: list[Weight], spec: SchemeSpec, layers: Layers) -> list[tuple[Weight, SchemeSpec]]:
    if not isinstance(layers, Mapping):
        raise UsageError(f"layers={layers!r}: give a mapping from patterns to schemes, such as {{'out': 'zeros'}}.")
    chosen = {weight.name: spec for weight in found}
    for pattern, text in layers.items():
        of_layer = _parsed(text)
        matched = [weight.name for weight in found if _matches(weight, pattern)]
        if of_layer.scheme.level == "model":
            raise SchemeError(
                f"init.layers: {pattern!r}: {of_layer.name!r} is a scheme for a whole model, not a layer."
            )
        if not matched:
            names = ", ".join(dict.fromkeys(weight.parameter for weight in found))
            raise SchemeError(f"init.layers: {pattern!r} matches no weight of this model. Its weights: {names}.")
        chosen.update(dict.fromkeys(matched, of_layer))
    return [(weight, chosen[weight.name]) for weight in found]


def _matches(weight: Weight, pattern: str) -> bool:
    return fnmatchcase(weight.parameter, pattern) or fnmatchcase(weight.layer, pattern)


def _reset_multipliers(module: nn.Module) -> None:
    import torch

    from initbench.layers import Residual

    with torch.no_grad():
        for block in module.modules():
            if isinstance(block, Residual):
                block.scale.fill_(1.0)


def _samples(spec: SchemeSpec, data: Samples | Tensor | tuple[Tensor, Tensor] | None) -> Samples | None:
    import torch

    if spec.scheme.needs == "nothing":
        return None
    if data is None:
        raise SchemeError(
            f"scheme {spec.name!r} needs {spec.scheme.needs} of images: pass data=images or data=(images, labels)."
        )
    if isinstance(data, Samples):
        return data
    given = data if isinstance(data, tuple) else (data,)
    if len(given) > 2 or not all(isinstance(one, torch.Tensor) for one in given):
        raise UsageError("data: give a tensor of images, or the two tensors (images, labels).")
    return Samples(*given)


def _fill_model(
    module: nn.Module,
    spec: SchemeSpec,
    generator: Generator,
    activation: str | None,
    data: Samples | None,
    report: Callable[[InitStep], None],
) -> None:
    """Let a rule fill the whole module; raises SchemeError where a weight is then not finite."""
    import torch

    for weight in weights(module):
        weight.tensor.fill_(torch.nan)  # what the rule leaves out is seen
    handed = {"generator": generator, "activation": activation, "data": data, "report": report}
    with _evaluating(module), guarded(spec, "the model"), torch.no_grad():
        spec.scheme.fill(module, **{name: handed[name] for name in spec.scheme.handed}, **spec.resolved(activation))
    for name, parameter in module.named_parameters():
        if not parameter.isfinite().all():
            raise SchemeError(f"scheme {spec.name!r} left NaN or infinity in {name}, or did not fill it.")


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluate within the block: looking at data moves no statistics of batch norm and draws no dropout masks."""
    training = [one for one in module.modules() if one.training]
    module.eval()
    try:
        yield
    finally:
        for one in training:
            one.training = True


@contextmanager
def _restored_on_error(module: nn.Module) -> Iterator[None]:
    """Give the parameters their values back where a rule fails half-way."""
    before = [(parameter.detach(), parameter.detach().clone()) for parameter in module.parameters()]
    try:
        yield
    except BaseException:
        for parameter, value in before:
            parameter.copy_(value)
        raise
