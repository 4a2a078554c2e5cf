"""What is seen of a forward pass: layers in the order of use, the activation that follows each, nothing lost."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from initbench.activations import MODULES, activation_module
from initbench.signals.forward import forward
from initbench.signals.trace import Use, by_unit, watched
from initbench.spacing import evenly


class Recorded:
    """Keeps what it is shown."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str | None, Tensor, Tensor]] = []
        self.uses: list[Use] = []
        self._pre: dict[str, Tensor] = {}

    def pre_activation(self, use: Use, value: Tensor) -> None:
        self._pre[use.name] = value.clone()

    def activation(self, use: Use, value: Tensor) -> None:
        pre = self._pre.get(use.name, value)
        self.uses.append(use)
        self.seen.append((use.name, use.activation, pre.detach(), value.detach().clone()))

    def sequence(self, uses: list[Use], value: Tensor) -> Tensor:
        return value


def trace(model: nn.Module, *inputs: Any) -> list[tuple[str, str | None, Tensor, Tensor]]:
    recorded = Recorded()
    with watched(model, recorded):
        model(*inputs)
    in_order = sorted(zip(recorded.uses, recorded.seen, strict=True), key=lambda one: one[0].place)
    return [seen for _, seen in in_order]


def rows(model: nn.Module, *inputs: Any) -> list[tuple[str, str | None]]:
    return [(name, activation) for name, activation, _, _ in trace(model, *inputs)]


@pytest.mark.parametrize("name", [name for name in MODULES if name != "linear"])
def test_every_activation_module_is_seen_by_its_name(name: Any) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), activation_module(name), nn.Linear(4, 3))
    x = torch.randn(6, 5)
    first, last = trace(model, x)
    assert first[:2] == ("0", name)
    assert last[:2] == ("2", None)
    torch.testing.assert_close(first[2], model[0](x))
    torch.testing.assert_close(first[3], model[1](model[0](x)))
    torch.testing.assert_close(last[2], model(x))


FUNCTIONAL = {
    "F.relu": (functional.relu, "relu"),
    "torch.relu": (torch.relu, "relu"),
    "x.relu()": (Tensor.relu, "relu"),
    "x.relu_()": (Tensor.relu_, "relu"),
    "F.relu, in place": (lambda x: functional.relu(x, inplace=True), "relu"),
    "x.tanh()": (Tensor.tanh, "tanh"),
    "torch.sigmoid": (torch.sigmoid, "sigmoid"),
    "F.gelu": (functional.gelu, "gelu"),
    "F.gelu, approximate": (lambda x: functional.gelu(x, approximate="tanh"), "gelu(tanh)"),
    "leaky_relu(0.2)": (lambda x: functional.leaky_relu(x, 0.2), "leaky_relu(0.2)"),
    "elu, alpha": (lambda x: functional.elu(x, alpha=2.0), "elu(2.0)"),
    "hardtanh": (functional.hardtanh, "hardtanh"),
    "Hardtanh()": (nn.Hardtanh(), "hardtanh"),
    "Hardtanh(-2, 2)": (nn.Hardtanh(-2, 2), "hardtanh(-2, 2)"),
    "Hardtanh, in place": (nn.Hardtanh(-0.5, 1.5, inplace=True), "hardtanh(-0.5, 1.5)"),
    "ReLU6": (nn.ReLU6(), "relu6"),
    "F.relu6": (functional.relu6, "relu6"),
    "none": (lambda x: x, None),
}


@pytest.mark.parametrize("how", FUNCTIONAL)
def test_an_activation_in_forward_is_seen_as_its_module_is(how: str) -> None:
    function, name = FUNCTIONAL[how]

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(5, 4), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Any:
            return self.last(function(self.first(x)))

    torch.manual_seed(0)
    net = Net()
    first, last = trace(net, torch.randn(6, 5))
    assert first[:2] == ("first", name)
    assert last[:2] == ("last", None)
    torch.testing.assert_close(first[3], function(first[2].clone()))


def test_the_pre_activation_is_what_goes_into_the_activation_behind_norm_and_dropout() -> None:
    model = nn.Sequential(nn.Linear(5, 4), nn.LayerNorm(4), nn.Dropout(0.5), nn.SiLU(), nn.Linear(4, 3)).eval()
    x = torch.randn(6, 5)
    [(name, activation, pre, _), _] = trace(model, x)
    assert (name, activation) == ("0", "silu")
    torch.testing.assert_close(pre, model[:3](x))


def test_the_pre_activation_is_seen_before_it_is_overwritten() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), nn.ReLU(inplace=True), nn.Linear(4, 3))
    x = torch.randn(6, 5)
    [(_, _, pre, post), _] = trace(model, x)
    torch.testing.assert_close(pre, model[0](x))
    assert (pre < 0).any()
    assert (post >= 0).all()


