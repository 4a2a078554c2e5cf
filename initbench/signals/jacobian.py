"""The singular values of a layer's Jacobian, without the Jacobian: stochastic Lanczos quadrature.

J = dz_l / dz_(l-1) [m, n] of one sample is given by its products only, J u and J^T w, which autograd has for any layer.
k steps of Lanczos on J^T J (or J J^T, the smaller one), begun at a random direction, give k Ritz values and weights
that stand for its whole spectrum: for a smooth f the weighted mean of f is the mean of f over all eigenvalues, up to
O(1 / sqrt(n)) for the one direction. Each sample has its own J and its own direction; their mean is reported.

Sources: Glorot & Bengio 2010, section 4.2.2 (what is measured); Golub & Meurant 1994, "Matrices, moments and
quadrature"; Ubaru, Chen & Saad 2017, "Fast estimation of tr(f(A)) via stochastic Lanczos quadrature".
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from initbench.results import Spectrum
from initbench.signals.misfits import misfits
from initbench.signals.trace import Use, batch_first, watched
from initbench.spacing import evenly

STEPS = 24
PROBED_ENTRIES = 8192  # a spectrum is a mean over so many samples x units: about 1 % of sampling error in the mean,
FEWEST_PROBES, MOST_PROBES = 4, 512  # which is 2 to 3 % for fewer than 16 units
PERCENTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
Product = Callable[[Tensor], Tensor]


def jacobians(
    model: nn.Module, images: Tensor, rows: Mapping[str, Mapping[str, Any]], wanted: int, generator: Generator | None
) -> dict[str, Spectrum | None]:
    """Return the spectrum of dz_l / dz_(l-1) for `wanted` of the hidden rows at most; one sample a probe."""
    hidden = list(rows)[:-1]
    pairs = [(hidden[index], hidden[index + 1]) for index in evenly(len(hidden) - 1, wanted)]
    generator = generator or torch.Generator().manual_seed(0)
    found: dict[str, Spectrum | None] = {}
    by_probes: dict[int, list[tuple[str, str]]] = {}
    for pair in pairs:
        by_probes.setdefault(_probes(min(rows[name]["values"] for name in pair)), []).append(pair)
    for probes, some in by_probes.items():
        kept = _Kept({name for pair in some for name in pair}, probes)
        # attention's fused kernels have no second derivative, which J u takes
        with watched(model, kept), misfits(), sdpa_kernel(SDPBackend.MATH):
            model(images[torch.arange(probes) % len(images)])
        for before, after in some:
            inputs, outputs = kept.values[before], kept.values[after]
            if inputs.requires_grad and len(inputs) == len(outputs) == probes:
                with contextlib.suppress(RuntimeError):  # an operation of a user's that has no second derivative
                    found[after] = spectrum(inputs, outputs, generator)
    return found


def _probes(size: int) -> int:
    """Return how many samples to probe where the smaller side of a Jacobian has `size` entries."""
    return min(MOST_PROBES, max(FEWEST_PROBES, math.ceil(PROBED_ENTRIES / size)))


class _Kept:
    """Keeps the activations of some uses, samples in front."""

    def __init__(self, names: set[str], samples: int) -> None:
        self.names = names
        self.samples = samples
        self.values: dict[str, Tensor] = {}

    def pre_activation(self, use: Use, value: Tensor) -> None:
        """Do nothing."""

    def activation(self, use: Use, value: Tensor) -> None:
        """Keep it, if it is wanted."""
        if use.name in self.names:
            self.values[use.name] = batch_first(value, self.samples)

    def sequence(self, uses: list[Use], value: Tensor) -> Tensor:
        """Return what was given."""
        return value


def spectrum(inputs: Tensor, outputs: Tensor, generator: Generator) -> Spectrum | None:
    """Return the singular values of d outputs / d inputs, per sample: inputs [B, ...], outputs [B, ...] of one graph.

    None where the outputs do not depend on the inputs, or the products are not finite. The graph is kept.
    """
    products = _products(inputs, outputs)
    if products is None:
        return None
    first, second = products if inputs[0].numel() <= outputs[0].numel() else products[::-1]
    size = min(inputs[0].numel(), outputs[0].numel())
    start = torch.randn(len(inputs), size, generator=generator).to(inputs)
    scale = float(first(start).abs().max()) or 1.0  # about that of J, whose square a float32 may not hold
    values, weights = lanczos(lambda u: second(first(u) / scale) / scale, start, min(STEPS, size))
    return None if values is None or weights is None else _summary(values.clamp(min=0).sqrt() * scale, weights)


def _products(inputs: Tensor, outputs: Tensor) -> tuple[Product, Product] | None:
    """Return u -> J u and w -> J^T w for flat u [B, n], w [B, m]; the first by differentiating J^T v by v.

    Both are gradients of the scalars <J^T v, u> and <z, w>: for a product with a tensor torch would import sympy.
    """
    dummy = torch.zeros_like(outputs, requires_grad=True)
    (pulled,) = torch.autograd.grad((outputs * dummy).sum(), inputs, create_graph=True, allow_unused=True)
    if pulled is None or not pulled.requires_grad:
        return None

    def forward(u: Tensor) -> Tensor:
        (pushed,) = torch.autograd.grad((pulled * u.view_as(inputs)).sum(), dummy, retain_graph=True)
        return pushed.flatten(1)

    def backward(w: Tensor) -> Tensor:
        (back,) = torch.autograd.grad((outputs * w.view_as(outputs)).sum(), inputs, retain_graph=True)
        return back.flatten(1)

    return forward, backward


def lanczos(product: Product, start: Tensor, steps: int) -> tuple[Tensor, Tensor] | tuple[None, None]:
    """Return Ritz values [B, k] and their weights [B, k] (which sum to 1) of B symmetric operators [n, n].

    `product` maps [B, n] to [B, n]; `start` [B, n] are the first directions. Every new direction is made orthogonal to
    all before it, twice, so that float32 does. Where the directions are exhausted the rest has weight 0. (None, None)
    for operators that are not finite.
    """
    batch, size = start.shape
    basis = start.new_zeros(batch, steps, size)
    tridiagonal = torch.zeros(batch, steps, steps, dtype=torch.float64, device=start.device)
    direction = start / start.norm(dim=1, keepdim=True)
    scale = start.new_zeros(batch)
    for step in range(steps):
        basis[:, step] = direction
        image = product(direction)
        tridiagonal[:, step, step] = (direction * image).sum(1).double()
        scale = torch.maximum(scale, image.norm(dim=1))
        for _ in range(2):
            image = image - (basis.mT @ (basis @ image.unsqueeze(2))).squeeze(2)
        length = image.norm(dim=1)
        length = torch.where(length > 10 * torch.finfo(start.dtype).eps * scale, length, 0.0)
        if step + 1 < steps:
            tridiagonal[:, step, step + 1] = tridiagonal[:, step + 1, step] = length.double()
        direction = image / torch.where(length > 0, length, torch.inf).unsqueeze(1)
    if not tridiagonal.isfinite().all():
        return None, None
    values, vectors = torch.linalg.eigh(tridiagonal)
    return values, vectors[:, 0].square()


def _summary(singular: Tensor, weights: Tensor) -> Spectrum:
    values, order = singular.flatten().sort()
    shares = weights.flatten()[order] / len(singular)
    below = shares.cumsum(0)
    places = torch.searchsorted(below, torch.tensor(PERCENTILES, dtype=below.dtype, device=below.device))
    p5, p25, p50, p75, p95 = values[places.clamp(max=len(values) - 1)].tolist()
    counted = values[shares > 1e-12]
    return Spectrum(
        mean=float((values * shares).sum()), percentiles=(p5, p25, p50, p75, p95), largest=float(counted.max())
    )
