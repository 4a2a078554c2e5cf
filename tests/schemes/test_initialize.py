"""`initialize` on modules: streams by name, biases, and the layers that are not Linear."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from initbench import initialize, register_scheme
from initbench.errors import SchemeError, UsageError
from initbench.schemes import schemes
from initbench.schemes.apply import Bias


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def mlp(depth: int) -> nn.Sequential:
    return nn.Sequential(*(nn.Linear(20, 20) for _ in range(depth)))


def test_same_generator_same_weights_other_generator_other_weights() -> None:
    first, again, other = mlp(2), mlp(2), mlp(2)
    initialize(first, "he", generator=generator(1))
    initialize(again, "he", generator=generator(1))
    initialize(other, "he", generator=generator(2))
    for one, same, different in zip(first.parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, same)
        assert not torch.equal(one, different)


def test_a_generator_that_has_been_used_gives_other_weights() -> None:
    shared = generator()
    first, second = mlp(1), mlp(1)
    initialize(first, "he", generator=shared)
    initialize(second, "he", generator=shared)
    assert not torch.equal(first[0].weight, second[0].weight)


def test_adding_a_layer_does_not_change_the_draws_of_the_others() -> None:
    shallow, deep = mlp(2), mlp(3)
    initialize(shallow, "he", generator=generator())
    initialize(deep, "he", generator=generator())
    for name, parameter in shallow.named_parameters():
        assert torch.equal(parameter, deep.get_parameter(name))


def test_layers_of_the_same_shape_start_differently() -> None:
    model = mlp(2)
    initialize(model, "he", generator=generator())
    assert not torch.equal(model[0].weight, model[1].weight)


@pytest.mark.parametrize(("bias", "value"), [("zeros", 0.0), (0.25, 0.25), (0, 0.0), (-3, -3.0)])
def test_bias_constants(bias: Bias, value: float) -> None:
    model = mlp(1)
    initialize(model, "he", generator=generator(), bias=bias)
    assert torch.equal(model[0].bias, torch.full((20,), value))


def test_default_bias_is_uniform_within_one_over_sqrt_fan_in() -> None:
    layer = nn.Linear(100, 5_000)
    initialize(layer, "zeros", generator=generator())
    assert layer.bias.abs().max() <= 1 / math.sqrt(100) + 1e-8
    assert float(layer.bias.detach().std()) == pytest.approx(1 / math.sqrt(3 * 100), rel=0.05)


def test_normalization_layers_keep_their_values() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.LayerNorm(6), nn.LayerNorm((3, 6)), nn.GroupNorm(2, 6))
    initialize(model, "normal", generator=generator(), bias=7)
    for norm in list(model)[1:]:
        assert (norm.weight == 1).all()
        assert (norm.bias == 0).all()


def test_a_lazy_module_is_one_clear_error() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own: lazy modules are experimental
        module = nn.Sequential(nn.LazyLinear(3))
    with pytest.raises(SchemeError, match=r"0.weight has no shape yet"):
        initialize(module, "he", generator=generator())


def test_what_torch_cannot_draw_is_one_clear_error() -> None:
    with pytest.raises(SchemeError, match=r"cannot fill weight, shape \(3, 4\)"):
        initialize(nn.Linear(4, 3), "uniform:a=-3e38:b=3e38", generator=generator())


def test_the_default_bias_of_bilinear_is_torchs() -> None:
    layer = nn.Bilinear(4, 9, 2_000)
    initialize(layer, "he", generator=generator())
    bound = float(layer.bias.detach().abs().max())
    assert 0.49 < bound <= 0.5  # 1 / sqrt(in1_features)


@pytest.mark.parametrize(("cell", "gates"), [(nn.RNN, 1), (nn.GRU, 3), (nn.LSTM, 4)])
def test_each_gate_of_a_recurrent_layer_is_orthogonal_by_itself(cell: type[nn.RNNBase], gates: int) -> None:
    layer = cell(8, 8)
    initialize(layer, "orthogonal", generator=generator())
    blocks = layer.get_parameter("weight_hh_l0").chunk(gates)
    for block in blocks:
        assert torch.allclose(block @ block.T, torch.eye(8), atol=1e-5)
    assert all(not torch.equal(blocks[0], block) for block in blocks[1:])
    assert layer.get_parameter("bias_hh_l0").abs().max() <= 1 / math.sqrt(8)


def test_attention_projections_are_filled_one_by_one() -> None:
    layer = nn.MultiheadAttention(16, 2)
    initialize(layer, "xavier", generator=generator())
    assert layer.in_proj_weight.abs().max() <= math.sqrt(6 / 32)  # of one 16 x 16 block, not of 48 x 16
    assert layer.in_proj_weight.abs().max() > math.sqrt(6 / 64)
    assert not layer.in_proj_bias.any()
    initialize(layer, "xavier", generator=generator(), bias=0.5)
    assert (layer.in_proj_bias == 0.5).all()


def test_the_extra_keys_of_attention_are_no_weights() -> None:
    layer = nn.MultiheadAttention(16, 2, add_bias_kv=True)
    assert layer.bias_k is not None
    before = layer.bias_k.detach().clone()
    initialize(layer, "ones", generator=generator())
    assert torch.equal(layer.bias_k, before)


def test_tied_weights_are_filled_once_and_stay_tied() -> None:
    model = mlp(2)
    model[1].weight = model[0].weight
    initialize(model, "he", generator=generator())
    assert model[1].weight is model[0].weight


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_dtypes_start_from_the_same_numbers(dtype: torch.dtype) -> None:
    model, reference = nn.Linear(30, 30, dtype=dtype), nn.Linear(30, 30)
    initialize(model, "orthogonal", generator=generator())
    initialize(reference, "orthogonal", generator=generator())
    assert model.weight.dtype == dtype
    if dtype != torch.float64:  # float64 has draws of its own
        assert torch.equal(model.weight, reference.weight.to(dtype))


@pytest.fixture
def own_scheme(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., object]], None]:
    """Register a user's function as scheme `own`, for one test."""
    monkeypatch.setattr(schemes, "_items", dict(schemes._items))
    return lambda fill: register_scheme("own", formula="", source="", good_for="")(fill) and None


