"""Logits and gradients against torch's autograd, for every model and for what a user's module may do."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from initbench.training.backprop import AutogradStage, Backprop, LinearStage


class Scaled(nn.Sequential):
    """A Sequential that does more than its layers."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


def shared() -> nn.Module:
    layer = nn.Linear(6, 6)
    return nn.Sequential(nn.Flatten(), layer, nn.ReLU(), layer, nn.ReLU(), nn.Linear(6, 3))


def frozen() -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))
    model[3].weight.requires_grad_(False)
    return model


def hooked() -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    model[1].register_forward_hook(lambda module, given, output: 3 * output)
    return model


class Minus(nn.Module):
    """Works in place on what it is given."""

    def forward(self, x: Tensor) -> Tensor:
        x -= 0.5
        return x


class Total(nn.Module):
    """The gradient of a sum is one number for all: expanded, not stored."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sum(1, keepdim=True).expand(-1, 3) * torch.ones(3)


def weight_hook() -> nn.Module:
    model = stack(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    model[1].weight.register_hook(lambda gradient: 0 * gradient)
    return model


def own_forward() -> nn.Module:
    model = stack(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    layer = model[1]
    layer.forward = lambda x: 2 * nn.functional.linear(x, layer.weight)
    return model


def unused() -> nn.Module:
    model = Scaled(nn.Flatten(), nn.Linear(6, 3))
    model.register_parameter("idle", nn.Parameter(torch.ones(2)))
    return model


def stack(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Flatten(), *layers)


MODELS: dict[str, tuple[Callable[[], nn.Module], int]] = {  # and how many Linear stages they have
    "softmax regression": (lambda: stack(nn.Linear(6, 3)), 1),
    "relu": (lambda: stack(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)), 3),
    "tanh, sigmoid": (lambda: stack(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4), nn.Sigmoid(), nn.Linear(4, 3)), 3),
    "no biases": (lambda: stack(nn.Linear(6, 5, bias=False), nn.ReLU(), nn.Linear(5, 3, bias=False)), 2),
    "others between": (lambda: stack(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.GELU(), nn.Linear(5, 3)), 1),
    "linear after linear": (lambda: stack(nn.Linear(6, 5), nn.Linear(5, 3)), 2),
    "activation first": (lambda: nn.Sequential(nn.ReLU(), nn.Flatten(), nn.ReLU(), nn.Linear(6, 3)), 0),
    "convolution": (lambda: nn.Sequential(nn.Conv2d(1, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(4, 3)), 1),
    "activation twice": (lambda: stack(nn.Linear(6, 5), nn.Tanh(), nn.Sigmoid(), nn.Linear(5, 3)), 1),
    "identity": (lambda: stack(nn.Linear(6, 5), nn.Identity(), nn.Linear(5, 3)), 1),
    "in place": (lambda: stack(nn.Linear(6, 5), nn.LeakyReLU(inplace=True), nn.Linear(5, 3)), 1),
    "in place on the images": (lambda: nn.Sequential(Minus(), nn.Flatten(), nn.Linear(6, 3)), 1),
    "in place behind a layer": (lambda: stack(nn.Linear(6, 5), Minus(), nn.Linear(5, 3)), 1),
    "expanded gradient": (lambda: stack(nn.Linear(6, 5), nn.Tanh(), Total()), 1),
    "hook on a weight": (weight_hook, 0),
    "forward of one layer's own": (own_forward, 0),
    "shared layer": (shared, 0),
    "frozen weight": (frozen, 1),
    "hook": (hooked, 0),
    "a Sequential of one's own": (lambda: Scaled(nn.Flatten(), nn.Linear(6, 3)), 0),
    "unused parameter": (unused, 0),
}


def by_autograd(model: nn.Module, images: Tensor, gradient: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
    logits = model(images)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    found = torch.autograd.grad(logits, trained, gradient, allow_unused=True, materialize_grads=True)
    return logits.detach(), {id(parameter): one for parameter, one in zip(trained, found, strict=True)}


@pytest.mark.parametrize("name", MODELS)
def test_logits_and_gradients_are_autograds_batch_after_batch(name: str) -> None:
    torch.manual_seed(0)
    build, linear_stages = MODELS[name]
    model = build()
    backprop = Backprop(model)
    assert sum(isinstance(stage, LinearStage) for stage in backprop._stages) == linear_stages
    for size in (4, 4, 7, 2):  # another size makes new buffers
        images, gradient = torch.randn(size, 1, 2, 3), torch.randn(size, 3)
        kept = images.clone()
        logits, gradients = by_autograd(model, images.clone(), gradient)
        with backprop.mode():
            ours = backprop.forward(images).clone()
            backprop.backward(gradient.clone())
        torch.testing.assert_close(ours, logits)
        assert {id(parameter) for parameter in backprop.parameters} == gradients.keys()
        for parameter, found in zip(backprop.parameters, backprop.gradients, strict=True):
            torch.testing.assert_close(found, gradients[id(parameter)])
        assert torch.equal(images, kept) or name == "activation first"


def test_where_autocast_rounds_all_is_autograds() -> None:
    backprop = Backprop(stack(nn.Linear(6, 3)), "bfloat16", "cuda")
    assert [type(stage) for stage in backprop._stages] == [AutogradStage]


def test_the_first_layer_is_not_asked_for_the_gradient_of_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """A product that nobody needs: 100 x 256 x 784 of the default model's."""
    wanted: list[bool] = []
    real = LinearStage.backward

    def backward(stage: LinearStage, gradient: Tensor, wanted_here: bool) -> Tensor | None:
        wanted.append(wanted_here)
        return real(stage, gradient, wanted_here)

    monkeypatch.setattr(LinearStage, "backward", backward)
    backprop = Backprop(stack(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)))
    with backprop.mode():
        backprop.forward(torch.randn(4, 1, 2, 3))
        backprop.backward(torch.randn(4, 3))
    assert wanted == [True, False]
