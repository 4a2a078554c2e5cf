"""MetaInit: learn the norms of the weights so that the gradient changes little along a step in its direction."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from initbench.errors import SchemeError
from initbench.events import InitStep
from initbench.schemes.catalogue import register_scheme
from initbench.schemes.filling import fill, streams
from initbench.schemes.samples import Samples
from initbench.schemes.weights import weights

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

EPS = 1e-5  # in the denominator of the gradient quotient
Start = Literal["default", "xavier_normal", "he_normal", "lecun_normal", "orthogonal"]


@register_scheme(
    "metainit",
    formula="norms of W ← argmin mean |(g - Hg) / (g + eps·sgn g) - 1|",
    source="Dauphin & Schoenholz 2019, section 3, eq. 1 and algorithm 1",
    good_for="any differentiable model, without a formula for it",
    needs="a batch",
)
def metainit(
    model: "nn.Module",
    *,
    generator: "Generator",
    data: Samples,
    report: Callable[[InitStep], None],
    start: Start = "he_normal",
    steps: Annotated[int, Field(ge=1, le=10_000)] = 50,
    lr: Annotated[float, Field(gt=0, le=100)] = 0.1,
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.5,
    batch_size: Annotated[int, Field(ge=1, le=100_000)] = 100,
) -> None:
    """Minimise the gradient quotient over the norms of the weights, by signed gradient steps with momentum.

    The directions of the weights stay those of `start`. Each step sees another batch of images with their labels;
    where there are none, with random ones. Weights that need no gradient keep their norms. Raises SchemeError where
    the quotient is not finite, which a smaller `lr` may mend.
    """
    import torch

    stream = streams(generator)
    for weight in weights(model):
        fill(weight, start, generator=stream(weight.name))
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    scaled = [parameter for parameter in parameters if parameter.dim() >= 2]
    velocity = [0.0] * len(scaled)
    for step in range(1, steps + 1):
        images, labels = data.draw(batch_size, stream(f"batch {step}"), model)
        with torch.enable_grad():
            quotient = gradient_quotient(_loss(model, images, labels, stream(f"labels {step}")), parameters)
        if not quotient.isfinite():
            raise SchemeError(
                f"scheme 'metainit': the gradient quotient is not finite at step {step}; lower lr, or start elsewhere."
            )
        slopes = torch.autograd.grad(quotient, scaled, allow_unused=True, materialize_grads=True)
        for index, (parameter, slope) in enumerate(zip(scaled, slopes, strict=True)):
            velocity[index] = momentum * velocity[index] - lr * _sign_along(parameter, slope)
            _change_norm(parameter.detach(), velocity[index])
        report(InitStep(f"metainit: gradient quotient {float(quotient.detach()):.4f}", step, steps))


def gradient_quotient(loss: "Tensor", parameters: list["nn.Parameter"]) -> "Tensor":
    """Return the mean over all parameters of |(g - Hg) / (g + eps sgn g) - 1|, differentiable (eq. 1)."""
    import torch

    gradients = torch.autograd.grad(loss, parameters, create_graph=True, allow_unused=True, materialize_grads=True)
    half_square = sum((gradient.square().sum() for gradient in gradients), start=loss.new_zeros(())) / 2
    products = torch.autograd.grad(
        half_square, parameters, create_graph=True, allow_unused=True, materialize_grads=True
    )
    total = loss.new_zeros(())
    for gradient, product in zip(gradients, products, strict=True):  # product = Hg
        sign = torch.where(gradient.detach() >= 0, 1.0, -1.0)
        total = total + ((gradient - product) / (gradient + EPS * sign) - 1).abs().sum()
    return total / sum(parameter.numel() for parameter in parameters)


def _loss(model: "nn.Module", images: "Tensor", labels: "Tensor | None", generator: "Generator") -> "Tensor":
    import torch
    from torch.nn.functional import cross_entropy

    logits = model(images)
    if labels is None:
        labels = torch.randint(logits.shape[1], (len(logits),), generator=generator).to(logits.device)
    elif labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise SchemeError(
            f"labels from {labels.min()} to {labels.max()} given, and the model has {logits.shape[1]} logits."
        )
    return cross_entropy(logits, labels)


def _sign_along(weight: "Tensor", slope: "Tensor") -> float:
    """Return the sign of the derivative with respect to the norm of `weight`."""
    return float((weight.detach() * slope).sum().sign())


def _change_norm(weight: "Tensor", change: float) -> None:
    """Add `change` to the norm of `weight`; it stays above 0, so that the direction is kept."""
    norm = float(weight.norm())
    if norm > 0:
        weight.mul_(max(norm + change, EPS * norm) / norm)
