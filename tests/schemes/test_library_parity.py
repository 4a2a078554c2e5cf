"""What Keras and JAX mean by a name, and the scheme here that means the same: compared with the libraries themselves.

Their kernels are [*kernel, in, out], ours [out, in, *kernel]: theirs are drawn in their layout, then turned round.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scheme_table import Shape
from scipy import stats

from initbench import initialize
from initbench.schemes import parse

pytestmark = pytest.mark.xdist_group("parity")  # importing the libraries takes seconds: in one process only

Array = NDArray[np.float32]
DENSE, CONV = (300, 200), (48, 32, 3, 3)  # in and out differ, so that a mix-up of the fans shows
SMALL = ((120, 80), CONV)  # for what takes a decomposition of the whole matrix
MODES = ("fan_in", "fan_out", "fan_avg")


@dataclass(frozen=True)
class Row:
    """An initializer with its arguments, the scheme that means the same, and the layers that both are defined on."""

    name: str
    scheme: str
    arguments: dict[str, Any] = field(default_factory=dict)
    shapes: tuple[Shape, ...] = (DENSE, CONV)

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{key}={value}' for key, value in self.arguments.items())})"


def scalings(kinds: dict[str, str]) -> list[tuple[dict[str, Any], str]]:
    """Return (arguments of variance scaling, our scheme) for all modes and for kinds {theirs: ours}."""
    return [
        (
            {"scale": 0.7, "mode": mode, "distribution": theirs},
            f"variance_scaling:scale=0.7:mode={mode}:distribution={ours}",
        )
        for mode in MODES
        for theirs, ours in kinds.items()
    ]


KERAS = [
    Row("RandomNormal", "normal:std=0.05"),
    Row("RandomUniform", "uniform:a=-0.05:b=0.05"),
    # Cut at 2 std; the std is not corrected for it, unlike in VarianceScaling.
    Row("TruncatedNormal", "trunc_normal:std=0.05:a=-0.1:b=0.1"),
    Row("VarianceScaling", "variance_scaling"),
    # Keras' "normal" is truncated too; the one that is not is called "untruncated_normal".
    *(
        Row("VarianceScaling", scheme, arguments)
        for arguments, scheme in scalings(
            {
                "truncated_normal": "truncated_normal",
                "normal": "truncated_normal",
                "untruncated_normal": "normal",
                "uniform": "uniform",
            }
        )
    ),
    Row("GlorotNormal", "xavier_normal:truncated=true"),
    Row("GlorotUniform", "xavier_uniform"),
    Row("HeNormal", "he_normal:truncated=true"),
    Row("HeUniform", "he_uniform"),
    Row("LecunNormal", "lecun_normal:truncated=true"),
    Row("LecunUniform", "lecun_uniform"),
    # Both flatten all but the outputs, in another order: uniform over the same set of matrices.
    Row("Orthogonal", "orthogonal", shapes=SMALL),
    Row("Orthogonal", "orthogonal:gain=2", {"gain": 2.0}, shapes=SMALL),
    Row("Identity", "eye", shapes=(DENSE,)),
    Row("Zeros", "zeros"),
    Row("Ones", "ones"),
    Row("Constant", "constant:val=0"),
    Row("Constant", "constant:val=0.3", {"value": 0.3}),
]
NOT_IN_KERAS_TABLE = {
    "Initializer": "the base class",
    "STFT": "fixed weights for one layer of signal processing, not a start for training",
}

JAX = [
    Row("normal", "normal:std=0.01"),
    Row("uniform", "uniform:a=0:b=0.01"),  # one-sided
    # The bounds are in std; the std is not corrected for them.
    Row("truncated_normal", "trunc_normal:std=0.01:a=-0.02:b=0.02"),
    Row(
        "truncated_normal",
        "trunc_normal:std=0.5:a=-0.5:b=0.75",
        {"stddev": 0.5, "lower": -1.0, "upper": 1.5},
    ),
    # A fourth mode, "fan_geo_avg", has no counterpart here.
    *(
        Row("variance_scaling", scheme, arguments)
        for arguments, scheme in scalings({kind: kind for kind in ("truncated_normal", "normal", "uniform")})
    ),
    Row("glorot_normal", "xavier_normal:truncated=true"),
    Row("glorot_uniform", "xavier_uniform"),
    Row("he_normal", "he_normal:truncated=true"),
    Row("he_uniform", "he_uniform"),
    Row("lecun_normal", "lecun_normal:truncated=true"),
    Row("lecun_uniform", "lecun_uniform"),
    Row("orthogonal", "orthogonal", shapes=SMALL),
    Row("orthogonal", "orthogonal:gain=2", {"scale": 2.0}, shapes=SMALL),
    Row("delta_orthogonal", "delta_orthogonal", shapes=(CONV, (24, 16, 5), (24, 16, 4, 2), (16, 16, 2, 3, 3))),
    Row("delta_orthogonal", "delta_orthogonal:gain=2", {"scale": 2.0}, shapes=(CONV,)),
    Row("zeros", "zeros"),
    Row("ones", "ones"),
    Row("constant", "constant:val=0.3", {"value": 0.3}),
]
NOT_IN_JAX_TABLE = {"Initializer": "the protocol"}


def library(name: str) -> ModuleType:
    module: ModuleType = pytest.importorskip(name, reason=f"needs {name}: pip install initbench[parity]")
    return module


@pytest.fixture(scope="module")
def jax(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """JAX on the CPU. What it and Keras read from the environment is set before their first import."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("JAX_PLATFORMS", "cpu")
        environment.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # compiling is what takes the time
        environment.setenv("KERAS_BACKEND", "jax")
        environment.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))  # not the user's home folder
        yield library("jax")