class Several(nn.Module):
    """Linear layers of one width, named a, b, c, ..., used as `how` says."""

    def __init__(self, how: Any) -> None:
        super().__init__()
        for name in "abcdef":
            setattr(self, name, nn.Linear(4, 4))
        self.how = how

    def forward(self, x: Tensor) -> Any:
        return self.how(self, x)


def six_first(m: Any, x: Tensor) -> Tensor:
    a, b, c, d, e, f = (layer(x) for layer in (m.a, m.b, m.c, m.d, m.e, m.f))
    return a.tanh() + b.sigmoid() + c.relu() + functional.gelu(d) + functional.silu(e) + functional.elu(f)


def of_the_input(m: Any, x: Tensor) -> Tensor:
    h = m.a(x)
    return x.tanh() + m.b(h) + h.relu()


def in_place_sum(m: Any, x: Tensor) -> Any:
    h = m.a(x).relu()
    h += m.b(h)
    return m.c(torch.tanh(h))


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (six_first, [("a", None), ("b", None), ("c", "relu"), ("d", "gelu"), ("e", "silu"), ("f", "elu")]),
        (of_the_input, [("a", "relu"), ("b", None)]),
        (in_place_sum, [("a", "relu"), ("b", "tanh"), ("c", None)]),
    ],
)
def test_an_activation_is_no_other_layers(how: Any, expected: list[tuple[str, str | None]]) -> None:
    assert rows(Several(how), torch.randn(3, 4)) == expected


def test_a_recurrent_layers_input_may_be_a_keyword_or_without_a_batch() -> None:
    by_keyword = Several(lambda m, x: m.r(input=x)[0])
    by_keyword.r = nn.GRU(4, 4)
    assert rows(by_keyword, torch.randn(3, 2, 4)) == [
        ("r, step 1", "tanh"),
        ("r, step 2", "tanh"),
        ("r, step 3", "tanh"),
    ]
    alone = Several(lambda m, x: m.a(m.r(x)[0]))
    alone.r = nn.GRU(4, 4)
    assert rows(alone, torch.randn(3, 4)) == [("a", None)]


def test_a_layer_that_is_used_three_times_has_three_rows() -> None:
    layer = nn.Linear(4, 4)
    model = nn.Sequential(layer, nn.Tanh(), layer, nn.Tanh(), layer)
    assert rows(model, torch.randn(2, 4)) == [("0", "tanh"), ("0, use 2", "tanh"), ("0, use 3", None)]


def test_a_parameter_shared_by_two_layers_is_two_layers() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    assert rows(model, torch.randn(2, 4)) == [("0", "relu"), ("2", None)]


def test_layers_that_are_not_used_have_no_row() -> None:
    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Any:
            return self.used(x).relu()

    assert rows(Half(), torch.randn(2, 4)) == [("used", "relu")]


def test_a_weight_of_the_models_own_is_a_layer_named_by_its_class() -> None:
    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.matrix = nn.Parameter(torch.ones(3, 4))

        def forward(self, x: Tensor) -> Tensor:
            return torch.tanh(x @ self.matrix.T)

    assert rows(Bare(), torch.randn(2, 4)) == [("Bare", None)]


class Gated(nn.Module):
    """Scales the entries of its first layer by a gate that no layer puts out."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(5, 64), nn.Linear(64, 3)
        self.g = nn.Parameter(torch.randn(64))

    def forward(self, x: Tensor) -> Any:
        h = self.first(x)
        return self.last(torch.tanh(h * torch.sigmoid(self.g)))


@pytest.mark.parametrize("samples", [1, 6])
def test_a_gate_on_a_parameter_is_not_the_layers_activation(samples: int) -> None:
    """Of one sample the gate has as many entries as the layer's output."""
    assert rows(Gated(), torch.randn(samples, 5)) == [("first", "tanh"), ("last", None)]


class SwiGLU(nn.Module):
    """silu(a(x)) b(x), both layers used before the activation (Shazeer 2020, "GLU variants improve transformer")."""

    def __init__(self, *, first: str) -> None:
        super().__init__()
        self.a, self.b, self.out = nn.Linear(5, 4), nn.Linear(5, 4), nn.Linear(4, 3)
        self.gate = first

    def forward(self, x: Tensor) -> Any:
        u, v = self.a(x), self.b(x)
        return self.out(functional.silu(u) * v if self.gate == "a" else u * functional.silu(v))


