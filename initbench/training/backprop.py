"""Logits and gradients of a model, stage by stage, with as little as possible around the matrix products.

A model that is a plain `nn.Sequential` is cut into stages. Linear layers and the common activations know their own
backward pass and write into memory that is kept from step to step; whatever else there is runs through torch's
autograd, as does a module that is no plain Sequential, as one stage. The numbers are autograd's up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch
from torch import Tensor, nn

from initbench.training.hooks import hooked
from initbench.training.precision import FullProducts, Precision

aten = torch.ops.aten
FEW_OUTPUTS = 32  # products of fewer columns take longer in bfloat16 than in float32 (measured with 10, on AMX)


class Stage(Protocol):
    """A part of a network; `gradients` belong to `parameters`, one by one, and are those of the last backward pass."""

    parameters: list[nn.Parameter]
    gradients: list[Tensor]

    def forward(self, x: Tensor) -> Tensor:
        """Return the output [B, ...] for the input x [B, ...], and remember what the backward pass needs."""

    def backward(self, gradient: Tensor, wanted: bool) -> Tensor | None:
        """Take the gradient with respect to the output (and overwrite it); return that to the input, where wanted."""


class Backprop:
    """A model's forward and backward pass: `logits = backprop.forward(images)`, then `backprop.backward(gradient)`.

    `parameters` are those that are trained, `gradients` theirs after a backward pass, in the same order; both passes
    are to be called within `mode()`, and within `products_in(precision)`. On CUDA bfloat16 is the business of
    torch's autocast, and the whole model that of autograd.
    """

    def __init__(self, model: nn.Module, precision: Precision = "float32", device: str = "cpu") -> None:
        rounded = precision == "bfloat16"
        self._stages = [AutogradStage(model)] if rounded and device != "cpu" else _stages(model, rounded)
        with_parameters = [index for index, stage in enumerate(self._stages) if stage.parameters]
        self._first = with_parameters[0] if with_parameters else len(self._stages)
        self.parameters = [parameter for stage in self._stages for parameter in stage.parameters]

    def mode(self) -> AbstractContextManager[None]:
        """Return the context for both passes: without autograd, but for stages that need it."""
        needed = any(isinstance(stage, AutogradStage) for stage in self._stages)
        return torch.no_grad() if needed else torch.inference_mode()

    @property
    def gradients(self) -> list[Tensor]:
        """The gradients of the last backward pass, one like each of `parameters`."""
        return [gradient for stage in self._stages for gradient in stage.gradients]

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits [B, C] of images [B, ...]."""
        x = images
        for stage in self._stages:
            x = stage.forward(x)
        return x

    def backward(self, gradient: Tensor) -> None:
        """Find the gradients for that of the loss with respect to the logits [B, C], which may be overwritten."""
        for index in range(len(self._stages) - 1, self._first - 1, -1):
            passed_on = self._stages[index].backward(gradient, index > self._first)
            if passed_on is not None:
                gradient = passed_on


