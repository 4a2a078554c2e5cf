"""`inspect` on a module of one's own: what it refuses, in one line, and models of more than a plain stack."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import initbench
from initbench.errors import UsageError
from initbench.results import SignalReport


def perceptron() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def inputs(samples: int = 20) -> Tensor:
    return torch.randn(samples, 6, generator=torch.Generator().manual_seed(0))


NEEDS_TENSORS = r"batch must be a tensor of inputs \[B, \.\.\.\], or the two tensors"

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "batch None": ({"batch": None}, NEEDS_TENSORS),
    "batch of numpy": ({"batch": np.zeros((4, 6), dtype=np.float32)}, NEEDS_TENSORS),
    "batch in a list": ({"batch": [inputs(), torch.zeros(20).long()]}, NEEDS_TENSORS),
    "batch in text": ({"batch": "mnist"}, NEEDS_TENSORS),
    "three tensors": ({"batch": (inputs(), inputs(), inputs())}, NEEDS_TENSORS),
    "no tensor": ({"batch": ()}, NEEDS_TENSORS),
    "labels of numpy": ({"batch": (inputs(), np.zeros(20))}, NEEDS_TENSORS),
    "scheme": ({"scheme": 3}, "scheme=3: give a text such as 'he_normal'"),
    "optimizer": ({"optimizer": "adam"}, "optimizer='adam': give a function"),
    "no gradient samples": ({"gradient_samples": 0}, "gradient_samples=0: give a number of samples, 1 or more"),
    "fewer than none": ({"gradient_samples": -3}, "gradient_samples=-3: give a number of samples, 1 or more"),
    "half a sample": ({"gradient_samples": 2.5}, "gradient_samples=2.5: give a number of samples"),
    "activation": ({"activation": "foo"}, "unknown activation 'foo'"),
    "a misspelt activation": ({"activation": "rellu"}, "Did you mean 'relu'"),
    "meta device": ({"model": nn.Linear(6, 3, device="meta")}, "on the meta device, without values"),
    "complex weights": ({"model": nn.Linear(6, 3, dtype=torch.complex64)}, "without floating-point weights"),
    "no weights": ({"model": nn.Flatten()}, "Flatten without floating-point weights"),
    "a loss that is a float": (
        {"loss": lambda outputs, labels: 1.5},
        "loss of a batch must be a tensor of one number, not a float",
    ),
    "a loss that does not take two": ({"loss": lambda outputs: outputs.mean()}, "cannot be sent through the model"),
    "an optimizer that is none": ({"optimizer": lambda parameters: None}, "optimizer"),
    "labels of another range": ({"batch": (inputs(), torch.full((20,), 3))}, "cannot be sent through the model"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_inspected_is_one_line(name: str) -> None:
    changed, said = REFUSED[name]
    arguments: dict[str, Any] = {"model": perceptron(), "scheme": "he", "batch": inputs(), **changed}
    with pytest.raises(UsageError, match=said) as caught:
        initbench.inspect(**arguments)
    assert "\n" not in str(caught.value)


def test_a_script_module_is_one_line() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch: TorchScript is deprecated
        scripted = torch.jit.script(perceptron())
    with pytest.raises(UsageError, match="got a ScriptModule, which cannot be watched"):
        initbench.inspect(scripted, None, inputs())


class Transformer(nn.Module):
    """A classifier of sequences of words, with a position embedding of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(11, 16)
        self.position = nn.Parameter(torch.randn(1, 7, 16))
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 2, enable_nested_tensor=False
        )
        self.out = nn.Linear(16, 3)

    def forward(self, words: Tensor) -> Any:
        return self.out(self.encoder(self.words(words) + self.position).mean(1))


@pytest.mark.parametrize("scheme", ["xavier", None])
@pytest.mark.parametrize("labelled", [True, False])
def test_a_transformer_is_inspected(scheme: str | None, labelled: bool) -> None:
    words = torch.randint(11, (20, 7), generator=torch.Generator().manual_seed(0))
    report = initbench.inspect(Transformer(), scheme, (words, torch.arange(20) % 3) if labelled else words)
    inside = [f"encoder.layers.{index}.{name}" for index in range(2) for name in ("self_attn", "linear1", "linear2")]
    assert [layer.name for layer in report.layers] == ["words", *inside, "out"]
    assert report.loss is not None
    assert report.theory is None
    assert "Linear layers" in (report.no_theory or "")
    assert report.jacobian_mean is not None
    assert {weight.name for weight in report.weights if not weight.used} == set()
    assert report.verdicts
    assert SignalReport.model_validate_json(report.model_dump_json()) == report
