"""What a training goes on from: everything that it changes, as it is after a whole epoch.

Nothing random is in it: every stream (the order of the images, dropout, what a module draws by itself) is made anew for
each epoch from seed and epoch, and the learning rate is a function of the steps taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from initbench.results import Divergence
from initbench.training.optimizers import Optimizer


@dataclass(frozen=True)
class TrainingState:
    """After `epoch` epochs, in which the optimizer took `steps` steps: all tensors that training changes, by name.

    `ended` tells of the replicas of a stack that diverged, by their places. The tensors may be the training's own
    memory: who wants to keep them copies them before the next epoch.
    """

    epoch: int
    steps: int
    tensors: Mapping[str, Tensor]
    ended: Mapping[int, Divergence] = field(default_factory=dict)


class StateError(ValueError):
    """A state is not of this training."""


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and buffers by name, each once; those too that a state_dict leaves out."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def model_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a model's tensors by the names they have in a state."""
    return {f"model.{name}": tensor.detach() for name, tensor in tensors.items()}


def optimizer_tensors(optimizers: Sequence[Optimizer]) -> dict[str, Tensor]:
    """Return what the optimizers remember, by the names it has in a state."""
    return {
        f"optimizer.{place}.{kind}.{index}": tensor
        for place, optimizer in enumerate(optimizers)
        for kind, of_kind in enumerate(optimizer.memory)
        for index, tensor in enumerate(of_kind)
    }


def restore(
    state: TrainingState, tensors: Mapping[str, Tensor], optimizers: Sequence[Optimizer], steps_per_epoch: int
) -> None:
    """Give `tensors`, in place, and the optimizers the values of the state.

    Raises StateError where the state is of another training: one with other steps, tensors, shapes or types.
    """
    if state.steps != state.epoch * steps_per_epoch:
        raise StateError(f"{state.epoch} epochs are {state.epoch * steps_per_epoch} steps, not {state.steps}")
    for name, tensor in tensors.items():
        saved = state.tensors.get(name)
        if saved is None or saved.shape != tensor.shape or saved.dtype != tensor.dtype:
            found = "none" if saved is None else f"{saved.dtype} {list(saved.shape)}"
            raise StateError(f"{name} should be {tensor.dtype} {list(tensor.shape)}, and is {found}")
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(state.tensors[name])
    for optimizer in optimizers:
        optimizer.steps = state.steps