@pytest.fixture(scope="module")
def keras(jax: ModuleType) -> ModuleType:
    """Keras on its JAX backend."""
    found = library("keras")
    assert found.backend.backend() == "jax"
    return found


def turned_round(weight: Any) -> Array:
    """Return [*kernel, in, out] as [out, in, *kernel]."""
    return np.moveaxis(np.asarray(weight), (-1, -2), (0, 1))


def keras_draw(keras: ModuleType, row: Row, shape: Shape, seed: int = 0) -> Array:
    initializer = getattr(keras.initializers, row.name)
    seeded = {"seed": seed} if "seed" in inspect.signature(initializer).parameters else {}
    return turned_round(initializer(**row.arguments, **seeded)((*shape[2:], shape[1], shape[0])))


def jax_draw(jax: ModuleType, row: Row, shape: Shape, seed: int = 0) -> Array:
    initializer = getattr(jax.nn.initializers, row.name)
    if row.name not in ("zeros", "ones"):  # which are not made with arguments first
        initializer = initializer(**row.arguments)
    return turned_round(initializer(jax.random.key(seed), (*shape[2:], shape[1], shape[0])))


def our_draw(scheme: str, shape: Shape) -> Array:
    spec, weight = parse(scheme), torch.empty(shape)
    spec.scheme.fill(weight, generator=torch.Generator().manual_seed(0), **spec.params)
    return weight.numpy()


def assert_drawn_alike(theirs: Array, ours: Array, scheme: str) -> None:
    """Compare mean, std, whole distribution and bounds of two samples of n (nearly) independent entries."""
    assert theirs.shape == ours.shape
    std, n = float(ours.std()), ours.size
    assert theirs.mean() == pytest.approx(ours.mean(), abs=5 * math.sqrt(2 / n) * std)
    # 5 standard errors of a difference of two stds; those of entries that end sooner than a normal's are smaller
    assert theirs.std() == pytest.approx(std, rel=5 / math.sqrt(n))
    # Their draws change with their versions, so this must never fail by chance; a wrong rule has p < 1e-7 on DENSE.
    assert stats.ks_2samp(theirs.ravel(), ours.ravel()).pvalue > 1e-5
    claimed = parse(scheme).distribution(ours.shape)
    if claimed and math.isfinite(claimed.support()[0]):
        low, high = claimed.support()
        slack = 1e-5 * (high - low)
        for weight in (theirs, ours):
            assert low - slack <= weight.min() < low + 0.01 * (high - low)
            assert high - 0.01 * (high - low) < weight.max() <= high + slack
    else:  # about 4 std; a normal that is cut has 2.3 at most
        assert abs(theirs).max() == pytest.approx(abs(ours).max(), rel=0.35)


