"""`inspect` and `inspect_schemes`: seeds and pairing, what is inspected, what is refused in one line."""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import Any

import pytest
import torch
from bench_settings import tiny
from torch import nn

import initbench
from initbench.errors import ConfigError, InitbenchError, SchemeError, UsageError
from initbench.initial import build_model, initialize_model
from initbench.inspection import inspect_schemes
from initbench.layers import Residual
from initbench.results import Inspection, SignalReport
from initbench.schemes import schemes


def gaussian(**sections: Any) -> dict[str, Any]:
    inspect = {"input": "gaussian", "shape": [1, 1, 12], "samples": 40, **sections.pop("inspect", {})}
    return {"model": {"hidden": [16, 8]}, "inspect": inspect, **sections}


def perceptron() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))


def images(samples: int = 30) -> torch.Tensor:
    return torch.rand(samples, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def test_the_users_model_is_not_changed() -> None:
    model = perceptron()
    before = copy.deepcopy(model.state_dict())
    report = initbench.inspect(model, "he_normal", images())
    assert isinstance(report, SignalReport)
    torch.testing.assert_close(dict(model.state_dict()), dict(before), rtol=0, atol=0)


def test_no_scheme_inspects_the_weights_as_they_are() -> None:
    model = perceptron()
    report = initbench.inspect(model, None, images())
    assert report.scheme is None
    assert report.weights[0].std == pytest.approx(model[1].weight.std().item(), rel=1e-5)
    assert report.weights[0].target_std is None


def test_the_seed_of_a_report() -> None:
    one, again, other = (initbench.inspect(perceptron(), "he", images(), seed=seed) for seed in (0, 0, 1))
    assert one == again
    assert one.weights[0].mean != other.weights[0].mean
    assert one.loss != other.loss


def test_labels_that_are_not_given_are_drawn_from_the_seed() -> None:
    model = perceptron()
    labels = torch.randint(10, (30,), generator=torch.Generator().manual_seed(5))
    drawn, again, other = (initbench.inspect(model, None, images(), seed=seed).loss for seed in (0, 0, 1))
    assert drawn == again
    assert drawn != other
    given = initbench.inspect(model, None, (images(), labels), gradient_samples=30)
    assert given.loss == pytest.approx(nn.functional.cross_entropy(model(images()), labels).item())


def test_a_loss_of_ones_own() -> None:
    autoencoder = nn.Sequential(nn.Linear(12, 4), nn.Tanh(), nn.Linear(4, 12))
    x = torch.randn(20, 12)
    report = initbench.inspect(autoencoder, None, (x, x), loss=nn.functional.mse_loss)
    assert report.loss == pytest.approx(nn.functional.mse_loss(autoencoder(x), x).item())


def test_uint8_images_are_seen_as_in_training() -> None:
    bytes_ = (images() * 255).to(torch.uint8)
    model = perceptron()
    seen = initbench.inspect(model, None, bytes_)
    assert seen.layers[0].pre_mean == pytest.approx(model[1](bytes_.flatten(1) / 255).mean().item(), abs=1e-6)


def test_the_update_is_that_of_the_optimizer() -> None:
    by_sgd = initbench.inspect(
        perceptron(), "he", images(), optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1)
    )
    for weight in by_sgd.weights:
        assert weight.grad_norm is not None
        assert weight.std is not None
        norm = (weight.std**2 * (16 * weight.fan_in if weight.fan_out == 16 else 160)) ** 0.5
        assert weight.update_ratio == pytest.approx(0.1 * weight.grad_norm / norm, rel=0.01)
    by_adam = initbench.inspect(perceptron(), "he", images())  # lr g / (|g| + eps): lr wherever g is not 0
    assert by_adam.weights[1].update_ratio == pytest.approx(1e-3 / (by_adam.weights[1].std or 0), rel=0.05)


