"""Fill one weight or one bias, each from the random stream of its own name."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from initbench import seeds
from initbench.errors import InitbenchError, SchemeError
from initbench.schemes.fans import fans
from initbench.schemes.spec import SchemeSpec, parse
from initbench.schemes.weights import Weight

if TYPE_CHECKING:
    import torch
    from torch import Generator, Tensor, nn

Bias = Literal["zeros", "default"] | float
Streams = Callable[[str], "Generator"]


def streams(generator: Generator) -> Streams:
    """Draw one number from `generator` and return the function name -> generator of the streams derived from it.

    Each parameter is drawn from the stream of its name, so that adding a layer does not change the draws of the others.
    """
    import torch

    base_seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    return lambda name: seeds.stream(base_seed, "init", name)


def fill(weight: Weight, scheme: str | SchemeSpec, *, generator: Generator, activation: str | None = None) -> None:
    """Overwrite `weight` with a rule on one weight, drawn on the CPU in float32 (float64 for float64 parameters).

    Raises SchemeError where the rule does not fit the weight, does not fill it in place, or draws from torch's global
    generator.
    """
    import torch

    spec = scheme if isinstance(scheme, SchemeSpec) else parse(scheme)
    check_fits(weight, spec)
    handed = {"generator": generator, "activation": activation, "groups": weight.groups}
    drawn = torch.full(weight.shape, math.nan, dtype=_drawn_dtype(weight.tensor))
    with guarded(spec, f"{weight.name}, shape {weight.shape}"), torch.no_grad():
        spec.scheme.fill(drawn, **{name: handed[name] for name in spec.scheme.handed}, **spec.resolved(activation))
    if math.isnan(_largest(drawn)):
        raise SchemeError(
            f"scheme {spec.name!r} did not fill {weight.name} in place, or filled it with NaN. What it returns is"
            " ignored; write weight.copy_(...)."
        )
    with torch.no_grad():
        weight.tensor.copy_(drawn)
    if not math.isfinite(_largest(weight.tensor)):
        raise SchemeError(f"scheme {str(spec)!r} fills {weight.name} with more than {weight.tensor.dtype} can hold.")


def _largest(tensor: Tensor) -> float:
    """Return the largest absolute value, NaN where there is one, in one pass and without a copy."""
    low, high = (float(end) for end in tensor.detach().aminmax())
    return max(-low, high) if low == low else low


def check_fits(weight: Weight, spec: SchemeSpec) -> None:
    """Raise SchemeError where `weight` is none that the rule is defined on."""
    scheme, dimensions = spec.scheme, len(weight.shape)
    if dimensions not in scheme.dimensions:
        raise SchemeError(
            f"scheme {spec.name!r} fills tensors with {_listed(scheme.dimensions)} dimensions, but {weight.name} has"
            f" {dimensions}, shape {weight.shape}. Choose another scheme, or give such layers one of their own:"
            f" init.layers={{{weight.layer or weight.parameter}: xavier}}."
        )
    if scheme.fits:
        check_claim_to_fit(spec, f"{weight.name}, shape {weight.shape}", weight.shape, weight.groups, **spec.params)


def check_claim_to_fit(spec: SchemeSpec, target: str, *arguments: object, **params: object) -> None:
    """Ask the scheme's `fits`, and raise SchemeError with what it raises: it must raise, not return."""
    assert spec.scheme.fits is not None  # noqa: S101 # the callers have asked
    try:
        returned = spec.scheme.fits(*arguments, **params)
    except SchemeError as error:
        raise SchemeError(f"scheme {spec.name!r} does not fit {target}: {error}") from None
    if returned is not None:
        raise SchemeError(
            f"scheme {spec.name!r}: its fits= returned {returned!r}; it must raise SchemeError, or nothing."
        )


def _listed(numbers: tuple[int, ...]) -> str:
    *head, last = map(str, numbers)
    return f"{', '.join(head)} or {last}" if head else last


@contextmanager
def guarded(spec: SchemeSpec, target: str) -> Iterator[None]:
    """Turn what torch cannot do into one clear SchemeError, mark bugs with their place, refuse global draws."""
    before = _global_generators()
    try:
        yield
    except InitbenchError:
        raise
    except RuntimeError as error:  # what torch says of a range or a shape that it cannot draw
        reason = str(error).splitlines()[0]
        raise SchemeError(f"scheme {str(spec)!r} cannot fill {target}: {reason}") from error
    except Exception as error:
        error.add_note(f"while scheme {str(spec)!r} filled {target}")
        raise
    for library, state in _global_generators().items():
        if state != before.get(library, state):
            raise SchemeError(f"scheme {spec.name!r} drew from {library}'s global generator; pass generator=generator.")


def _global_generators() -> dict[str, object]:
    """Return the states of the generators that a rule must not draw from; numpy's where it is imported."""
    import torch

    states: dict[str, object] = {"torch": torch.get_rng_state().numpy().tobytes(), "random": random.getstate()}
    if "numpy" in sys.modules:
        states["numpy"] = sys.modules["numpy"].random.get_state()[1].tobytes()
    return states


def fill_bias(owner: nn.Module, tensor: Tensor, bias: Bias, generator: Generator) -> None:
    """Set a bias to a number, or, for "default", draw it as PyTorch does: U(±1/sqrt(fan_in))."""
    import torch

    with torch.no_grad():
        if bias != "default":
            tensor.fill_(0.0 if bias == "zeros" else float(bias))
            return
        bound = _default_bias_bound(owner)
        drawn = torch.empty(tensor.shape, dtype=_drawn_dtype(tensor))
        tensor.copy_(drawn.uniform_(-bound, bound, generator=generator))


def _default_bias_bound(owner: nn.Module) -> float:
    """Return b of PyTorch's own U(-b, b): 1/sqrt(hidden) in recurrent layers, 1/sqrt(fan_in) in others, 0 in attention.

    A layer of a user's own counts as one with the fan_in of its first weight.
    """
    from torch import nn

    if isinstance(owner, nn.RNNBase | nn.RNNCellBase):
        return 1 / math.sqrt(owner.hidden_size)
    if isinstance(owner, nn.Bilinear):
        return 1 / math.sqrt(owner.in1_features)
    if isinstance(owner, nn.MultiheadAttention):
        return 0.0
    shapes = [tuple(one.shape) for one in owner.parameters(recurse=False) if one.dim() >= 2 and one.numel()]
    return 1 / math.sqrt(fans(shapes[0])[0]) if shapes else 0.0


def _drawn_dtype(tensor: Tensor) -> torch.dtype:
    import torch

    return torch.float64 if tensor.dtype == torch.float64 else torch.float32
