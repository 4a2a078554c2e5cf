"""How many replicas are stacked: as many as fit the device's memory, found by trying."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from initbench.config import Config
from initbench.data import Dataset
from initbench.training.pixels import Pixels
from initbench.training.replicas import Replicas
from initbench.training.stacked import EVALUATED, try_step

CPU_BYTES = 256 * 2**20  # of one stack on the CPU, where larger ones are no faster per replica
COPIES = 5  # of each parameter, at most: itself, its gradient and that in another layout, two running averages

Trial = Callable[[int], None]  # raises torch.OutOfMemoryError where so many replicas do not fit


def largest_stack(replicas: int, trial: Trial) -> int:
    """Return how many of `replicas` to stack at a time: the fewest stacks, of equal size, that `trial` finds to fit.

    The number of stacks is doubled until they fit, and bisected from there: at most 2 log2(replicas) + 1 trials.
    Raises torch.OutOfMemoryError where not even one replica fits.
    """
    if replicas < 1:
        raise ValueError(f"got {replicas} replicas, allowed: 1 or more")
    too_few, enough = 0, 1  # stacks
    while not _fits(trial, math.ceil(replicas / enough)):
        if enough >= replicas:
            raise torch.OutOfMemoryError("one replica alone does not fit the device's memory")
        too_few, enough = enough, min(2 * enough, replicas)
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        if _fits(trial, math.ceil(replicas / middle)):
            enough = middle
        else:
            too_few = middle
    return math.ceil(replicas / enough)


def split(replicas: int, largest: int) -> list[range]:
    """Return the places 0, ..., replicas - 1 as the fewest blocks of at most `largest`, equal up to one."""
    blocks = math.ceil(replicas / largest)
    ends = [replicas * block // blocks for block in range(blocks + 1)]
    return [range(first, end) for first, end in itertools.pairwise(ends)]


def memory_trial(model: nn.Module, dataset: Dataset, config: Config) -> Trial:
    """Return the trial for replicas of `model` on the dataset's device; `model` stays as it is.

    On CUDA it trains a stack for a few steps and evaluates it. On the CPU it holds an upper estimate of the bytes of a
    stack against CPU_BYTES, which one replica may exceed: what is stacked there does not depend on the machine.
    """
    if dataset.train_labels.device.type == "cuda":
        return lambda replicas: try_step(
            [model] * replicas,
            dataset,
            [config.model_copy(update={"seed": seed}) for seed in range(replicas)],
        )
    of_one = bytes_per_replica(model, dataset, config.data.batch_size)

    def trial(replicas: int) -> None:
        if replicas > 1 and replicas * of_one > CPU_BYTES:
            raise torch.OutOfMemoryError(f"{replicas} replicas of {of_one} bytes are more than {CPU_BYTES}")

    return trial


def bytes_per_replica(model: nn.Module, dataset: Dataset, batch_size: int) -> int:
    """Return an upper estimate of the bytes that one more replica takes in a stack, from one forward pass of it.

    Activations count as for the larger of a training batch and an evaluated one, all of them alive at once.
    """
    saved: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    device = dataset.train_labels.device
    batch = min(batch_size, len(dataset.train_labels))
    images = Pixels(dataset.train_images).at(torch.arange(batch, device=device))
    replicas = Replicas([model], device)
    replicas.network.eval()  # dropout would draw from torch's global generator
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        replicas.logits(images[None])
    parameters = sum(parameter.numel() * parameter.element_size() for parameter in replicas.parameters)
    activations = sum(saved.values()) + images.nbytes
    return COPIES * parameters + activations * math.ceil(max(batch, EVALUATED) / batch)


def _fits(trial: Trial, replicas: int) -> bool:
    try:
        trial(replicas)
    except torch.OutOfMemoryError:
        fits = False
    else:
        fits = True
    torch.cuda.empty_cache()  # what the trial has given back, for the next one; nothing where there is no CUDA
    return fits