def test_a_scheme_that_ignores_the_generator_is_refused(own_scheme: Callable[..., None]) -> None:
    own_scheme(lambda weight, *, generator: weight.normal_())
    with pytest.raises(SchemeError, match="drew from torch's global generator"):
        initialize(mlp(1), "own", generator=generator())


def test_a_scheme_that_does_not_fill_in_place_is_refused(own_scheme: Callable[..., None]) -> None:
    own_scheme(lambda weight, *, generator: torch.ones_like(weight))
    with pytest.raises(SchemeError, match=r"did not fill 0\.weight in place"):
        initialize(mlp(1), "own", generator=generator())


def test_a_bug_in_a_scheme_says_where(own_scheme: Callable[..., None]) -> None:
    own_scheme(lambda weight, *, generator: weight.fill_(1 / 0))
    with pytest.raises(ZeroDivisionError) as caught:
        initialize(mlp(1), "own", generator=generator())
    assert caught.value.__notes__ == ["while scheme 'own' filled 0.weight, shape (20, 20)"]


@pytest.mark.parametrize(
    ("module", "source"), [(torch.zeros(3, 4), generator()), (nn.Linear(3, 4), 0)], ids=["tensor", "int"]
)
def test_arguments_of_the_wrong_type(module: nn.Module, source: torch.Generator) -> None:
    with pytest.raises(UsageError, match=r"it needs a torch\.nn\.Module and a torch\.Generator"):
        initialize(module, "he", generator=source)


def test_a_module_without_weights_is_left_alone() -> None:
    initialize(nn.ReLU(), "he", generator=generator())


def test_a_scheme_that_does_not_fit_one_layer_changes_none() -> None:
    model = nn.Sequential(nn.Conv1d(3, 3, 3), nn.Linear(4, 4))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(SchemeError, match="dirac"):
        initialize(model, "dirac", generator=generator())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(("cell", "gates"), [(nn.RNNCell, 1), (nn.GRUCell, 3), (nn.LSTMCell, 4)])
def test_cells_are_filled_gate_by_gate_and_their_biases_as_torch_does(cell: type[nn.RNNCellBase], gates: int) -> None:
    layer = cell(9, 9)
    initialize(layer, "orthogonal_recurrent", generator=generator())
    for block in layer.get_parameter("weight_hh").chunk(gates):
        assert torch.allclose(block @ block.T, torch.eye(9), atol=1e-5)
    assert 0.2 < float(layer.get_parameter("bias_hh").detach().abs().max()) <= 1 / 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bias": "foo"}, "bias='foo': give 'zeros', 'default' or a finite number"),
        ({"bias": math.nan}, "bias=nan"),
        ({"bias": True}, "bias=True"),
        ({"layers": ["1"]}, "layers=.*give a mapping"),
        ({"layers": {"1": None}}, "scheme=None: give a text"),
        ({"scheme": None}, "scheme=None"),
        ({"scheme": "lsuv", "data": [[1.0]]}, "data: give a tensor of images"),
        ({"scheme": "lsuv", "data": (torch.rand(3, 20),) * 3}, "data: give a tensor of images"),
        ({"scheme": "metainit", "data": (torch.rand(3, 20), torch.tensor([0, 1, 99]))}, "labels from 0 to 99 given"),
        ({"scheme": "normal:std=3e38"}, "with more than torch.float32 can hold"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_arguments_that_make_no_sense_are_one_clear_error(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        initialize(mlp(2), **({"scheme": "he", "generator": generator()} | arguments))


def test_weights_that_a_dtype_cannot_hold_are_refused() -> None:
    with pytest.raises(SchemeError, match=r"more than torch\.float16 can hold"):
        initialize(nn.Linear(9, 9, dtype=torch.float16), "normal:std=1e6", generator=generator())