class LinearStage:
    """y = x W^T + b for x [B, I], W [O, I], b [O]. dW = dy^T x, db = sum over B of dy, dx = dy W.

    With `rounded`, products are computed in bfloat16 around it; those of a layer with few outputs are not.
    """

    def __init__(self, layer: nn.Linear, rounded: bool) -> None:
        self._weight = layer.weight.detach()  # the same memory
        self._bias = None if layer.bias is None else layer.bias.detach()
        self._weight_t = self._weight.t()
        small = rounded and layer.out_features < FEW_OUTPUTS
        self._precision: AbstractContextManager[None] = FullProducts() if small else nullcontext()
        self.parameters = list(layer.parameters())  # weight, bias
        self.gradients = [torch.empty_like(parameter, requires_grad=False) for parameter in self.parameters]
        self._y = self._dx = self._weight.new_empty(0)
        self._x: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Return y [B, O], which the next stage may overwrite."""
        self._x = x
        if self._y.shape[0] != x.shape[0]:
            self._y, self._dx = x.new_empty(x.shape[0], self._weight.shape[0]), torch.empty_like(x)
        with self._precision:
            if self._bias is None:
                return torch.mm(x, self._weight_t, out=self._y)
            return torch.addmm(self._bias, x, self._weight_t, out=self._y)

    def backward(self, gradient: Tensor, wanted: bool) -> Tensor | None:
        """Find dW and db; return dx [B, I], where wanted."""
        if len(self.gradients) > 1:
            torch.sum(gradient, 0, out=self.gradients[1])
        with self._precision:
            torch.mm(gradient.t(), self._x, out=self.gradients[0])
            return torch.mm(gradient, self._weight, out=self._dx) if wanted else None


class ActivationStage:
    """y = phi(x) in place of x, which the linear layer before it needs no more; dx = dy phi'(x), a function of y."""

    def __init__(self, phi: Callable[[Tensor], Tensor], derivative: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.parameters: list[nn.Parameter] = []
        self.gradients: list[Tensor] = []
        self._phi, self._derivative = phi, derivative
        self._y: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Return y, in the memory of x."""
        self._y = self._phi(x)
        return self._y

    def backward(self, gradient: Tensor, wanted: bool) -> Tensor | None:
        """Return dx, in the memory of `gradient`."""
        return self._derivative(gradient, self._y) if wanted else None


ACTIVATIONS: dict[type[nn.Module], tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]] = {
    nn.ReLU: (torch.relu_, lambda dy, y: aten.threshold_backward.grad_input(dy, y, 0, grad_input=dy)),
    nn.Tanh: (torch.tanh_, lambda dy, y: aten.tanh_backward.grad_input(dy, y, grad_input=dy)),
    nn.Sigmoid: (torch.sigmoid_, lambda dy, y: aten.sigmoid_backward.grad_input(dy, y, grad_input=dy)),
}


class FlattenStage:
    """y [B, I] of x [B, ...]."""

    def __init__(self) -> None:
        self.parameters: list[nn.Parameter] = []
        self.gradients: list[Tensor] = []
        self._shape = torch.Size()

    def forward(self, x: Tensor) -> Tensor:
        """Return y."""
        self._shape = x.shape
        return x.flatten(1)

    def backward(self, gradient: Tensor, wanted: bool) -> Tensor | None:
        """Return the gradient in the shape of x."""
        return gradient.reshape(self._shape) if wanted else None


class AutogradStage:
    """Any module, through torch's autograd. A parameter that the output does not depend on gets a gradient of 0."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self.parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        self.gradients: list[Tensor] = []
        self._x: Tensor
        self._y: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Return the module's output, detached. The module may work in place: what it is given is nobody else's."""
        with torch.enable_grad():
            self._x = x.detach().requires_grad_()
            self._y = self._module(self._x.clone())
        return self._y.detach()

    def backward(self, gradient: Tensor, wanted: bool) -> Tensor | None:
        """Ask autograd for the gradients."""
        inputs: list[Tensor] = [self._x, *self.parameters] if wanted else [*self.parameters]
        with torch.enable_grad():  # of a sum, as torch.autograd.grad with a gradient of its own imports sympy
            weighted = (self._y * gradient).sum()
        found = list(torch.autograd.grad(weighted, inputs, allow_unused=True, materialize_grads=True))
        self._y = self._x  # the graph is not needed until the next step, its memory is
        passed_on = found.pop(0).contiguous() if wanted else None  # the stage before may write into it
        self.gradients = found
        return passed_on


def _stages(model: nn.Module, rounded: bool) -> list[Stage]:
    """Cut the model into stages; a module that might do more than its layers, one by one, is one stage."""
    if type(model) is not nn.Sequential or _watched(model) or _shares(model):
        return [AutogradStage(model)]
    stages: list[Stage] = []
    others: list[nn.Module] = []
    for layer in model:
        native = None if hooked(layer) else _native(layer, stages if not others else (), rounded)
        if native is None:
            others.append(layer)
            continue
        stages += _autograd(others)
        others = []
        stages.append(native)
    return stages + _autograd(others)


def _native(layer: nn.Module, before: Sequence[Stage], rounded: bool) -> Stage | None:
    """Return the stage of a layer whose backward pass is known, where it stands behind these; None for any other."""
    if type(layer) is nn.Flatten and (layer.start_dim, layer.end_dim) == (1, -1):
        return FlattenStage()
    behind = before[-1] if before else None
    if type(layer) is nn.Linear and isinstance(behind, FlattenStage | LinearStage | ActivationStage):
        return LinearStage(layer, rounded) if _all_trained(layer) else None
    if type(layer) in ACTIVATIONS and isinstance(behind, LinearStage):
        return ActivationStage(*ACTIVATIONS[type(layer)])
    return None


def _autograd(modules: Iterable[nn.Module]) -> list[Stage]:
    found = list(modules)
    return [AutogradStage(nn.Sequential(*found))] if found else []


def _all_trained(layer: nn.Module) -> bool:
    return all(parameter.requires_grad and parameter.dtype == torch.float32 for parameter in layer.parameters())


def _watched(model: nn.Sequential) -> bool:
    """Whether somebody waits on the passes through the model as a whole, not only through one of its layers."""
    return hooked(model) is not None and all(hooked(layer) is None for layer in model)


def _shares(model: nn.Module) -> bool:
    """Whether a module or a parameter stands at two places of the model."""
    modules = [id(module) for _, module in model.named_modules(remove_duplicate=False)]
    parameters = [id(parameter) for _, parameter in model.named_parameters(remove_duplicate=False)]
    return len(modules) != len(set(modules)) or len(parameters) != len(set(parameters))
