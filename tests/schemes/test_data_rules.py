"""Rules that look at data: what the papers promise of the outputs, the gradients and the learned layers."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from initbench import initialize
from initbench.errors import SchemeError, UsageError
from initbench.events import InitStep
from initbench.models import models
from initbench.schemes.metainit import gradient_quotient
from initbench.schemes.samples import Samples

STRIPES = torch.rand(120, 1, 8, 1, generator=torch.Generator().manual_seed(1)) < 0.3
IMAGES = (255 * STRIPES).expand(120, 1, 8, 8).to(torch.uint8)  # something to learn: rows that are all black or white
LABELS = torch.arange(120) % 10


def build(name: str, **options: Any) -> nn.Module:
    return models[name].build(models[name].options(**options), (1, 8, 8), 10)


def started(scheme: str, model: nn.Module, seed: int = 0, **arguments: Any) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    initialize(model, scheme, generator=generator, activation="relu", **({"data": (IMAGES, LABELS)} | arguments))
    return model


def outputs(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Return the output of every Linear layer and convolution on `images`."""
    seen: dict[str, Tensor] = {}
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            layer.register_forward_hook(lambda _, __, output, name=name: seen.__setitem__(name, output.detach()))
    model(images)
    return seen


DEEP: dict[str, tuple[str, dict[str, Any]]] = {
    "30 layers": ("mlp", {"hidden": {"width": 50, "depth": 30}, "bias": False}),
    "tanh": ("mlp", {"hidden": [50] * 10, "activation": "tanh", "bias": False}),
    "residual": ("mlp", {"hidden": [50] * 7, "residual": True, "bias": False}),
    "convolutions": ("cnn", {"channels": [8] * 6, "kernel": 3, "pool": "none", "bias": False}),
}


@pytest.mark.parametrize("network", DEEP)
def test_lsuv_gives_every_layer_unit_variance_on_the_batch(network: str) -> None:
    name, options = DEEP[network]
    model = started("lsuv:tol=0.01:batch_size=200", build(name, **options))
    for output in outputs(model, Samples(IMAGES).floats()).values():
        assert float(output.std()) == pytest.approx(1, abs=0.01)


def test_lsuv_keeps_the_directions_orthonormal() -> None:
    model = started("lsuv", build("mlp", hidden=[30, 30]))
    weight = model.get_parameter("fc2.weight").detach()
    singular = torch.linalg.svdvals(weight)
    assert torch.allclose(singular, singular[0].expand(30), rtol=1e-5)


def test_lsuv_tolerance_and_attempts_are_what_they_say() -> None:
    loose = started("lsuv:tol=0.99:attempts=1", build("mlp", hidden=[30], bias=False))
    assert torch.linalg.svdvals(loose.get_parameter("fc1.weight").detach())[0] == pytest.approx(1, abs=1e-5)


def test_lsuv_looks_at_a_batch_of_its_size() -> None:
    whole = started("lsuv:batch_size=120:tol=0.001", build("mlp", hidden=[30]))
    part = started("lsuv:batch_size=10:tol=0.001", build("mlp", hidden=[30]))
    assert not torch.equal(whole.get_parameter("fc1.weight"), part.get_parameter("fc1.weight"))


def test_lsuv_moves_no_statistics_and_leaves_no_hooks() -> None:
    model = build("cnn", norm="batch", channels=[4], hidden=[8]).train()
    started("lsuv", model)
    assert model.training
    assert not model.get_buffer("norm1.running_mean").any()
    assert not any(layer._forward_hooks for layer in model.modules())


def test_lsuv_says_which_layer_is_constant() -> None:
    with pytest.raises(SchemeError, match=r"the output of fc1 has std 0\.0 on the batch"):
        started("lsuv", build("mlp", bias=False), data=torch.zeros(5, 1, 8, 8))


