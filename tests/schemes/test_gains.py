"""The gain of every activation: against published figures and closed forms, and what `schemes --gains` shows."""

from __future__ import annotations

import io
import math
import subprocess
import sys

import pytest
import torch
from rich.console import Console
from scipy.special import ndtr

from initbench import initialize
from initbench.activations import MODULES
from initbench.errors import SchemeError
from initbench.mean_field import CURVES, expectation, second_moment
from initbench.report.gains_view import gains_view
from initbench.schemes import parse
from initbench.schemes.gains import GAINS, gain_table, gain_value, quadrature_gain, resolve_gain

# "Normalizer-free" gammas, 1 / std(phi(z)) from a random sample (Brock et al. 2021, "High-performance large-scale image
# recognition without normalization"; its published code)
GAMMAS = {
    "elu": 1.2716004848480225,
    "gelu": 1.7015043497085571,
    "leaky_relu": 1.70590341091156,
    "relu": 1.7139588594436646,
    "selu": 1.0008515119552612,
    "sigmoid": 4.803835391998291,
    "silu": 1.7881293296813965,
    "softsign": 2.338853120803833,
    "tanh": 1.5939117670059204,
}


@pytest.mark.parametrize("activation", GAMMAS)
def test_published_gammas(activation: str) -> None:
    """They leave out the mean, which the gain keeps: 1 / gamma^2 = E[phi^2] - E[phi]^2; alike where phi is odd."""
    variance = quadrature_gain(activation) ** -2 - expectation(CURVES[activation].phi) ** 2
    assert variance**-0.5 == pytest.approx(GAMMAS[activation], rel=2e-3)


def test_gains_by_quadrature_equal_their_closed_forms() -> None:
    elu = 1 + math.exp(2) * ndtr(-2) - 2 * math.exp(0.5) * ndtr(-1)  # 1/2 from above 0, the rest from below
    expected = {"relu": math.sqrt(2), "linear": 1.0, "selu": 1.0, "elu": elu**-0.5}
    assert {name: quadrature_gain(name) for name in expected} == pytest.approx(expected, rel=1e-13)


def test_the_table_has_every_activation_with_its_origin() -> None:
    rows = {row.activation: row for row in gain_table()}
    assert rows.keys() == MODULES.keys()
    for name, row in rows.items():
        assert row.quadrature == pytest.approx(second_moment(name, 1.0) ** -0.5, rel=1e-15)
        assert row.origin == ("torch.nn.init.calculate_gain" if name in GAINS else "1/sqrt(E[phi(z)^2])")
        assert row.gain == gain_value(name) == GAINS.get(name, row.quadrature)  # type: ignore[arg-type]


@pytest.mark.parametrize("activation", MODULES)
def test_every_activation_can_be_named_or_left_to_auto(activation: str) -> None:
    def weight(spec: str) -> torch.Tensor:
        layer = torch.nn.Linear(40, 30)
        initialize(layer, spec, generator=torch.Generator().manual_seed(0), activation=activation)
        return layer.weight

    named = weight(f"xavier:gain={activation}")
    assert torch.equal(named, weight("xavier:gain=auto"))
    assert torch.equal(named, weight(f"xavier:gain={gain_value(activation)!r}"))  # type: ignore[arg-type]
    assert parse(f"he_normal:gain={activation}").std((30, 40)) == pytest.approx(
        gain_value(activation) / math.sqrt(40)  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("activation", "message"), [(None, "gain=auto needs an activation"), ("mish", "no gain is known for activation")]
)
def test_auto_without_a_known_activation(activation: str | None, message: str) -> None:
    with pytest.raises(SchemeError, match=message):
        resolve_gain("auto", activation)


def test_the_view_fits_eighty_columns_and_shows_both_gains() -> None:
    page = Console(file=io.StringIO(), record=True, width=80)
    page.print(gains_view(gain_table()))
    lines = page.export_text().splitlines()
    assert max(map(len, lines)) <= 80
    tanh = next(line for line in lines if line.startswith("tanh"))
    assert tanh.split() == ["tanh", "1.666667", "torch.nn.init.calculate_gain", "1.592537"]
    assert all(any(line.startswith(name) for line in lines) for name in MODULES)


PROBE = """
import sys
from initbench.cli.app import main
import initbench.schemes.gains
assert not {"numpy", "scipy", "torch"} & sys.modules.keys()
sys.argv = ["initbench", "schemes", *sys.argv[1:]]
try:
    main()
finally:
    assert "torch" not in sys.modules
"""


@pytest.mark.parametrize(
    ("arguments", "code", "out", "err"),
    [
        (["--gains"], 0, "torch.nn.init.calculate_gain", ""),
        (["xavier", "--gains"], 2, "", "error: --gains lists the gains of all activations; leave out 'xavier'"),
    ],
)
def test_the_command_answers_without_torch(arguments: list[str], code: int, out: str, err: str) -> None:
    ended = subprocess.run([sys.executable, "-c", PROBE, *arguments], capture_output=True, text=True, timeout=60)
    assert ended.returncode == code
    assert out in ended.stdout
    assert err in ended.stderr
    assert len(ended.stderr.splitlines()) == (1 if err else 0)