def assert_orthogonal_alike(theirs: Array, ours: Array, scheme: str) -> None:
    """Compare where the entries are not 0 (delta_orthogonal: at the centre only), and what they are there."""
    assert np.array_equal(theirs != 0, ours != 0)
    their_values, our_values = (np.linalg.svd(w.reshape(len(w), -1), compute_uv=False) for w in (theirs, ours))
    np.testing.assert_allclose(their_values, our_values, atol=1e-5)
    assert_drawn_alike(theirs[theirs != 0], ours[ours != 0], scheme)


def assert_parity(draw: Callable[[Row, Shape], Array], row: Row) -> None:
    for shape in row.shapes:
        theirs, ours = draw(row, shape), our_draw(row.scheme, shape)
        if parse(row.scheme).name in ("eye", "zeros", "ones", "constant"):
            assert np.array_equal(theirs, ours)
        elif "orthogonal" in row.scheme:
            assert_orthogonal_alike(theirs, ours, row.scheme)
        else:
            assert_drawn_alike(theirs, ours, row.scheme)


@pytest.mark.parametrize("row", JAX, ids=str)
def test_jax_means_the_same(jax: ModuleType, row: Row) -> None:
    assert_parity(lambda row, shape: jax_draw(jax, row, shape), row)


@pytest.mark.parametrize("row", KERAS, ids=str)
def test_keras_means_the_same(keras: ModuleType, row: Row) -> None:
    assert_parity(lambda row, shape: keras_draw(keras, row, shape), row)


@pytest.mark.parametrize(
    ("scheme", "other"),
    [
        ("he_normal:truncated=true", "he_normal"),
        ("trunc_normal:std=0.05:a=-0.1:b=0.1", f"variance_scaling:scale={0.05**2 * 288}"),  # std 0.05 after the cut
        ("xavier_uniform", "he_uniform:gain=1"),
        ("orthogonal", "xavier_normal"),
    ],
)
def test_what_differs_is_told_apart(scheme: str, other: str) -> None:
    assert_drawn_alike(our_draw(scheme, CONV), our_draw(scheme, CONV), scheme)
    with pytest.raises(AssertionError):
        assert_drawn_alike(our_draw(other, CONV), our_draw(scheme, CONV), scheme)


def test_keras_draws_the_gates_of_an_lstm_as_one_matrix(keras: ModuleType) -> None:
    """Its gates are not orthogonal by themselves; ours are, which is what the papers on recurrent weights mean."""
    orthogonal = keras.initializers.Orthogonal(seed=0)
    theirs = keras.layers.LSTM(16, recurrent_initializer=orthogonal, kernel_initializer="zeros")
    theirs.build((None, None, 8))
    kernel = turned_round(theirs.cell.recurrent_kernel)  # [4 x 16, 16]
    np.testing.assert_allclose(np.linalg.svd(kernel, compute_uv=False), 1, atol=1e-5)
    ours = torch.nn.LSTM(8, 16)
    initialize(ours, "orthogonal", generator=torch.Generator().manual_seed(0))
    our_gates = ours.get_parameter("weight_hh_l0").detach().chunk(4)
    for their_gate, our_gate in zip(np.split(kernel, 4), our_gates, strict=True):
        assert np.linalg.svd(their_gate, compute_uv=False).min() < 0.5
        torch.testing.assert_close(torch.linalg.svdvals(our_gate), torch.ones(16), rtol=0, atol=1e-5)


def test_every_keras_initializer_has_a_row(keras: ModuleType) -> None:
    public = {
        thing.__name__
        for thing in vars(keras.initializers).values()
        if inspect.isclass(thing) and issubclass(thing, keras.initializers.Initializer)
    }
    assert public - NOT_IN_KERAS_TABLE.keys() == {row.name for row in KERAS}


def test_every_jax_initializer_has_a_row(jax: ModuleType) -> None:
    public = {
        thing.__name__  # which aliases share: xavier_normal is glorot_normal
        for name, thing in vars(jax.nn.initializers).items()
        if callable(thing) and not name.startswith("_")
    }
    assert public - NOT_IN_JAX_TABLE.keys() == {row.name for row in JAX}