@pytest.mark.parametrize("name", list(schemes))
def test_every_scheme_can_be_inspected_where_it_fits(name: str) -> None:
    models = {
        "a perceptron": perceptron(),
        "convolutions": nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)),
        "convolutions only": nn.Sequential(nn.Conv2d(1, 10, 3), nn.ReLU(), nn.Conv2d(10, 10, 6), nn.Flatten()),
        "a recurrent network": nn.Sequential(
            nn.Flatten(1, 2), _Last(nn.RNN(8, 16, batch_first=True)), nn.Linear(16, 10)
        ),
        "a residual network": nn.Sequential(
            nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), _block(16), nn.ReLU(), nn.Linear(16, 10)
        ),
        "sigmoids": nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Sigmoid(), nn.Linear(16, 10)),
    }
    labels = torch.arange(30) % 10
    spec = "metainit:steps=3" if name == "metainit" else name  # of 50, which take a second
    reports = []
    for model in models.values():
        try:
            activation = "sigmoid" if model is models["sigmoids"] else "relu"
            reports.append(initbench.inspect(model, spec, (images(), labels), activation=activation))
        except SchemeError:
            continue
    assert reports
    for report in reports:
        assert report.scheme == spec
        assert report.verdicts
        assert SignalReport.model_validate_json(report.model_dump_json()) == report


def _block(width: int) -> Residual:
    return Residual(OrderedDict(first=nn.Linear(width, width), act=nn.ReLU(), last=nn.Linear(width, width)))


class _Last(nn.Module):
    """Gives the last state of a recurrent layer."""

    def __init__(self, recurrent: nn.RNNBase) -> None:
        super().__init__()
        self.recurrent = recurrent

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states: torch.Tensor = self.recurrent(x)[0]
        return states[:, -1]