def test_a_layer_that_is_used_twice_is_rescaled_once() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(64, 64, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(self.layer(x.flatten(1)))  # type: ignore[no-any-return]

    steps: list[InitStep] = []
    started("lsuv", Twice(), report=steps.append)
    assert [(step.done, step.total) for step in steps] == [(1, 1)]


def test_gradient_quotient_is_its_definition() -> None:
    """On a tiny network in float64, with the full Hessian, entry by entry."""
    torch.manual_seed(0)
    inputs, target = torch.rand(6, 3, dtype=torch.float64), torch.tensor([0, 1, 1, 0, 1, 0])
    weight = torch.rand(2, 3, dtype=torch.float64, requires_grad=True)

    def loss(flat: Tensor) -> Tensor:
        return cross_entropy(torch.tanh(inputs @ flat.view(2, 3).T), target)

    flat = weight.detach().flatten()
    g = torch.autograd.functional.jacobian(loss, flat)
    hessian = torch.autograd.functional.hessian(loss, flat)
    expected = ((g - hessian @ g) / (g + 1e-5 * g.sign()) - 1).abs().mean()
    measured = gradient_quotient(loss(weight), [weight])  # type: ignore[list-item]
    assert float(measured.detach()) == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize("start", ["he_normal", "orthogonal"])
def test_metainit_lowers_the_gradient_quotient_by_the_norms_alone(start: str) -> None:
    options: dict[str, Any] = {"hidden": [40] * 8, "activation": "tanh"}
    steps: list[InitStep] = []
    plain = started(f"metainit:start={start}:steps=1:lr=1e-9", build("mlp", **options), report=steps.append)
    learned = started(f"metainit:start={start}:steps=40", build("mlp", **options), report=steps.append)
    quotients = [float(step.text.rpartition(" ")[2]) for step in steps]
    assert len(quotients) == 1 + 40
    assert quotients[-1] < 0.9 * quotients[0]
    for before, after in zip(plain.parameters(), learned.parameters(), strict=True):
        if before.dim() == 2:
            one, other = before.detach().flatten(), after.detach().flatten()
            assert float(torch.dot(one, other) / one.norm() / other.norm()) == pytest.approx(1, abs=1e-5)
            assert not torch.allclose(one.norm(), other.norm(), rtol=1e-3)


def test_metainit_does_without_labels_and_on_any_model() -> None:
    started("metainit:steps=2", build("rnn", hidden=8), data=IMAGES)
    started("metainit:steps=2", build("cnn", channels=[4], hidden=[]), data=IMAGES)


EPOCHS = 3


def pretrained(scheme: str, seed: int = 0, **options: Any) -> tuple[nn.Module, list[InitStep]]:
    steps: list[InitStep] = []
    model = build("mlp", **({"hidden": [20, 12, 6], "activation": "sigmoid"} | options))
    started(f"{scheme}:epochs={EPOCHS}:batch_size=10", model, seed, bias=0.25, report=steps.append)
    return model, steps


@pytest.mark.parametrize(("scheme", "layers"), [("rbm", 1), ("dbn", 3), ("sdae", 3)])
def test_pretraining_fills_hidden_layers_and_leaves_the_rest_random(scheme: str, layers: int) -> None:
    model, steps = pretrained(scheme)
    trained = [f"fc{number}" for number in range(1, layers + 1)]
    for name in ("fc1", "fc2", "fc3", "out"):
        weight, bias = (model.get_parameter(f"{name}.{part}").detach() for part in ("weight", "bias"))
        is_random = name not in trained
        assert torch.equal(bias, torch.full_like(bias, 0.25)) == is_random
        assert (float(weight.std()) < 0.0125) == is_random  # N(0, 0.01^2)
    rows = [step.row for step in steps if step.row]
    assert [(row.layer, row.epoch) for row in rows] == [(name, epoch) for name in trained for epoch in (1, 2, 3)]
    assert [step.done for step in steps] == list(range(1, len(steps) + 1))
    assert {step.total for step in steps} == {len(trained) * EPOCHS}
    for row in rows:
        assert (row.free_energy is None) == (scheme == "sdae")
        assert 0 < row.reconstruction_error < 1


def test_each_machine_of_a_dbn_learns_the_probabilities_of_the_one_below(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fit_rbm is given for each layer is what the layers below, as the network has them, make of the images."""
    from initbench import pretraining

    seen: list[Tensor] = []

    def fit(inputs: Tensor, hidden: int, **settings: Any) -> pretraining.RBM:
        seen.append(inputs.clone())
        return fit_rbm(inputs, hidden, **settings)

    fit_rbm = pretraining.fit_rbm
    monkeypatch.setattr(pretraining, "fit_rbm", fit)
    model, steps = pretrained("dbn:lr=0.5")
    below = IMAGES.float().flatten(1) / 255
    for inputs, name in zip(seen, ("fc1", "fc2", "fc3"), strict=True):
        assert torch.allclose(inputs, below, atol=1e-6)
        below = torch.sigmoid(model.get_submodule(name)(below)).detach()
    errors = [step.row.reconstruction_error for step in steps if step.row and step.row.layer == "fc1"]
    assert errors[-1] < errors[0]


def test_each_autoencoder_learns_the_clean_codes_of_the_one_below(monkeypatch: pytest.MonkeyPatch) -> None:
    from initbench import pretraining

    seen: list[tuple[Tensor, float]] = []

    def fit(inputs: Tensor, hidden: int, **settings: Any) -> pretraining.Encoder:
        seen.append((inputs.clone(), settings["corruption"]))
        return fit_encoder(inputs, hidden, **settings)

    fit_encoder = pretraining.fit_denoising_autoencoder
    monkeypatch.setattr(pretraining, "fit_denoising_autoencoder", fit)
    model, _ = pretrained("sdae", hidden=[20, 12, 6, 5])
    below = IMAGES.float().flatten(1) / 255
    for (inputs, corruption), name, expected in zip(
        seen, ("fc1", "fc2", "fc3", "fc4"), (0.1, 0.2, 0.3, 0.3), strict=True
    ):
        assert corruption == expected
        assert torch.allclose(inputs, below, atol=1e-6)
        below = torch.sigmoid(model.get_submodule(name)(below)).detach()


def test_what_stands_before_the_first_layer_is_done_to_the_images() -> None:
    class Inverted(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 1 - x

    def network(*first: nn.Module) -> nn.Module:
        return nn.Sequential(*first, nn.Linear(64, 12), nn.Sigmoid(), nn.Linear(12, 10))

    inverted = started("rbm:epochs=1", network(Inverted(), nn.Flatten()))
    by_hand = started("rbm:epochs=1", network(nn.Identity(), nn.Flatten()), data=1 - IMAGES.float() / 255)
    plain = started("rbm:epochs=1", network(nn.Identity(), nn.Flatten()))
    assert torch.equal(inverted.get_parameter("2.weight"), by_hand.get_parameter("2.weight"))
    assert not torch.equal(inverted.get_parameter("2.weight"), plain.get_parameter("2.weight"))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("scheme", ["lsuv:tol=0.5", "metainit:steps=2"])
def test_the_batch_has_the_models_dtype(scheme: str, dtype: torch.dtype) -> None:
    model = started(scheme, build("mlp", hidden=[12]).to(dtype))
    assert model.get_parameter("fc1.weight").dtype == dtype


def test_metainit_leaves_the_norms_of_frozen_weights() -> None:
    model = build("mlp", hidden=[12])
    model.get_parameter("fc1.weight").requires_grad_(False)
    started("metainit:steps=5:start=orthogonal", model)
    assert torch.linalg.svdvals(model.get_parameter("fc1.weight"))[0] == pytest.approx(1, abs=1e-5)


def test_a_rule_that_fails_leaves_the_model_as_it_was() -> None:
    model = build("mlp", hidden=[12])
    model.get_submodule("act1").eval()
    before = {name: tensor.clone() for name, tensor in model.get_submodule("fc1").state_dict().items()}
    with pytest.raises(SchemeError, match="0"):
        started("rbm:epochs=1", model, data=300 * torch.rand(9, 1, 8, 8))
    assert torch.equal(model.get_parameter("fc1.weight"), before["weight"])
    assert model.training
    assert not model.get_submodule("act1").training


def test_rbm_and_dbn_start_the_first_layer_alike() -> None:
    assert torch.equal(*(pretrained(scheme)[0].get_parameter("fc1.weight") for scheme in ("rbm", "dbn")))


@pytest.mark.parametrize("setting", ["k=3", "persistent=true", "momentum=0", "weight_decay=0.1", "std=0.1", "lr=0.01"])
def test_every_setting_of_the_machines_counts(setting: str) -> None:
    plain, changed = (pretrained(scheme)[0].get_parameter("fc1.weight") for scheme in ("dbn", f"dbn:{setting}"))
    assert not torch.equal(plain, changed)


def test_corruption_rises_by_layer_or_is_what_is_given() -> None:
    rising, fixed = (pretrained(scheme)[0] for scheme in ("sdae", "sdae:corruption=0.1"))
    assert torch.equal(rising.get_parameter("fc1.weight"), fixed.get_parameter("fc1.weight"))
    assert not torch.equal(rising.get_parameter("fc2.weight"), fixed.get_parameter("fc2.weight"))


def test_a_network_without_biases_takes_the_weights_alone() -> None:
    model, _ = pretrained("dbn", bias=False)
    assert float(model.get_parameter("fc1.weight").detach().std()) > 0.0125


@pytest.mark.parametrize("scheme", ["lsuv", "metainit:steps=2", "rbm:epochs=1", "dbn:epochs=1", "sdae:epochs=1"])
def test_same_generator_same_bits_other_generator_other_bits_and_images_unchanged(scheme: str) -> None:
    before = IMAGES.clone()
    first, again, other = (started(scheme, build("mlp", hidden=[12, 12]), seed) for seed in (1, 1, 2))
    for one, same, different in zip(first.parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, same)
        assert not torch.equal(one, different)
    assert torch.equal(IMAGES, before)


def test_images_may_be_bytes_floats_or_samples() -> None:
    floats = IMAGES.float() / 255
    models_ = [started("lsuv", build("mlp", hidden=[12]), data=data) for data in (IMAGES, floats, Samples(floats))]
    for model in models_[1:]:
        assert torch.equal(model.get_parameter("fc1.weight"), models_[0].get_parameter("fc1.weight"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "scheme 'lsuv' needs a batch of images: pass data=images or data=(images, labels)"),
        (torch.zeros(0, 1, 8, 8), "at least one is needed"),
        ((IMAGES, LABELS[:5]), "120 images and 5 labels"),
    ],
    ids=["none", "empty", "labels"],
)
def test_missing_or_wrong_data_is_one_clear_error(data: Any, message: str) -> None:
    with pytest.raises((SchemeError, UsageError), match=message.replace("(", r"\(").replace(")", r"\)")):
        started("lsuv", build("mlp"), data=data)


def test_images_of_another_size_are_one_clear_error() -> None:
    with pytest.raises(SchemeError, match="cannot fill the model"):
        started("dbn:epochs=1", build("mlp"), data=torch.rand(10, 1, 5, 5))


def test_he_std_is_untouched_by_data() -> None:
    model = started("he_normal", build("mlp", hidden=[300]))
    assert float(model.get_parameter("fc1.weight").detach().std()) == pytest.approx(math.sqrt(2 / 64), rel=0.05)
