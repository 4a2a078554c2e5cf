"""What every pre-training shares: what it accepts, how an epoch is shuffled, and what is said after each epoch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from initbench.errors import SchemeError

WATCHED = 1_000  # inputs that the statistics are taken on: enough for a curve, little beside an epoch


class Parameters(NamedTuple):
    """What is learned of a layer, or one tensor for each of these; encoding and decoding share the weight."""

    weight: Tensor  # W [H,V]
    hidden_bias: Tensor  # c [H]
    visible_bias: Tensor  # b [V]


@dataclass(frozen=True)
class EpochStatistics:
    """How a layer's pre-training stands after an epoch, on a fixed random sample of at most 1,000 of its inputs."""

    epoch: int  # from 1
    epochs: int
    reconstruction_error: float  # mean squared difference per visible unit, without sampling or corruption
    free_energy: float | None  # mean, in nats; None where the model has none
    pseudo_log_likelihood: float | None  # mean, in nats, with the same units flipped each epoch; None likewise
    seconds: float  # wall clock of this epoch, these statistics included


OnEpoch = Callable[[EpochStatistics], None]


@dataclass(frozen=True, eq=False)
class Watch:
    """The sample that the statistics are taken on, and the randomness that they use."""

    sample: Tensor  # [S,V]
    start: Generator

    def generator(self) -> Generator:
        """Return a generator in the same state each time, so that epochs differ by the model alone."""
        return self.start.clone_state()


def watch(inputs: Tensor, generator: Generator) -> Watch:
    """Return what to watch of `inputs` [N, V]: takes one number from `generator`, whatever is done with the result.

    So a training that is looked at and one that is not come to the same weights.
    """
    seed = int(torch.randint(2**63 - 1, (), generator=generator, device=generator.device))
    own = Generator(device=generator.device).manual_seed(seed)
    chosen = torch.randperm(len(inputs), generator=own, device=own.device)[:WATCHED]
    return Watch(inputs.index_select(0, chosen), own)


def shuffled(rows: int, batch_size: int, generator: Generator) -> tuple[Tensor, ...]:
    """Return the row indices of each batch of an epoch, [B] each; the last one may be smaller."""
    return torch.split(torch.randperm(rows, generator=generator, device=generator.device), batch_size)


def squared_error(values: Tensor, others: Tensor) -> float:
    """Return the mean squared difference of two tensors of one shape."""
    return float((values - others).square().mean())


def require_inputs(inputs: Tensor, generator: Generator) -> None:
    """Raise SchemeError unless `inputs` is a [N, V] tensor of floats in [0, 1], on the device of `generator`."""
    if inputs.ndim != 2 or inputs.numel() == 0:
        raise SchemeError(f"pre-training takes inputs [examples, units], at least 1 x 1; got {list(inputs.shape)}.")
    if inputs.dtype not in (torch.float32, torch.float64):
        raise SchemeError(f"pre-training takes float32 or float64 inputs; got {inputs.dtype}.")
    if inputs.device.type != generator.device.type:
        raise SchemeError(f"pre-training has its inputs on {inputs.device}, its generator on {generator.device}.")
    low, high = (float(end) for end in inputs.aminmax())
    if not (low >= 0 and high <= 1):  # NaN fails it too
        raise SchemeError(f"pre-training takes inputs in [0, 1]; got values from {low:g} to {high:g}. Rescale them.")


def require_counts(**counts: int) -> None:
    """Raise SchemeError unless each of `counts` is a whole number of 1 or more."""
    for name, value in counts.items():
        if not isinstance(value, int) or value < 1:
            raise SchemeError(f"{name} is {value}; it must be a whole number, 1 or more.")


def require_number(name: str, value: float, allowed: bool, words: str) -> None:
    """Raise SchemeError unless `value` is finite and `allowed`; `words` say what is."""
    if not (math.isfinite(value) and allowed):
        raise SchemeError(f"{name} is {value}; it must be {words}.")


def require_finite(parameters: Parameters, what: str, epoch: int, epochs: int, lr: float) -> None:
    """Raise SchemeError where the parameters' magnitudes add up to more than their dtype holds, or to NaN.

    Their sum bounds every number computed from them and inputs in [0, 1].
    """
    if not math.isfinite(sum(float(parameter.abs().sum()) for parameter in parameters)):
        raise SchemeError(f"{what} diverged in epoch {epoch} of {epochs}: weights are not finite. Lower lr={lr:g}.")
