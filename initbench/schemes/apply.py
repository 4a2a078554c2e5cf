"""Apply a scheme to a module: which tensors are weights, which are biases, and which stream each is drawn from."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from initbench import seeds
from initbench.errors import SchemeError, UsageError
from initbench.schemes.fans import fans
from initbench.schemes.spec import SchemeSpec, parse

if TYPE_CHECKING:
    import torch
    from torch import Generator, Tensor, nn

Bias = Literal["zeros", "default"] | float


def initialize(
    module: nn.Module,
    scheme: str | SchemeSpec,
    *,
    generator: Generator,
    bias: Bias = "default",
    activation: str | None = None,
) -> None:
    """Overwrite the weights and biases of `module`, in place, with `scheme`.

    Weights are the floating-point parameters with two or more dimensions (of Linear, convolutions, embeddings; the
    stacked gates of RNN, GRU, LSTM and the projections of MultiheadAttention one by one). Biases are the
    one-dimensional parameters named *bias* beside a weight. Parameters of normalization layers keep their values.

    One number is drawn from `generator`; the stream of each parameter is derived from it and from the parameter's
    name, so that adding a layer does not change the draws of the others. All draws are made on the CPU in float32
    (float64 for float64 parameters), so that the same generator gives the same weights on every device.

    Arguments: `scheme`, "name:key=value" or a parsed spec; `bias`, "zeros", "default" (PyTorch's own
    U(±1/sqrt(fan_in))) or a number; `activation`, what gain=auto follows.
    Raises UsageError for arguments of the wrong type; SchemeError for an unknown scheme, one that does not fit a
    weight's shape, does not fill it in place or draws from torch's global generator, and for a lazy module.
    """
    import torch
    from torch import nn

    if not isinstance(generator, torch.Generator) or not isinstance(module, nn.Module):
        raise UsageError(
            f"initialize() got a {type(module).__name__} and generator={generator!r}; it needs a torch.nn.Module and a"
            " torch.Generator, such as torch.Generator().manual_seed(0)."
        )
    spec = scheme if isinstance(scheme, SchemeSpec) else parse(scheme)
    base_seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    weights = list(_weights(module))
    _check_dimensions(spec, weights)
    with torch.no_grad():
        for name, weight in weights:
            _fill_weight(name, weight, spec, activation, base_seed)
        for name, owner, tensor in _biases(module):
            _fill_bias(name, owner, tensor, bias, base_seed)


def _weights(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield (name, weight) for every weight matrix or kernel; stacked ones are split into views."""
    for name, owner, parameter in _parameters(module):
        own_name = name.rpartition(".")[2]
        if _is_weight(own_name, parameter):
            blocks = _stacked(owner, own_name)
            for index, block in enumerate(parameter.chunk(blocks)):
                yield (f"{name}[{index}]" if blocks > 1 else name), block


def _parameters(module: nn.Module) -> Iterator[tuple[str, nn.Module, Tensor]]:
    """Yield (name, owner, parameter) for all but those of normalization layers; raises SchemeError for lazy ones."""
    from torch import nn
    from torch.nn.modules.batchnorm import _NormBase

    for name, parameter in module.named_parameters():
        owner = module.get_submodule(name.rpartition(".")[0])
        if isinstance(parameter, nn.parameter.UninitializedParameter):
            raise SchemeError(f"{name} has no shape yet; send a batch through the lazy module first.")
        if not isinstance(owner, _NormBase | nn.LayerNorm | nn.GroupNorm | nn.RMSNorm):
            yield name, owner, parameter


def _is_weight(own_name: str, parameter: Tensor) -> bool:
    is_matrix = parameter.dim() >= 2 and parameter.is_floating_point() and parameter.numel() > 0
    return is_matrix and not own_name.startswith("bias")  # bias_k and bias_v of MultiheadAttention are [1, 1, E]


