"""Where schemes lie among the phases of wide networks: the sigma_w and sigma_b of a hidden layer. Torch-free."""

from __future__ import annotations

import math
from collections.abc import Sequence

from initbench.errors import UsageError
from initbench.schemes import SchemeSpec, parse


def phase_points(
    schemes: Sequence[str], *, width: int, bias: float | str, activation: str
) -> dict[str, tuple[float, float]]:
    """Return label -> (sigma_w, sigma_b) of each scheme in a layer of `width` inputs and `width` units.

    sigma_w is the weights' std times sqrt(width), sigma_b the root mean square of the biases: of "default", PyTorch's
    U(±1/sqrt(width)), 1/sqrt(3 width). Raises UsageError for a scheme whose weights have no std by formula or are not
    drawn around 0, and for biases that are all one number other than 0: the phases are those of random networks.
    """
    if bias not in ("zeros", "default", 0):
        raise UsageError(f"init.bias {bias}: the phases are those of biases drawn around 0. Set init.bias=zeros.")
    sigma_b = 1 / math.sqrt(3 * width) if bias == "default" else 0.0
    specs = [parse(text) for text in schemes]
    return {spec.label: (_std(spec, (width, width), activation) * math.sqrt(width), sigma_b) for spec in specs}


def _std(spec: SchemeSpec, shape: tuple[int, int], activation: str) -> float:
    if spec.scheme.level == "weight" and 2 in spec.scheme.dimensions:
        claimed = spec.distribution(shape, activation)
        drawn_around_zero = claimed is not None and math.isclose(float(claimed.cdf(0.0)), 0.5, abs_tol=1e-9)
        std = spec.std(shape, activation)
        if std and (drawn_around_zero or spec.name == "orthogonal"):
            return std
    raise UsageError(
        f"scheme {spec.label!r} has no place among the phases: they are those of weights drawn around 0, with a std"
        " by formula. Leave it out."
    )
