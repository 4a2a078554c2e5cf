"""Let a scheme fill a subject, and keep all that can be said of it: tensors, what it left of the random generators."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn

from initbench import seeds
from initbench.conformance.subjects import Subject, samples
from initbench.schemes import SchemeSpec
from initbench.schemes.apply import initialize
from initbench.schemes.filling import Bias
from initbench.schemes.weights import Weight, biases, weights

BIAS = 0.125  # what biases are before a scheme: exact in every dtype, and none that a scheme comes to by chance


@dataclass(frozen=True)
class Draw:
    """What a scheme made of a subject with the generator of one seed.

    `tensors` are the filled weights and, after a rule on a whole model, all parameters, by name; `matrices` are the
    weights among them; `shapes` are those of the tensors before, `ends` the states that the generators were left in.
    """

    tensors: Mapping[str, Tensor]
    shapes: Mapping[str, tuple[int, ...]]
    groups: Mapping[str, int]
    matrices: Mapping[str, Tensor]
    biases: Mapping[str, Tensor]
    ends: tuple[Tensor, ...]
    drew_from: tuple[str, ...] = ()
    returned_tensor: bool = False
    changed_data: bool = False


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Return whether both have the same names with the same bits; NaN equals NaN."""
    return one.keys() == other.keys() and all(_equal(one[name], other[name]) for name in one)


def _equal(one: Tensor, other: Tensor) -> bool:
    alike = one.dtype == other.dtype and one.shape == other.shape
    return alike and bool(((one == other) | (one.isnan() & other.isnan())).all())


def draw(
    spec: SchemeSpec,
    subject: Subject,
    seed: int,
    *,
    dtype: torch.dtype = torch.float32,
    world: int = 0,
    bias: Bias = BIAS,
) -> Draw:
    """Return what `spec` makes of a new `subject` with the generator of `seed`.

    `world` is what the global generators of torch, numpy and random are seeded with meanwhile: nothing may depend on
    it. `bias` is what a rule on a whole model finds in the biases. Raises whatever the scheme raises.
    """
    found = _weights_of(subject) if spec.scheme.level == "weight" else []
    model = subject.build().to(dtype) if spec.scheme.level == "model" else None
    with global_generators(world) as drawn_from:  # from here on; building draws from torch's
        drawn = _layer(spec, subject, found, seed, dtype) if model is None else _model(spec, subject, model, seed, bias)
        return replace(drawn, drew_from=drawn_from())


@lru_cache
def _weights_of(subject: Subject) -> list[Weight]:
    return weights(subject.build())


def _layer(spec: SchemeSpec, subject: Subject, found: list[Weight], seed: int, dtype: torch.dtype) -> Draw:
    """Fill a tensor for each of the `found` weights, as `initialize` does, but without its safeguards."""
    tensors: dict[str, Tensor] = {}
    ends = []
    returned = False
    for weight in found:
        generator = seeds.stream(seed, "init", subject.name, weight.name)
        tensor = torch.full(weight.shape, math.nan, dtype=dtype)
        returned |= isinstance(_fill(spec, tensor, weight.groups, subject.activation, generator), Tensor)
        tensors[weight.name] = tensor
        ends.append(generator.get_state())
    return Draw(
        tensors=tensors,
        shapes={weight.name: weight.shape for weight in found},
        groups={weight.name: weight.groups for weight in found},
        matrices=tensors,
        biases={},
        ends=tuple(ends),
        returned_tensor=returned,
    )


def _fill(spec: SchemeSpec, tensor: Tensor, groups: int, activation: str, generator: Generator) -> Any:
    """Call the rule with what it asks for; return what it returns, which should be nothing."""
    handed = {"generator": generator, "activation": activation, "groups": groups}
    rule: Callable[..., Any] = spec.scheme.fill
    with torch.no_grad():
        return rule(tensor, **{name: handed[name] for name in spec.scheme.handed}, **spec.resolved(activation))


def _model(spec: SchemeSpec, subject: Subject, model: nn.Module, seed: int, bias: Bias) -> Draw:
    generator = seeds.stream(seed, "init", subject.name)
    data = samples(next(model.parameters()).dtype) if spec.scheme.needs != "nothing" else None
    before = None if data is None else data.images.clone()
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    initialize(model, spec, generator=generator, bias=bias, activation=subject.activation, data=data)
    return Draw(
        tensors={name: parameter.detach() for name, parameter in model.named_parameters()},
        shapes=shapes,
        groups={weight.name: weight.groups for weight in weights(model)},
        matrices={weight.name: weight.tensor for weight in weights(model)},
        biases={name: tensor.detach() for name, _, tensor in biases(model)},
        ends=(generator.get_state(),),
        changed_data=data is not None and before is not None and not torch.equal(data.images, before),
    )


@contextmanager
def global_generators(seed: int) -> Iterator[Callable[[], tuple[str, ...]]]:
    """Seed the global generators of torch, numpy and random; put them back in the end.

    Yields the function that names those which have been drawn from since.
    """
    saved = _states()
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
    start = _states()
    try:
        yield lambda: tuple(name for name, state in _states().items() if not _same_state(state, start[name]))
    finally:
        torch.set_rng_state(saved["torch"])
        np.random.set_state(saved["numpy"])
        random.setstate(saved["random"])


def _states() -> dict[str, Any]:
    return {"torch": torch.get_rng_state(), "numpy": np.random.get_state(), "random": random.getstate()}


def _same_state(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
