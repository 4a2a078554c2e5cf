"""What every pre-training keeps: reproducible, no randomness but the generator's, inputs untouched, clear errors."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Protocol

import pytest
import torch
from tiny_rbm import bars_and_stripes
from torch import Generator, Tensor

from initbench.errors import SchemeError
from initbench.pretraining import fit_denoising_autoencoder, fit_rbm
from initbench.pretraining.epochs import WATCHED, shuffled, watch


class Layer(Protocol):
    weight: Tensor
    hidden_bias: Tensor


FITS: dict[str, Any] = {
    "cd": fit_rbm,
    "cd2": partial(fit_rbm, k=2, momentum=0.5, weight_decay=1e-3),
    "pcd": partial(fit_rbm, persistent=True),
    "dae": fit_denoising_autoencoder,
}
every_fit = pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
INPUTS = bars_and_stripes(copies=2)  # [28,9]: batches of 8 leave one of 4


def seeded(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


def same(one: Layer, other: Layer) -> bool:
    return torch.equal(one.weight, other.weight) and torch.equal(one.hidden_bias, other.hidden_bias)


@every_fit
def test_same_seed_same_bits_other_seed_other_bits(fit: Any) -> None:
    layers = [fit(INPUTS, 5, generator=seeded(seed), epochs=2, batch_size=8) for seed in (1, 1, 2)]
    assert same(layers[0], layers[1])
    assert not torch.equal(layers[0].weight, layers[2].weight)
    assert not torch.equal(layers[0].hidden_bias, layers[2].hidden_bias)


@every_fit
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_layer_has_the_shape_and_dtype_of_a_linear_one_and_can_be_trained_on(fit: Any, dtype: torch.dtype) -> None:
    layer = fit(INPUTS.to(dtype), 5, generator=seeded(), epochs=1)
    assert (layer.weight.shape, layer.hidden_bias.shape) == ((5, 9), (5,))
    assert (layer.weight.dtype, layer.hidden_bias.dtype) == (dtype, dtype)
    weight = layer.weight.requires_grad_()
    torch.nn.functional.linear(INPUTS.to(dtype), weight, layer.hidden_bias).square().sum().backward()
    assert weight.grad is not None


@every_fit
def test_the_generator_is_the_only_source_of_randomness_and_inputs_stay(fit: Any) -> None:
    before, inputs = torch.get_rng_state(), INPUTS.clone()
    fit(inputs, 5, generator=seeded(), epochs=2, on_epoch=lambda row: None)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(inputs, INPUTS)


@every_fit
def test_being_looked_at_changes_nothing(fit: Any) -> None:
    told: list[Any] = []
    looked_at = fit(INPUTS, 5, generator=seeded(), epochs=3, on_epoch=told.append)
    assert len(told) == 3
    assert same(looked_at, fit(INPUTS, 5, generator=seeded(), epochs=3))


@every_fit
def test_a_batch_larger_than_the_data_is_all_of_the_data(fit: Any) -> None:
    layers = [fit(INPUTS, 5, generator=seeded(), epochs=2, batch_size=size) for size in (28, 1_000)]
    assert same(*layers)


@every_fit
def test_one_example_of_one_unit_is_enough(fit: Any) -> None:
    assert fit(torch.ones(1, 1), 1, generator=seeded(), epochs=2).weight.isfinite().all()


@every_fit
@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (torch.rand(4), r"inputs \[examples, units\].*got \[4\]"),
        (torch.rand(4, 1, 3), r"got \[4, 1, 3\]"),
        (torch.rand(0, 3), r"got \[0, 3\]"),
        (torch.rand(3, 0), r"got \[3, 0\]"),
        (torch.ones(2, 3, dtype=torch.uint8), "got torch.uint8"),
        (torch.ones(2, 3, dtype=torch.float16), "got torch.float16"),
        (torch.tensor([[0.0, 255.0]]), r"in \[0, 1\]; got values from 0 to 255"),
        (torch.tensor([[-0.5, 1.0]]), "from -0.5 to 1"),
        (torch.tensor([[0.5, math.nan]]), "from nan to nan"),
        (torch.tensor([[0.5, math.inf]]), "from 0.5 to inf"),
    ],
)
def test_unusable_inputs_are_refused_in_one_line(fit: Any, inputs: Tensor, words: str) -> None:
    with pytest.raises(SchemeError, match=words) as caught:
        fit(inputs, 5, generator=seeded())
    assert "\n" not in str(caught.value)


BOTH = [
    *({"hidden": value} for value in (0, -1, 2.5)),
    *({"epochs": value} for value in (0, -1)),
    *({"batch_size": value} for value in (0, 1.5)),
    *({"lr": value} for value in (0.0, -0.1, math.nan, math.inf)),
]
OF_RBM = [
    {"k": 0},
    *({"momentum": value} for value in (-0.1, 1.0, math.nan)),
    *({"weight_decay": value} for value in (-0.1, math.inf)),
    *({"std": value} for value in (-0.1, math.nan)),
]
OF_DAE = [{"corruption": value} for value in (-0.1, 1.0, math.nan)]


@pytest.mark.parametrize(
    ("fit", "options"),
    [(fit_rbm, options) for options in BOTH + OF_RBM] + [(fit_denoising_autoencoder, o) for o in BOTH + OF_DAE],
    ids=lambda value: getattr(value, "__name__", None) or str(value),
)
def test_an_argument_out_of_its_range_is_named(fit: Any, options: dict[str, Any]) -> None:
    [(name, value)] = options.items()
    with pytest.raises(SchemeError, match=f"^{name} is {value}; it must be "):
        fit(INPUTS, **({"hidden": 5, "generator": seeded()} | options))


@pytest.mark.parametrize(
    ("fit", "options"),
    [
        (fit_rbm, {"lr": 3e38}),
        (fit_rbm, {"lr": 100.0, "weight_decay": 1e4, "std": 1.0}),
        (partial(fit_rbm, persistent=True, momentum=0.9), {"lr": 3e38}),
        (fit_denoising_autoencoder, {"lr": 3e38}),
    ],
)
def test_divergence_is_one_line_that_says_what_to_do(fit: Any, options: dict[str, Any]) -> None:
    words = r"^the .* diverged in epoch \d+ of 30: weights are not finite\. Lower lr=.*\.$"
    with pytest.raises(SchemeError, match=words):
        fit(INPUTS, 5, generator=seeded(), epochs=30, **options)


def test_an_epoch_has_each_row_once_and_a_smaller_last_batch() -> None:
    batches = [shuffled(23, 5, seeded(seed)) for seed in (1, 1, 2)]
    assert [len(index) for index in batches[0]] == [5, 5, 5, 5, 3]
    assert torch.cat(batches[0]).sort().values.tolist() == list(range(23))
    assert torch.equal(torch.cat(batches[0]), torch.cat(batches[1]))
    assert not torch.equal(torch.cat(batches[0]), torch.cat(batches[2]))


@pytest.mark.parametrize(("rows", "watched"), [(7, 7), (3 * WATCHED, WATCHED)])
def test_the_watched_sample_has_no_row_twice_and_its_randomness_starts_afresh(rows: int, watched: int) -> None:
    generator = seeded()
    found = watch(torch.arange(rows, dtype=torch.float32)[:, None], generator)
    assert len(found.sample.unique()) == len(found.sample) == watched
    assert found.generator().initial_seed() == found.generator().initial_seed()
    draws = [torch.rand(3, generator=found.generator()) for _ in range(2)]
    assert torch.equal(*draws)
    assert not torch.equal(found.sample, watch(found.sample, generator).sample[: len(found.sample)])