def _stacked(owner: nn.Module, name: str) -> int:
    """Return how many weight matrices are stacked in parameter `name` along its first dimension."""
    from torch import nn

    if isinstance(owner, nn.RNNBase) and name.startswith(("weight_ih", "weight_hh")):
        return {"LSTM": 4, "GRU": 3}.get(owner.mode, 1)
    return 3 if isinstance(owner, nn.MultiheadAttention) and name == "in_proj_weight" else 1


def _biases(module: nn.Module) -> Iterator[tuple[str, nn.Module, Tensor]]:
    """Yield (name, owner, bias) for every bias that stands beside a weight."""
    for name, owner, parameter in _parameters(module):
        beside_weight = any(sibling.dim() >= 2 for sibling in owner.parameters(recurse=False))
        if parameter.dim() == 1 and "bias" in name.rpartition(".")[2] and beside_weight:
            yield name, owner, parameter


def _check_dimensions(spec: SchemeSpec, weights: list[tuple[str, Tensor]]) -> None:
    allowed = spec.scheme.dimensions
    for name, weight in weights:
        if weight.dim() not in allowed:
            raise SchemeError(
                f"scheme {spec.name!r} fills tensors with {_listed(allowed)} dimensions, but {name} has"
                f" {weight.dim()}, shape {tuple(weight.shape)}. Choose another scheme (see `initbench schemes`)."
            )


def _listed(numbers: tuple[int, ...]) -> str:
    *head, last = map(str, numbers)
    return f"{', '.join(head)} or {last}" if head else last


def _fill_weight(name: str, weight: Tensor, spec: SchemeSpec, activation: str | None, base_seed: int) -> None:
    import torch

    drawn = torch.full(weight.shape, math.nan, dtype=_drawn_dtype(weight))
    global_state = torch.get_rng_state()
    try:
        spec.scheme.fill(drawn, generator=seeds.stream(base_seed, "init", name), **spec.resolved(activation))
    except RuntimeError as error:  # what torch says of a range or a shape that it cannot draw
        reason = str(error).splitlines()[0]
        raise SchemeError(f"scheme {str(spec)!r} cannot fill {name}, shape {tuple(weight.shape)}: {reason}") from error
    except Exception as error:
        error.add_note(f"while scheme {str(spec)!r} filled {name}, shape {tuple(weight.shape)}")
        raise
    if drawn.isnan().any():
        raise SchemeError(f"scheme {spec.name!r} did not fill {name} in place, or filled it with NaN.")
    if not torch.equal(global_state, torch.get_rng_state()):
        raise SchemeError(f"scheme {spec.name!r} drew from torch's global generator; pass generator=generator.")
    weight.copy_(drawn)


def _fill_bias(name: str, owner: nn.Module, tensor: Tensor, bias: Bias, base_seed: int) -> None:
    import torch

    if bias != "default":
        tensor.fill_(0.0 if bias == "zeros" else float(bias))
        return
    bound = _default_bias_bound(owner)
    drawn = torch.empty(tensor.shape, dtype=_drawn_dtype(tensor))
    tensor.copy_(drawn.uniform_(-bound, bound, generator=seeds.stream(base_seed, "init", name)))


def _default_bias_bound(owner: nn.Module) -> float:
    """Return b of PyTorch's own U(-b, b): 1/sqrt(hidden) in recurrent layers, 1/sqrt(fan_in) in others."""
    from torch import nn

    if isinstance(owner, nn.RNNBase):
        return 1 / math.sqrt(owner.hidden_size)
    if isinstance(owner, nn.Bilinear):
        return 1 / math.sqrt(owner.in1_features)
    weight = getattr(owner, "weight", None)
    return 1 / math.sqrt(fans(tuple(weight.shape))[0]) if weight is not None and weight.numel() else 0.0


def _drawn_dtype(tensor: Tensor) -> torch.dtype:
    import torch

    return torch.float64 if tensor.dtype == torch.float64 else torch.float32
