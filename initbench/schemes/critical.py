"""The edge of chaos: weights and biases for which signal and gradient go through any depth at their size."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from initbench.errors import SchemeError
from initbench.schemes.catalogue import register_scheme
from initbench.schemes.fans import fans
from initbench.schemes.filling import fill, streams
from initbench.schemes.residual import residual_blocks
from initbench.schemes.weights import biases, weights

if TYPE_CHECKING:
    from torch import Generator, nn

    from initbench.mean_field import Critical

Sigma = Annotated[float, Field(ge=0)] | Literal["auto"]


def critical_sigmas(activation: str | None, sw: Sigma, sb: Sigma) -> "Critical":
    """Return (sigma_w, sigma_b, q*): those given, and those on the critical line of `activation` where one is auto."""
    from initbench.mean_field import critical_point

    if activation is None:
        raise SchemeError("it needs an activation: pass activation=...")
    given = None if sw == "auto" else sw, None if sb == "auto" else sb
    try:
        return critical_point(activation, sigma_w=given[0], sigma_b=given[1])
    except SchemeError as error:
        raise SchemeError(str(error).replace("sigma_w", "sw").replace("sigma_b", "sb")) from None


def has_critical_point(model: "nn.Module", activation: str | None, sw: Sigma, sb: Sigma) -> None:
    """Raise SchemeError for an activation without such a point, and for networks that the theory is not about."""
    if residual_blocks(model) or any(weight.is_recurrent for weight in weights(model)):
        raise SchemeError(
            "its theory is about plain feed-forward networks, without recurrent layers or residual blocks."
        )
    critical_sigmas(activation, sw, sb)


@register_scheme(
    "critical",
    aliases=("edge_of_chaos",),
    formula="W ~ N(0, sw²/fan_in), b ~ N(0, sb²), sw²·E[φ'(√q·z)²] = 1 at the fixed point q of the variance",
    source="Poole et al. 2016, eq. 3 and 5; Schoenholz et al. 2017, section 3",
    good_for="very deep plain networks, any activation that has a critical point",
    sets_biases=True,
    fits=has_critical_point,
)
def critical(
    model: "nn.Module",
    *,
    generator: "Generator",
    activation: str | None = None,
    sw: Sigma = "auto",
    sb: Sigma = "auto",
) -> None:
    """Draw weights and biases at the border between order and chaos.

    What is auto is solved for; where both are, the critical line's first point is taken: sb = 0, or the smallest that
    has one (gelu .416, silu .745). Where both are given they are used as they are, critical or not.
    """
    sigmas, stream = critical_sigmas(activation, sw, sb), streams(generator)
    for weight in weights(model):
        std = sigmas.sigma_w / fans(weight.shape)[0] ** 0.5
        fill(weight, f"normal:std={std}", generator=stream(weight.name))
    for name, _, bias in biases(model):
        bias.detach().normal_(0.0, sigmas.sigma_b, generator=stream(name))
