"""Matrix products in bfloat16: rounded factors, sums in float32, weights and everything else as they were."""

from __future__ import annotations

import pytest
import torch
from bright_images import config, dataset, initialized_model
from torch import nn

from initbench.errors import DeviceError
from initbench.threads import torch_threads
from initbench.training import train
from initbench.training.backprop import Backprop
from initbench.training.precision import FullProducts, check_precision, products_in, subnormals_flushed, supports

CPU = torch.device("cpu")
hardware = pytest.mark.skipif(not supports("bfloat16", CPU), reason="needs a CPU with AVX512-BF16 or AMX")


def rounded(x: torch.Tensor) -> torch.Tensor:
    return x.bfloat16().double()


@hardware
def test_a_product_is_that_of_the_rounded_factors_and_is_not_rounded_itself() -> None:
    torch.manual_seed(0)
    x, w = torch.randn(100, 784), torch.randn(256, 784)
    exact, of_rounded = x.double() @ w.double().T, rounded(x) @ rounded(w).T
    with products_in("bfloat16", CPU):
        product = x @ w.T
        with FullProducts():
            full = x @ w.T
    assert (product - of_rounded).abs().max() < 1e-3 < 0.05 < (product - exact).abs().max()
    assert (full - exact).abs().max() < 1e-3
    assert torch.equal(x @ w.T, full)  # as it was, afterwards


@hardware
def test_the_context_ends_with_an_error_too() -> None:
    before = (torch.ones(64, 64) / 3) @ (torch.ones(64, 64) / 3)
    with pytest.raises(KeyError), products_in("bfloat16", CPU):
        raise KeyError
    assert torch.equal((torch.ones(64, 64) / 3) @ (torch.ones(64, 64) / 3), before)


@hardware
def test_layers_with_few_outputs_keep_full_products_forwards_and_backwards() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    images, gradient = torch.randn(100, 64), torch.randn(100, 10)
    backprop = Backprop(model, "bfloat16")
    with products_in("bfloat16", CPU), backprop.mode():
        logits = backprop.forward(images).clone()
        backprop.backward(gradient.clone())
    hidden = (rounded(images) @ rounded(model[1].weight).T + model[1].bias.double()).relu()
    last = hidden @ model[3].weight.double().T + model[3].bias.double()
    assert (logits - last).abs().max() < 1e-5
    first, _, of_last, _ = backprop.gradients
    assert (of_last - gradient.double().T @ hidden).abs().max() < 1e-4
    back = (gradient.double() @ model[3].weight.double()) * (hidden > 0)
    assert (first - rounded(back.float()).T @ rounded(images)).abs().max() < 0.05


@hardware
def test_training_in_bfloat16_learns_repeats_and_differs_from_float32() -> None:
    def trained(precision: str) -> tuple[nn.Module, float]:
        settings, rows = config(train__precision=precision, train__epochs=20, train__lr=0.01, model__hidden=[64]), []
        model = initialized_model(settings, dataset())
        train(model, dataset(), settings, rows.append)
        return model, rows[-1].test_accuracy

    low, accuracy = trained("bfloat16")
    again, _ = trained("bfloat16")
    full, _ = trained("float32")
    assert accuracy > 0.85
    for ours, same, other in zip(low.parameters(), again.parameters(), full.parameters(), strict=True):
        assert ours.dtype == torch.float32
        assert torch.equal(ours, same)
        assert not torch.equal(ours, other)


def test_without_the_hardware_it_is_refused_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False, "amx_bf16": False})
    with pytest.raises(DeviceError, match=r"bfloat16: cpu has no such products.*train\.precision=float32"):
        check_precision("bfloat16", CPU)
    check_precision("float32", CPU)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": "aarch64"})
    assert not supports("bfloat16", CPU)


def test_subnormal_numbers_count_as_zero_within_and_as_themselves_after() -> None:
    tiny = torch.full((4,), 1e-39)
    with subnormals_flushed():
        assert (tiny * 0.5 == 0).all()
    assert (tiny * 0.5 > 0).all()


def test_with_more_threads_subnormals_are_left_alone() -> None:
    """Each thread has a switch of its own, and torch sets only the caller's."""
    tiny = torch.full((4,), 1e-39)
    with torch_threads(2), subnormals_flushed():
        assert (tiny * 0.5 > 0).all()


def test_who_flushed_before_does_so_afterwards() -> None:
    tiny = torch.full((4,), 1e-39)
    torch.set_flush_denormal(True)
    try:
        with subnormals_flushed():
            pass
        assert (tiny * 0.5 == 0).all()
    finally:
        torch.set_flush_denormal(False)


@hardware
def test_float32_means_float32_whatever_torch_was_set_to() -> None:
    torch.manual_seed(0)
    x, w = torch.randn(100, 784), torch.randn(256, 784)
    with products_in("bfloat16", CPU), products_in("float32", CPU):
        product = x @ w.T
    assert (product - x.double() @ w.double().T).abs().max() < 1e-3