@pytest.mark.parametrize("gate", ["a", "b"])
def test_an_activation_belongs_to_the_layer_whose_output_it_takes(gate: str) -> None:
    torch.manual_seed(0)
    model, x = SwiGLU(first=gate), torch.randn(6, 5)
    expected = [(name, "silu" if name == gate else None) for name in ("a", "b")]
    assert rows(model, x) == [*expected, ("out", None)]
    seen = {name: (pre, post) for name, _, pre, post in trace(model, x)}
    for name, layer in (("a", model.a), ("b", model.b)):
        torch.testing.assert_close(seen[name][0], layer(x))
        torch.testing.assert_close(seen[name][1], functional.silu(layer(x)) if name == gate else layer(x))


def test_the_rows_of_a_measurement_keep_the_order_of_use() -> None:
    assert [*forward(SwiGLU(first="a"), torch.randn(6, 5))] == ["a", "b", "out"]
    assert [*forward(SwiGLU(first="b"), torch.randn(6, 5))] == ["a", "b", "out"]


class Transformer(nn.Module):
    """A classifier of sequences, whose position embedding is the root module's own."""

    def __init__(self) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.randn(1, 7, 16))
        self.embed = nn.Linear(5, 16)
        self.encoder = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.out = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Any:
        return self.out(self.encoder(self.embed(x) + self.position).mean(1))


@pytest.mark.parametrize("training", [True, False])
def test_a_transformers_layers_have_rows_and_its_position_embedding_has_none(training: bool) -> None:
    """In evaluation, too, where torch would take a fused path past its layers."""
    model = Transformer().train(training)
    with torch.no_grad():
        seen = trace(model, torch.randn(4, 7, 5))
    assert [(name, activation, tuple(value.shape)) for name, activation, _, value in seen] == [
        ("embed", None, (4, 7, 16)),
        ("encoder.self_attn", None, (4, 7, 16)),
        ("encoder.linear1", "relu", (4, 7, 32)),
        ("encoder.linear2", None, (4, 7, 16)),
        ("out", None, (4, 3)),
    ]


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
@pytest.mark.parametrize("batch_first", [False, True])
def test_a_recurrent_layer_shows_its_state_at_some_steps(kind: type[nn.RNNBase], batch_first: bool) -> None:
    recurrent = kind(5, 4, batch_first=batch_first)  # type: ignore[call-arg]
    x = torch.randn(3, 28, 5) if batch_first else torch.randn(28, 3, 5)
    seen = trace(recurrent, x)
    assert [name for name, *_ in seen][:2] == [f"{kind.__name__}, step 1", f"{kind.__name__}, step 5"]
    assert len(seen) == 8
    assert seen[-1][0] == f"{kind.__name__}, step 28"
    states = recurrent(x)[0]
    torch.testing.assert_close(seen[-1][3], states[:, -1] if batch_first else states[-1])


def test_attention_embeddings_and_weight_norm_are_seen() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(7, 8)
            self.attend = nn.MultiheadAttention(8, 2, batch_first=True)
            self.out = nn.utils.parametrizations.weight_norm(nn.Linear(8, 3))

        def forward(self, words: Tensor) -> Any:
            x = self.embed(words)
            return self.out(self.attend(x, x, x)[0])

    seen = trace(Mixed(), torch.zeros(2, 5, dtype=torch.long))
    assert [(name, tuple(value.shape)) for name, _, _, value in seen] == [
        ("embed", (2, 5, 8)),
        ("attend", (2, 5, 8)),
        ("out", (2, 5, 3)),
    ]


def test_hooks_go_with_the_block_also_after_an_error() -> None:
    model = nn.Sequential(nn.Linear(4, 4))
    with pytest.raises(RuntimeError, match="mat1"):
        trace(model, torch.randn(2, 5))
    assert not model[0]._forward_hooks
    assert torch.relu(torch.ones(1)) == 1


def test_units_are_channels_of_convolutions_and_the_last_dimension_of_others() -> None:
    value = torch.arange(2 * 3 * 4 * 5.0).view(2, 3, 4, 5)
    assert by_unit(value, nn.Conv2d(1, 3, 1)).shape == (40, 3)
    torch.testing.assert_close(by_unit(value, nn.Conv2d(1, 3, 1))[:, 1], value[:, 1].flatten())
    assert by_unit(value, nn.Linear(5, 5)).shape == (24, 5)
    assert by_unit(torch.ones(2, 3), nn.Conv2d(1, 3, 1)).shape == (2, 3)


@pytest.mark.parametrize(
    ("available", "wanted", "expected"),
    [(0, 3, []), (2, 3, [0, 1]), (3, 3, [0, 1, 2]), (9, 3, [0, 4, 8]), (5, 1, [4]), (100, 2, [0, 99])],
)
def test_evenly_spaced_indices_have_both_ends(available: int, wanted: int, expected: list[int]) -> None:
    assert evenly(available, wanted) == expected
