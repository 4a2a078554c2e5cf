"""Replicas: models of one shape as one computation, whose parameters have an axis [R] more than those of each model.

The forward pass is the model's own, mapped over that axis by torch.func.vmap. The replicas do not touch each other, so
that the gradient of all losses together is, in each replica's part, the gradient of its own.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from initbench.training.recurrence import unfuse_recurrences
from initbench.training.state import tensors_of


class Replicas:
    """R models with the same modules, stacked on `device`; the models themselves stay as they are.

    `network` is a copy of the first one that computes for all: its mode (train, eval) and its dropout streams are the
    stack's. `parameters` are those that are trained, each [R, ...] and contiguous, in the storage that `logits` reads:
    what changes them in place trains the stack. Raises ValueError where the models' parameters differ in shape.
    """

    def __init__(self, models: Sequence[nn.Module], device: torch.device) -> None:
        self.network = copy.deepcopy(models[0]).to(device)
        unfuse_recurrences(self.network)
        trained = {name for name, parameter in models[0].named_parameters() if parameter.requires_grad}
        tensors = _stacked([tensors_of(model) for model in models], device)
        self._leaves = {name: tensor.requires_grad_() for name, tensor in tensors.items() if name in trained}
        self._others = {name: tensor for name, tensor in tensors.items() if name not in trained}  # buffers, and frozen
        self._axes = [list(range(leaf.dim())) for leaf in self._leaves.values()]
        self._each, self._all = vmap(self._call, in_dims=(0, 0, 0)), vmap(self._call, in_dims=(0, 0, None))

    @property
    def parameters(self) -> list[Tensor]:
        """The trained parameters [R, ...], their axes in the order of the memory."""
        return [leaf.detach().permute(axes) for leaf, axes in zip(self._leaves.values(), self._axes, strict=True)]

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Everything that training changes, by name: each parameter and buffer [R, ...], in the memory that is used."""
        return self._leaves | self._others

    def lay_out(self, images: Tensor) -> None:
        """Move each parameter to memory laid out as its gradient's, found by one pass with images [R, B, C, H, W].

        Otherwise each step would have to transpose the gradients of matrices. It is called before `parameters` are
        taken; no number changes, and no random number is drawn.
        """
        buffers, network = self._others, self.network
        self._others = {name: tensor.clone() for name, tensor in buffers.items()}
        self.network = copy.deepcopy(network).eval()  # a module may count its passes
        logits = self.logits(images)
        gradients = self._gradients(logits, torch.zeros_like(logits))
        self._others, self.network = buffers, network
        self._axes = [_memory_order(gradient) for gradient in gradients]
        for (name, leaf), axes in zip(self._leaves.items(), self._axes, strict=True):
            moved = leaf.detach().permute(axes).contiguous()
            self._leaves[name] = moved.permute(_inverse(axes)).requires_grad_()

    def logits(self, images: Tensor) -> Tensor:
        """Return the logits [R, B, classes] of each replica's own images [R, B, C, H, W]; buffers are updated."""
        logits: Tensor
        logits, others = self._each(self._leaves, self._others, images)
        self._others = {name: tensor.detach() for name, tensor in others.items()}
        return logits

    def logits_of_all(self, images: Tensor) -> Tensor:
        """Return the logits [R, B, classes] of the same images [B, C, H, W] for all, without gradients."""
        logits: Tensor
        with torch.no_grad():
            logits, _ = self._all(self._leaves, self._others, images)
        return logits

    def gradients(self, logits: Tensor, gradient: Tensor) -> list[Tensor]:
        """Return the gradients, one like each of `parameters`, for that of the loss with respect to the logits."""
        found = self._gradients(logits, gradient)
        return [one.permute(axes).contiguous() for one, axes in zip(found, self._axes, strict=True)]

    def finite(self) -> Tensor:
        """Return whether all trained parameters of each replica are finite [R]."""
        each = [leaf.isfinite().flatten(1).all(1) for leaf in self._leaves.values()]
        return torch.stack(each).all(0)

    def hand_back(self, replica: int, model: nn.Module) -> None:
        """Give `model` the parameters and buffers of this replica; leave it in evaluation mode."""
        stacked = self._leaves | self._others
        with torch.no_grad():
            for name, tensor in tensors_of(model).items():
                tensor.copy_(stacked[name][replica])
        model.eval()

    def _call(
        self, leaves: dict[str, Tensor], others: dict[str, Tensor], images: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return logits [B, classes] and the buffers after the pass, of one replica as vmap shows it."""
        tensors = {**leaves, **others}
        logits = functional_call(self.network, tensors, (images,))
        return logits, {name: tensors[name] for name in others}  # functional_call writes new buffers to its argument

    def _gradients(self, logits: Tensor, gradient: Tensor) -> tuple[Tensor, ...]:
        with (
            torch.enable_grad()
        ):  # a scalar whose gradient is `gradient`: given one, autograd imports sympy, for seconds
            scalar = (logits * gradient).sum()
        return torch.autograd.grad(scalar, list(self._leaves.values()), allow_unused=True, materialize_grads=True)


def _stacked(models: Sequence[Mapping[str, Tensor]], device: torch.device) -> dict[str, Tensor]:
    """Return each tensor of all the models [R, ...] on `device`."""
    shapes = [{name: tensor.shape for name, tensor in tensors.items()} for tensors in models]
    if any(shape != shapes[0] for shape in shapes):
        raise ValueError("replicas must have parameters and buffers of the same names and shapes")
    return {name: torch.stack([one[name].detach() for one in models]).to(device) for name in models[0]}


def _memory_order(tensor: Tensor) -> list[int]:
    """Return the axes from the largest stride to the smallest, the first being the replicas'; as they are if not dense.

    The permuted tensor is contiguous, so that elementwise kernels may run over its memory.
    """
    strides = tensor.stride()
    axes = [0, *sorted(range(1, tensor.dim()), key=lambda axis: -strides[axis])]
    return axes if tensor.permute(axes).is_contiguous() else list(range(tensor.dim()))


def _inverse(axes: Sequence[int]) -> list[int]:
    return [axes.index(axis) for axis in range(len(axes))]
