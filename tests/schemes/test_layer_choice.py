"""A scheme of its own for some layers: `layers={pattern: scheme}`."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from initbench import initialize, register_scheme
from initbench.errors import SchemeError, UsageError
from initbench.models import models
from initbench.schemes import schemes


def started(scheme: str, layers: dict[str, str], model: nn.Module) -> nn.Module:
    initialize(model, scheme, generator=torch.Generator().manual_seed(0), activation="relu", layers=layers)
    return model


def mlp() -> nn.Module:
    return models["mlp"].build(models["mlp"].options(hidden=[30, 30, 30]), (1, 8, 8), 10)


def rnn(cell: str = "gru") -> nn.Module:
    return models["rnn"].build(models["rnn"].options(hidden=16, cell=cell), (1, 8, 8), 10)


def filled_with(model: nn.Module, value: float) -> list[str]:
    return [name for name, p in model.named_parameters() if p.dim() > 1 and bool((p == value).all())]


@pytest.mark.parametrize(
    ("layers", "ones"),
    [
        ({"out": "ones"}, ["out.weight"]),
        ({"out.weight": "ones"}, ["out.weight"]),
        ({"fc*": "ones"}, ["fc1.weight", "fc2.weight", "fc3.weight"]),
        ({"fc[12]": "ones"}, ["fc1.weight", "fc2.weight"]),
        ({"fc*": "ones", "fc2": "zeros"}, ["fc1.weight", "fc3.weight"]),
        ({"fc2": "zeros", "*": "ones"}, ["fc1.weight", "fc2.weight", "fc3.weight", "out.weight"]),
        ({}, []),
    ],
    ids=str,
)
def test_a_pattern_matches_names_of_weights_and_layers_and_the_last_one_counts(
    layers: dict[str, str], ones: list[str]
) -> None:
    assert filled_with(started("he", layers, mlp()), 1.0) == ones


def test_the_other_layers_keep_their_draws() -> None:
    plain, chosen = started("he", {}, mlp()), started("he", {"fc2": "orthogonal"}, mlp())
    for name in ("fc1.weight", "fc3.weight", "out.weight", "fc2.bias"):
        assert torch.equal(plain.get_parameter(name), chosen.get_parameter(name))


def test_recurrent_weights_can_be_chosen_gate_by_gate() -> None:
    model = started("xavier", {"rnn.weight_hh*": "orthogonal"}, rnn())
    for gate in model.get_parameter("rnn.weight_hh_l0").detach().chunk(3):
        assert (gate @ gate.T - torch.eye(16)).abs().max() < 1e-5
    assert model.get_parameter("rnn.weight_ih_l0").abs().max() <= math.sqrt(6 / (16 + 8))


def test_a_scheme_for_convolutions_goes_with_another_for_the_readout() -> None:
    model = models["cnn"].build(models["cnn"].options(channels=[4, 4], kernel=3, hidden=[]), (1, 8, 8), 10)
    started("dirac", {"out": "xavier"}, model)
    assert model.get_parameter("conv2.weight").sum() == 4


def test_after_a_scheme_on_the_whole_model_the_chosen_layers_are_replaced() -> None:
    model = started("gsm", {"out": "zeros"}, mlp())
    first = model.get_parameter("fc1.weight")
    assert filled_with(model, 0.0) == ["out.weight"]
    assert torch.equal(first[:15], -first[15:])


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ({"outt": "ones"}, "init.layers: 'outt' matches no weight of this model. Its weights: fc1.weight, fc2.weight"),
        ({"OUT": "ones"}, "'OUT' matches no weight"),
        ({"out.bias": "ones"}, "'out.bias' matches no weight"),
        ({"out": "irnn"}, "'irnn' is a scheme for a whole model, not a layer"),
        ({"out": "dirac"}, "scheme 'dirac' fills tensors with 3, 4 or 5 dimensions, but out.weight has 2"),
        ({"out": "onse"}, "unknown scheme 'onse'. Did you mean 'ones'?"),
    ],
    ids=str,
)
def test_wrong_choices_are_one_clear_error(layers: dict[str, str], message: str) -> None:
    with pytest.raises(SchemeError) as caught:
        started("he", layers, mlp())
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture
def own_rule(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(schemes, "_items", dict(schemes._items))
    return register_scheme("own", formula="f", source="this test", good_for="testing")


def test_a_rule_on_a_model_must_fill_every_weight(own_rule: Any) -> None:
    @own_rule
    def own(model: nn.Module, *, generator: torch.Generator) -> None:
        model.get_parameter("fc1.weight").detach().zero_()

    with pytest.raises(SchemeError, match=r"'own' left NaN or infinity in fc2\.weight, or did not fill it"):
        started("own", {}, mlp())


def test_a_rule_on_a_model_must_not_draw_from_the_global_generator(own_rule: Any) -> None:
    @own_rule
    def own(model: nn.Module, *, generator: torch.Generator) -> None:
        for parameter in model.parameters():
            parameter.detach().normal_()

    with pytest.raises(SchemeError, match="drew from torch's global generator"):
        started("own", {}, mlp())


def test_a_rule_on_a_model_is_handed_what_it_asks_for(own_rule: Any) -> None:
    seen: list[Any] = []

    @own_rule
    def own(model: nn.Module, *, generator: torch.Generator, activation: str | None, scale: float = 2.0) -> None:
        seen.extend([activation, scale, model.training])
        for parameter in model.parameters():
            parameter.detach().fill_(scale)

    model = started("own:scale=3", {}, mlp())
    assert seen == ["relu", 3.0, False]
    assert model.training
    assert len(filled_with(model, 3.0)) == 4


def test_a_rule_asks_only_for_what_its_level_has() -> None:
    def on_a_weight(weight: Any, *, generator: Any, data: Any) -> None: ...
    def on_a_model(model: Any, *, generator: Any, groups: int) -> None: ...
    def without_data(model: Any, *, generator: Any) -> None: ...

    texts: dict[str, Any] = {"formula": "f", "source": "s", "good_for": "g"}
    with pytest.raises(UsageError, match="asks for 'data', which a rule on a weight is not handed"):
        register_scheme("never", **texts)(on_a_weight)
    with pytest.raises(UsageError, match="asks for 'groups', which a rule on a model is not handed"):
        register_scheme("never", **texts)(on_a_model)
    with pytest.raises(UsageError, match="the keyword `data` and needs='a batch' do not go together"):
        register_scheme("never", needs="a batch", **texts)(without_data)


def test_fits_must_raise_and_not_return(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemes, "_items", dict(schemes._items))
    texts: dict[str, Any] = {"formula": "f", "source": "s", "good_for": "g"}
    register_scheme("own", fits=lambda shape, groups: shape[0] == 30, **texts)(lambda weight, *, generator: None)
    with pytest.raises(SchemeError, match=r"its fits= returned True; it must raise SchemeError"):
        started("own", {}, mlp())


@pytest.mark.parametrize("library", ["random", "numpy"])
def test_a_rule_must_not_draw_from_another_librarys_generator(library: str, own_rule: Any) -> None:
    import random

    import numpy as np

    @own_rule
    def own(weight: Any, *, generator: torch.Generator) -> None:
        weight.fill_(random.random() if library == "random" else float(np.random.rand()))  # noqa: S311

    with pytest.raises(SchemeError, match=f"drew from {library}'s global generator"):
        started("own", {}, mlp())


def test_a_rule_on_a_model_works_without_gradients(own_rule: Any) -> None:
    @own_rule
    def own(model: nn.Module, *, generator: torch.Generator) -> None:
        for parameter in model.parameters():
            parameter.normal_(0, 0.05, generator=generator)

    assert float(started("own", {}, mlp()).get_parameter("fc1.weight").detach().std()) == pytest.approx(0.05, rel=0.1)


def test_all_layers_that_a_rule_does_not_fit_are_named_at_once() -> None:
    model = models["cnn"].build(models["cnn"].options(), (1, 8, 8), 10)
    with pytest.raises(SchemeError, match=r"but fc1\.weight has 2.* Nor does it fit fc2\.weight, out\.weight\."):
        started("dirac", {}, model)
