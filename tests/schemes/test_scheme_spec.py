"""`name:key=value`: what it means, and what a wrong one gets."""

from __future__ import annotations

from typing import Literal

import pytest
import torch

from initbench import initialize, register_scheme
from initbench.errors import SchemeError, UsageError
from initbench.schemes import parse, schemes


@pytest.mark.parametrize(
    ("text", "canonical", "label"),
    [
        ("xavier", "xavier_uniform:gain=1.0", "xavier_uniform"),
        ("he", "he_uniform:gain=relu:mode=fan_in", "he_uniform"),
        ("normal", "normal:mean=0.0:std=1.0", "normal"),
        ("normal:std=0.01", "normal:mean=0.0:std=0.01", "normal:std=0.01"),
        ("normal:std=1e-2", "normal:mean=0.0:std=0.01", "normal:std=0.01"),
        ("kaiming_normal:mode=fan_out", "he_normal:gain=relu:mode=fan_out:truncated=false", "he_normal:mode=fan_out"),
        ("glorot_normal:gain=2", "xavier_normal:gain=2.0:truncated=false", "xavier_normal:gain=2.0"),
        (" zeros ", "zeros", "zeros"),
        ("lecun_normal:truncated=True", "lecun_normal:truncated=true", "lecun_normal:truncated=true"),
        ("critical:sb=0.5", "critical:sw=auto:sb=0.5", "critical:sb=0.5"),
    ],
)
def test_parse(text: str, canonical: str, label: str) -> None:
    spec = parse(text)
    assert (str(spec), spec.label) == (canonical, label)
    assert parse(str(spec)) == spec == parse(label)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("xavier_norml", "unknown scheme 'xavier_norml'. Did you mean 'xavier_normal'?"),
        ("", "unknown scheme ''"),
        ("normal:sd=1", "unknown parameter 'sd'. Did you mean 'std'?"),
        ("b=1", "Separate a scheme's parameters with ':'"),
        ("normal:mean=0,std=1", "Separate parameters with ':'"),
        ("zeros:std=1", "scheme 'zeros' has no parameters; 'std=1' was given"),
        ("normal:std", "'std' is not a parameter; write name:key=value"),
        ("normal:std=1:std=2", "parameter 'std' is given twice"),
        ("normal:std=-1", "std=-1"),
        ("xavier:gain=-1", "gain=-1"),
        ("constant:val=1e39", "float32"),
        ("uniform:a=1:b=1", "a=1.0 must lie below"),
        ("trunc_normal:a=3:b=2", "a=3.0 must lie below"),
        ("trunc_normal:mean=9", "mean=9.0 must lie within"),
        ("normal:std=one", "std=one"),
        ("normal:mean=nan", "not a finite number"),
        ("normal:std=inf", "not a finite number"),
        ("he:mode=fan_both", "mode=fan_both"),
        ("sparse:sparsity=1.5", "sparsity=1.5"),
        ("orthogonal:gain=mish", "gain=mish"),
    ],
)
def test_wrong_specs(text: str, message: str) -> None:
    with pytest.raises(SchemeError) as caught:
        parse(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "activation", "message"),
    [
        ("dirac", "relu", "scheme 'dirac' fills tensors with 3, 4 or 5 dimensions, but weight has 2, shape (3, 4)"),
        ("xavier:gain=auto", "mish", "no gain is known for activation 'mish'"),
        ("xavier:gain=auto", None, "gain=auto needs an activation"),
    ],
)
def test_specs_that_do_not_fit_the_layer(text: str, activation: str | None, message: str) -> None:
    layer = torch.nn.Linear(4, 3)
    with pytest.raises(SchemeError) as caught:
        initialize(layer, text, generator=torch.Generator(), activation=activation)
    assert message in str(caught.value)


def test_gain_auto_follows_the_activation() -> None:
    def weight(spec: str, activation: str) -> torch.Tensor:
        layer = torch.nn.Linear(40, 30)
        initialize(layer, spec, generator=torch.Generator().manual_seed(0), activation=activation)
        return layer.weight

    assert torch.equal(weight("xavier:gain=auto", "tanh"), weight("xavier:gain=tanh", "relu"))
    assert not torch.equal(weight("xavier:gain=auto", "tanh"), weight("xavier:gain=auto", "relu"))


def test_a_registered_scheme_is_found_by_name_with_its_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemes, "_items", dict(schemes._items))
    monkeypatch.setattr(schemes, "_aliases", dict(schemes._aliases))

    @register_scheme("tiny", formula="W = scale", source="this test", good_for="testing", aliases=("small",))
    def tiny(weight: torch.Tensor, *, generator: torch.Generator, scale: float = 0.5) -> None:
        """Fill with scale."""
        weight.fill_(scale)

    layer = torch.nn.Linear(4, 3)
    initialize(layer, "small:scale=0.25", generator=torch.Generator())
    assert torch.equal(layer.weight, torch.full((3, 4), 0.25))
    with pytest.raises(UsageError, match="'tiny' is registered already"):
        register_scheme("tiny", formula="", source="", good_for="")(tiny)


def test_postponed_annotations_are_what_values_are_checked_against(monkeypatch: pytest.MonkeyPatch) -> None:
    """This module postpones its annotations, as a user's may: the default's type is not the parameter's."""
    monkeypatch.setattr(schemes, "_items", dict(schemes._items))

    @register_scheme("postponed", formula="", source="", good_for="")
    def postponed(
        weight: torch.Tensor, *, generator: torch.Generator, scale: float = 1, mode: Literal["a", "b"] | None = None
    ) -> None:
        weight.fill_(scale)

    assert parse("postponed:scale=0.5:mode=b").params == {"scale": 0.5, "mode": "b"}
    assert parse(str(parse("postponed"))).params == {"scale": 1, "mode": None}
    assert str(parse("postponed")) == "postponed:scale=1:mode=none"
    with pytest.raises(SchemeError, match="mode=c"):
        parse("postponed:mode=c")


def test_a_scheme_must_take_a_generator_and_have_defaults() -> None:
    register = register_scheme("never", formula="", source="", good_for="")
    with pytest.raises(UsageError, match="must take the keyword `generator`"):
        register(lambda weight: None)
    with pytest.raises(UsageError, match="'scale' of scheme 'never' must be keyword-only with a default"):
        register(lambda weight, *, generator, scale: None)
    assert "never" not in set(schemes)