MISFITS = {
    "no module": (lambda: (None, "he", images()), UsageError, "needs a torch.nn.Module"),
    "no images": (lambda: (perceptron(), "he", images()[:0]), UsageError, "at least one is needed"),
    "wrong shape": (lambda: (perceptron(), "he", torch.ones(4, 3)), UsageError, "cannot be sent through"),
    "too few labels": (lambda: (perceptron(), "he", (images(), torch.zeros(3))), UsageError, "each image needs one"),
    "unknown scheme": (lambda: (perceptron(), "hee", images()), SchemeError, "Did you mean 'he'"),
    "misfit": (lambda: (perceptron(), "dirac", images()), SchemeError, "fills tensors with 3, 4 or 5"),
    "no matrix of logits": (
        lambda: (nn.Sequential(nn.Conv2d(1, 2, 3)), "he", images()),
        UsageError,
        "no matrix of logits",
    ),
    "no weights": (lambda: (nn.Flatten(), None, images()), UsageError, "without floating-point weights"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_what_cannot_be_inspected_is_one_line(name: str) -> None:
    arguments, error, said = MISFITS[name]
    with pytest.raises(error, match=said) as caught:
        initbench.inspect(*arguments())
    assert "\n" not in str(caught.value)


def test_schemes_are_inspected_on_the_same_input_with_the_same_seed() -> None:
    found = inspect_schemes(gaussian(), schemes=["he", "xavier", "normal:std=0.01"])
    assert isinstance(found, Inspection)
    assert [report.scheme for report in found.reports] == ["he", "xavier", "normal:std=0.01"]
    # N(0, 0.01^2) and He's normal draws are the same numbers times another std: the same streams
    normal, scaled = inspect_schemes(gaussian(), schemes=["normal:std=0.01", "normal:std=0.1"]).reports
    assert normal.layers[0].pre_mean is not None
    # biases are drawn by PyTorch's default and are the same for both
    assert scaled.weights[0].std == pytest.approx(10 * (normal.weights[0].std or 0), rel=1e-5)
    alone = inspect_schemes(gaussian(), schemes=["xavier"]).reports[0]
    assert alone == found.reports[1]


def test_the_seed_changes_input_and_weights() -> None:
    first, again, other = (inspect_schemes(gaussian(seed=seed)).reports[0] for seed in (0, 0, 1))
    assert first == again
    assert first.weights[0].mean != other.weights[0].mean
    assert first.layers[0].pre_mean != other.layers[0].pre_mean


def test_the_weights_are_those_that_a_run_starts_from() -> None:
    config = initbench.make_config(tiny(inspect={"samples": 50}))
    from initbench import data

    dataset = data.load("digits", limit=200)
    model = build_model(config, dataset)
    initialize_model(model, config, dataset)
    found = inspect_schemes(config).reports[0]
    assert [weight.std for weight in found.weights] == [
        pytest.approx(parameter.std().item(), rel=1e-6) for parameter in model.parameters() if parameter.dim() == 2
    ]
    assert found.samples == 50
    assert found.gradient_samples == 20  # data.batch_size


def test_the_schemes_are_the_arguments_or_the_configs() -> None:
    settings = gaussian(inspect={"schemes": ["he", "zeros"]}, init={"scheme": "orthogonal"})
    assert [report.scheme for report in inspect_schemes(settings).reports] == ["he_uniform", "zeros"]
    assert [report.scheme for report in inspect_schemes(settings, schemes=["ones"]).reports] == ["ones"]
    settings["inspect"]["schemes"] = []
    assert [report.scheme for report in inspect_schemes(settings).reports] == ["orthogonal"]


def test_layers_cut_the_report_down_but_not_the_verdict() -> None:
    whole = inspect_schemes(gaussian()).reports[0]
    part = inspect_schemes(gaussian(), layers=["fc*"]).reports[0]
    assert [layer.name for layer in part.layers] == ["fc1", "fc2"]
    assert [weight.name for weight in part.weights] == ["fc1.weight", "fc2.weight"]
    assert part.verdicts == whole.verdicts
    with pytest.raises(UsageError, match=r"'fc9' matches no layer of this model. Its layers: fc1, fc2, out\."):
        inspect_schemes(gaussian(), layers=["fc1", "fc9"])


def test_datasets_models_and_stand_ins() -> None:
    with pytest.warns(UserWarning, match="digits stands in for it"):
        found = inspect_schemes({"inspect": {"samples": 30}})
    assert found.dataset is not None
    assert (found.dataset.name, found.dataset.stand_in_for) == ("digits", "mnist")
    assert "digits" in found.reports[0].input
    asked = inspect_schemes({"inspect": {"samples": 30, "input": "digits"}})
    assert asked.dataset is not None
    assert asked.dataset.stand_in_for is None


@pytest.mark.parametrize(
    ("model", "first"),
    [({"name": "cnn"}, "conv1"), ({"name": "rnn"}, "rnn, step 1"), ({"name": "rnn", "cell": "lstm"}, "rnn, step 1")],
)
def test_every_registered_model_can_be_inspected(model: dict[str, Any], first: str) -> None:
    report = inspect_schemes(gaussian(model=model, inspect={"shape": [1, 28, 28]}), schemes=["xavier"]).reports[0]
    assert report.layers[0].name == first
    assert report.no_theory is not None
    assert all(weight.used for weight in report.weights)


@pytest.mark.parametrize(
    "settings",
    [
        gaussian(inspect={"samples": 1}),
        gaussian(model={"hidden": [1]}),
        gaussian(model={"hidden": []}),
        gaussian(
            model={"hidden": {"width": 4, "depth": 300}, "activation": "sigmoid"}, init={"scheme": "normal:std=1e-3"}
        ),
        gaussian(model={"hidden": [16], "norm": "batch"}, inspect={"samples": 1}),
        gaussian(model={"hidden": {"width": 8, "depth": 21}, "residual": True, "norm": "layer"}),
    ],
    ids=["one sample", "width 1", "softmax", "deep", "batch norm on one", "residual"],
)
def test_extremes_are_reported_without_nan(settings: dict[str, Any]) -> None:
    found = inspect_schemes(settings)
    assert Inspection.model_validate_json(found.model_dump_json()) == found
    assert found.reports[0].verdicts


def test_a_batch_of_one_is_noted() -> None:
    [note] = inspect_schemes(gaussian(inspect={"samples": 1})).reports[0].notes
    assert note.startswith("a batch of one")


@pytest.mark.parametrize(
    ("settings", "options", "error", "said"),
    [
        (gaussian(inspect={"input": "gausian"}), {}, ConfigError, "Did you mean 'gaussian'"),
        (gaussian(), {"schemes": ["dirac"]}, SchemeError, "fills tensors"),
        (gaussian(), {"schemes": ["he", "kaiming"]}, SchemeError, "same scheme"),
        (gaussian(model={"name": "cnn"}, inspect={"shape": [1, 1, 12]}), {}, InitbenchError, "pool"),
    ],
)
def test_what_a_config_cannot_mean_is_one_line(
    settings: dict[str, Any], options: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said) as caught:
        inspect_schemes(settings, **options)
    assert "\n" not in str(caught.value)
