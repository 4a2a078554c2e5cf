"""Replicas trained as one computation: the sequential loop's numbers, whatever the model, optimizer and company."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from bright_images import dataset, initialized_model
from torch import Tensor, nn

from initbench import make_config
from initbench.config import Config
from initbench.data import Dataset
from initbench.layers import SeededDropout, seed_dropout, seed_dropout_of_stack
from initbench.results import Divergence, EpochRow
from initbench.training import stack_size
from initbench.training.loop import train
from initbench.training.recurrence import Recurrence, unfuse_recurrences
from initbench.training.replicas import Replicas
from initbench.training.stack_size import bytes_per_replica, largest_stack, memory_trial, split
from initbench.training.stackable import unstackable
from initbench.training.stacked import clipped_each, train_stacked, try_step

DATA = dataset()  # 230 images of 4x4 pixels: 4 batches of 50 and a smaller one

MODELS: dict[str, dict[str, Any]] = {
    "softmax": {"name": "mlp", "hidden": []},
    "mlp": {"name": "mlp", "hidden": [16, 8]},
    "mlp without biases": {"name": "mlp", "hidden": [8], "bias": False},
    "batch norm": {"name": "mlp", "hidden": [16], "norm": "batch"},
    "layer norm": {"name": "mlp", "hidden": [16], "norm": "layer"},
    "dropout": {"name": "mlp", "hidden": [16, 8], "dropout": 0.3},
    "residual": {"name": "mlp", "hidden": {"width": 8, "depth": 5}, "residual": True, "dropout": 0.1},
    "residual batch norm": {"name": "mlp", "hidden": {"width": 8, "depth": 3}, "residual": True, "norm": "batch"},
    **{
        activation: {"name": "mlp", "hidden": [8], "activation": activation}
        for activation in ("tanh", "sigmoid", "leaky_relu", "elu", "selu", "gelu", "silu", "softsign", "linear")
    },
    "cnn": {"name": "cnn", "channels": [4, 8], "kernel": 3, "hidden": [8]},
    "cnn max pool": {"name": "cnn", "channels": [4], "kernel": 3, "hidden": [], "pool": "max", "padding": "none"},
    "cnn circular": {
        "name": "cnn", "channels": [4, 4, 4], "kernel": 3, "stride": [2, 1], "pool": "none", "groups": 2,
        "padding_mode": "circular", "norm": "batch", "readout": "mean", "hidden": [], "activation": "tanh",
    },
    "cnn reflect": {"name": "cnn", "channels": [4], "kernel": 3, "hidden": [], "padding_mode": "reflect"},
    "cnn replicate": {"name": "cnn", "channels": [4], "hidden": [], "padding_mode": "replicate", "bias": False},
    "rnn": {"name": "rnn", "hidden": 8},
    "gru": {"name": "rnn", "hidden": 6, "cell": "gru", "layers": 2},
    "lstm": {"name": "rnn", "hidden": 6, "cell": "lstm"},
    "lstm without biases": {"name": "rnn", "hidden": 6, "cell": "lstm", "bias": False},
    "permuted": {"name": "rnn", "hidden": 6, "input": "pixels", "permutation": 3, "activation": "relu"},
}  # fmt: skip

RECIPES: dict[str, dict[str, Any]] = {
    "sgd": {"optimizer": "sgd", "lr": 0.1},
    "momentum": {"optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 0.01},
    "nesterov": {"optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": True, "clip_norm": 0.5},
    "adam": {"optimizer": "adam"},
    "adam cosine": {"optimizer": "adam", "schedule": "cosine", "clip_norm": 0.1},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.1},
    "rmsprop": {"optimizer": "rmsprop", "weight_decay": 0.01},
    "rmsprop momentum": {"optimizer": "rmsprop", "momentum": 0.9, "schedule": "cosine"},
}

SGD = ("sgd", "momentum", "nesterov")

# Every recipe on three networks, every network with one recipe at least; batch norm with one that is not adaptive.
PAIRS = sorted(
    {*itertools.product(("mlp", "dropout", "cnn"), RECIPES)}
    | {*itertools.product(("batch norm", "residual batch norm", "cnn circular"), ("momentum",))}
    | {*zip(MODELS, itertools.cycle(RECIPES), strict=False)}
)


@dataclass(frozen=True)
class Outcome:
    """What replicas came to; rows are (epoch, training loss, training accuracy, test accuracy)."""

    models: list[nn.Module]
    rows: list[list[tuple[int, float, float, float]]]
    ends: list[Divergence | None]

    def same(self, place: int, other: Outcome, other_place: int) -> bool:
        """Whether a replica is, to the bit, one of another outcome."""
        pairs = zip(tensors(self.models[place]), tensors(other.models[other_place]), strict=True)
        return (
            all(torch.equal(ours, theirs) for ours, theirs in pairs)
            and self.rows[place] == other.rows[other_place]
            and self.ends[place] == other.ends[other_place]
        )


def tensors(model: nn.Module) -> list[Tensor]:
    return [tensor.detach() for tensor in (*model.parameters(), *model.buffers())]


def settings(
    model: str = "mlp", recipe: str = "adam", seed: int = 0, scheme: str = "he", drop_last: bool = False, **train: Any
) -> Config:
    return make_config(
        {
            "model": MODELS[model],
            "seed": seed,
            "init": {"scheme": scheme},
            "data": {"batch_size": 50, "drop_last": drop_last},
            "train": {"epochs": 2, **RECIPES[recipe], **train},
        },
        [],
    )


def initialized(configs: Sequence[Config]) -> list[nn.Module]:
    return [initialized_model(one, DATA) for one in configs]


def row(of: EpochRow) -> tuple[int, float, float, float]:
    return of.epoch, of.train_loss, of.train_accuracy, of.test_accuracy


def one_by_one(configs: Sequence[Config], data: Dataset = DATA) -> Outcome:
    models, rows = initialized(configs), [list[EpochRow]() for _ in configs]
    triples = zip(models, configs, rows, strict=True)
    ends = [train(model, data, config, some.append) for model, config, some in triples]
    return Outcome(models, [[row(of) for of in some] for some in rows], ends)


def stacked(configs: Sequence[Config], models: Sequence[nn.Module] | None = None, data: Dataset = DATA) -> Outcome:
    trained = [copy.deepcopy(model) for model in models or initialized(configs)]
    rows: list[list[EpochRow]] = [[] for _ in configs]
    ends = train_stacked(trained, data, configs, lambda place, of: rows[place].append(of))
    return Outcome(trained, [[row(of) for of in some] for some in rows], ends)


def agree(ours: Outcome, theirs: Outcome, adaptive: bool = False) -> None:
    """Compare to 1e-4: float32's 6e-8, grown in ten steps.

    Accuracies, of 230 and 70 images, may differ by one image on the other side of a tie. Biases that batch norm
    subtracts again are left out where the optimizer is `adaptive`, as is the running mean that contains them: their
    gradient is 0, and Adam and RMSprop divide what rounding makes of it by its own size.
    """
    assert ours.ends == theirs.ends
    for of_ours, of_theirs in zip(ours.rows, theirs.rows, strict=True):
        assert [of[0] for of in of_ours] == [of[0] for of in of_theirs]
        for one, other in zip(of_ours, of_theirs, strict=True):
            assert one[1] == pytest.approx(other[1], rel=1e-4)
            assert one[2:] == pytest.approx(other[2:], abs=1.5 / 70)
    for our, their in zip(ours.models, theirs.models, strict=True):
        normed = any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in our.modules())
        wanted = their.state_dict()
        for name, tensor in our.state_dict().items():
            before_norm = name.endswith("bias") and "norm" not in name and not name.startswith("out")
            if adaptive and normed and (before_norm or name.endswith("running_mean")):
                continue
            scale = 1e-4 * float(wanted[name].double().abs().max()) + 1e-6
            assert torch.allclose(tensor, wanted[name], rtol=1e-4, atol=scale, equal_nan=True), name
        assert not our.training
        assert not their.training


@pytest.mark.parametrize(("model", "recipe"), PAIRS)
def test_a_stack_is_what_its_replicas_are_one_by_one(model: str, recipe: str) -> None:
    rate = RECIPES[recipe].get("lr", 0.001)
    configs = [
        settings(model, recipe, seed=0),
        settings(model, recipe, seed=1, scheme="xavier", lr=2 * rate),
        settings(model, recipe, seed=0, scheme="xavier_normal"),
    ]
    agree(stacked(configs), one_by_one(configs), adaptive=not recipe.startswith(SGD))


@pytest.mark.parametrize("drop_last", [True, False])
def test_the_last_smaller_batch_is_dropped_or_not(drop_last: bool) -> None:
    configs = [settings("dropout", seed=seed, drop_last=drop_last, epochs=3) for seed in (3, 4)]
    agree(stacked(configs), one_by_one(configs))


def test_evaluation_sees_the_pixels_that_are_asked_for() -> None:
    configs = [
        one.model_copy(update={"data": one.data.model_copy(update={"eval_scale": 255.0})})
        for one in (settings("sigmoid", seed=seed) for seed in (0, 1))
    ]
    agree(stacked(configs), one_by_one(configs))


def test_the_losses_of_an_epoch_longer_than_a_window_are_all_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    from initbench.training import stacked as module

    configs = [settings("dropout", seed=seed) for seed in (0, 1)]
    whole = stacked(configs)
    monkeypatch.setattr(module, "WINDOW", 2)
    monkeypatch.setattr(module, "EVALUATED", 30)
    agree(stacked(configs), whole)


def test_same_seed_same_bits_and_another_seed_others() -> None:
    configs = [settings("dropout", seed=seed) for seed in (0, 1)]
    first, again = stacked(configs), stacked(configs)
    assert first.same(0, again, 0)
    assert first.same(1, again, 1)
    assert not first.same(0, first, 1)


@pytest.mark.parametrize("model", ["mlp", "dropout", "batch norm", "cnn", "gru"])
def test_neither_number_nor_order_of_the_replicas_matters_up_to_rounding(model: str) -> None:
    configs = [settings(model, seed=seed, lr=lr) for seed, lr in ((0, 0.001), (1, 0.01), (2, 0.001))]
    together = stacked(configs)
    turned = stacked(configs[::-1])
    agree(Outcome(turned.models[::-1], turned.rows[::-1], turned.ends[::-1]), together, adaptive=True)
    for place, config in enumerate(configs):
        alone = stacked([config])
        agree(alone, Outcome([together.models[place]], [together.rows[place]], [together.ends[place]]), adaptive=True)


def test_each_replica_has_its_own_learning_rate() -> None:
    rates = (0.1, 0.001, 0.1)
    configs = [settings("mlp", "sgd", lr=lr) for lr in rates]
    outcome = stacked(configs)
    assert outcome.same(0, outcome, 2) or torch.allclose(tensors(outcome.models[0])[0], tensors(outcome.models[2])[0])
    start = tensors(initialized(configs)[0])[0]
    moved = [float((tensors(model)[0] - start).norm()) for model in outcome.models]
    assert moved[0] > 10 * moved[1] > 0


def blown_up(model: nn.Module) -> nn.Module:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1e30)
    return model


@pytest.mark.parametrize(
    "model", ["mlp", "batch norm", "dropout", "residual", "cnn", "cnn circular", "gru", "permuted"]
)
@pytest.mark.parametrize("place", [0, 2])
def test_a_diverging_replica_changes_no_bit_of_the_others(model: str, place: int) -> None:
    configs = [settings(model, seed=seed, clip_norm=1.0) for seed in range(3)]
    models = initialized(configs)
    healthy = stacked(configs, models)
    blown_up(models[place])
    with torch.no_grad():
        next(models[place].parameters()).fill_(math.nan)
    sick = stacked(configs, models)
    assert sick.ends[place] == Divergence(epoch=1, step=1)
    assert sick.rows[place] == []
    for other in {0, 1, 2} - {place}:
        assert sick.ends[other] is None
        assert sick.same(other, healthy, other)


def test_divergence_is_reported_as_by_the_sequential_loop() -> None:
    """Rates at which a linear network leaves float32 in some epoch, at once, and never; the others go on."""
    rates = (100.0, 0.01, 1e6, 30.0)
    configs = [settings("linear", "sgd", seed=seed, epochs=12, lr=lr) for seed, lr in enumerate(rates)]
    ours, theirs = stacked(configs), one_by_one(configs)
    assert ours.ends == theirs.ends
    assert [end is None for end in ours.ends] == [False, True, False, False]
    assert len({end.epoch for end in ours.ends if end}) > 1
    for some, end in zip(ours.rows, ours.ends, strict=True):
        assert len(some) == (12 if end is None else end.epoch - 1)
        assert all(math.isfinite(loss) for _, loss, _, _ in some)


def test_weights_that_are_not_finite_after_the_last_step_are_a_divergence_too() -> None:
    """One step of SGD with a finite loss, at a rate that carries the weights beyond float32."""
    moderate = settings("softmax", "sgd", scheme="normal:std=1e30", epochs=1)
    moderate = moderate.model_copy(update={"data": moderate.data.model_copy(update={"batch_size": 230})})
    extreme = moderate.model_copy(update={"train": moderate.train.model_copy(update={"lr": 1e39})})
    assert (
        stacked([moderate, extreme]).ends == one_by_one([moderate, extreme]).ends == [None, Divergence(epoch=1, step=1)]
    )


def test_it_stops_when_all_have_diverged(monkeypatch: pytest.MonkeyPatch) -> None:
    from initbench.training import stacked as module

    epochs: list[int] = []
    real = module._epoch

    def spy(stack: Any, epoch: int) -> list[EpochRow | Divergence]:
        epochs.append(epoch)
        return real(stack, epoch)

    monkeypatch.setattr(module, "_epoch", spy)
    outcome = stacked([settings(scheme="normal:std=1e30", seed=seed, epochs=50) for seed in (0, 1)])
    assert outcome.ends == [Divergence(epoch=1, step=1)] * 2
    assert epochs == [1]


def test_a_diverged_replica_keeps_the_weights_of_the_epoch_it_diverged_in() -> None:
    configs = [settings("linear", "sgd", lr=lr, epochs=epochs) for lr, epochs in ((1e3, 8), (0.01, 8))]
    ours = stacked(configs)
    assert ours.ends[0] is not None
    short = [
        one.model_copy(update={"train": one.train.model_copy(update={"epochs": ours.ends[0].epoch})}) for one in configs
    ]
    assert all(
        torch.equal(one.nan_to_num(), other.nan_to_num())
        for one, other in zip(tensors(ours.models[0]), tensors(stacked(short).models[0]), strict=True)
    )


def test_rows_come_in_order_and_seconds_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(step=6.0)  # an epoch looks at it twice
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    configs = [settings(seed=seed, lr=lr) for seed, lr in ((0, 0.1), (1, 0.01), (2, 0.1))]
    seen: list[tuple[int, int, float]] = []
    train_stacked(initialized(configs), DATA, configs, lambda place, of: seen.append((of.epoch, place, of.seconds)))
    assert seen == [(epoch, place, 2.0) for epoch in (1, 2) for place in (0, 1, 2)]


@pytest.mark.parametrize(
    ("configs", "models", "message"),
    [
        ([], [], "got 0 models and 0 configs"),
        ([settings()], ["mlp", "mlp"], "got 2 models and 1 configs"),
        ([settings(), settings(epochs=3)], ["mlp", "mlp"], "may differ in seed, init and train.lr"),
        ([settings(), settings("tanh")], ["mlp", "mlp"], "may differ in seed, init and train.lr"),
        ([settings(), settings(seed=1)], ["mlp", "tanh"], "same names and shapes"),
        ([settings(signals=1)], ["mlp"], "records no signals"),
    ],
)
def test_what_cannot_be_a_stack(configs: list[Config], models: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train_stacked(initialized([settings(model) for model in models]), DATA, configs, lambda place, of: None)


def test_clipping_is_for_each_replica_alone() -> None:
    """The gradient of norm 5 is scaled to 1, the one of norm 0.5 left, the one that is NaN harms none."""
    first, second = torch.tensor([[3.0], [0.3], [math.nan]]), torch.tensor([[[4.0]], [[0.4]], [[1.0]]])
    first, second = clipped_each([first, second], 1.0)
    assert first[:2].flatten().tolist() == pytest.approx([0.6, 0.3])
    assert second[:2].flatten().tolist() == pytest.approx([0.8, 0.4])


def test_masks_in_a_stack_are_those_of_each_replica_alone() -> None:
    layer, x, seeds = SeededDropout(0.4), torch.rand(3, 10, 7), (5, 6, 5)
    apart = []
    for replica, seed in enumerate(seeds):
        seed_dropout(layer, seed, 2, x.device)
        apart.append([layer(x[replica]), layer(x[replica, :4])])
    seed_dropout_of_stack(layer, seeds, 2, x.device)
    together = [torch.func.vmap(layer)(x), torch.func.vmap(layer)(x[:, :4])]
    for replica in range(3):
        assert torch.equal(together[0][replica], apart[replica][0])
        assert torch.equal(together[1][replica], apart[replica][1])
    assert not torch.equal(together[0][0] == 0, together[0][1] == 0)
    with pytest.raises(RuntimeError, match="belongs to none of them"):
        torch.func.vmap(lambda scale: scale * layer(x[0]))(torch.ones(3))


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize(
    "layer",
    [
        lambda **options: nn.RNN(3, 5, **options),
        lambda **options: nn.RNN(3, 5, nonlinearity="relu", bias=False, **options),
        lambda **options: nn.GRU(3, 5, num_layers=2, **options),
        lambda **options: nn.LSTM(3, 5, num_layers=3, **options),
    ],
    ids=["rnn", "relu", "gru", "lstm"],
)
def test_a_recurrence_computes_what_the_fused_layer_computes(
    layer: Callable[..., nn.RNNBase], batch_first: bool
) -> None:
    fused = layer(batch_first=batch_first)
    sequence = torch.rand(6, 4, 3)
    states, last = fused(sequence)
    ours, our_last = Recurrence(fused)(sequence)
    assert torch.allclose(ours, states, atol=1e-6)
    for one, other in zip(our_last, last, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_only_plain_recurrent_layers_are_unfused() -> None:
    model = nn.Sequential(nn.LSTM(3, 4, bidirectional=True), nn.GRU(3, 4), nn.LSTM(3, 4, proj_size=2))
    model.append(nn.GRU(3, 4, num_layers=2, dropout=0.5))
    names = [name for name, _ in model.named_parameters()]
    unfuse_recurrences(model)
    assert [type(layer) for layer in model] == [nn.LSTM, Recurrence, nn.LSTM, nn.GRU]
    assert [name for name, _ in model.named_parameters()] == names


class Own(nn.Module):
    """A user's module: a linear layer, and something else that `also` does with the module and its logits."""

    def __init__(self, also: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.linear = nn.Linear(16, 3)
        self.frozen = nn.Parameter(torch.ones(3), requires_grad=False)
        self.unused = nn.Parameter(torch.ones(2))
        self.register_buffer("mean", torch.zeros(3))
        self.also = also

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.frozen * self.linear(images.flatten(1))
        return self.also(self, logits)


def averages(module: Any, logits: Tensor) -> Tensor:
    if module.training:
        module.mean = 0.9 * module.mean + 0.1 * logits.detach().mean(0)
    centred: Tensor = logits - module.mean
    return centred


def counter() -> Callable[[Any, Tensor], Tensor]:
    """Return something whose state is outside of the module: replicas alone share it, a stack passes it once."""
    calls = itertools.count(1)
    return lambda _, logits: logits / next(calls)


class OwnGRU(nn.Module):
    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.rnn = nn.GRU(4, 5, batch_first=True, **options)
        self.out = nn.LazyLinear(3)
        self(torch.zeros(2, 1, 4, 4))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.out(self.rnn(images.flatten(1, 2))[0][:, -1])
        return logits


def hooked() -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    model[1].register_forward_hook(lambda *_: None)
    return model


def with_gradient_hook() -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    next(model.parameters()).register_hook(lambda gradient: 2 * gradient)  # type: ignore[no-untyped-call]
    return model


OWN: dict[str, tuple[Callable[[], nn.Module], str | None]] = {
    "plain": (lambda: Own(lambda _, logits: logits), None),
    "a buffer that is assigned": (lambda: Own(averages), None),
    "gru": (lambda: OwnGRU(num_layers=2), None),
    "tied": (lambda: nn.Sequential(nn.Flatten(), *[nn.Linear(16, 16)] * 2, nn.Linear(16, 3)), None),
    "bidirectional": (lambda: OwnGRU(bidirectional=True), "vmap"),
    "dropout": (lambda: nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, 3)), "random"),
    "noise": (lambda: Own(lambda _, logits: logits + torch.rand(())), "random"),
    "a branch": (lambda: Own(lambda _, logits: logits if logits.sum() > 0 else -logits), "control flow"),
    "a state outside": (lambda: Own(counter()), "do not train in a stack as they do alone"),
    "hook": (hooked, "1 has a hook"),
    "gradient hook": (with_gradient_hook, "1.weight has a hook"),
}


@pytest.mark.parametrize("case", OWN)
def test_own_models_are_stacked_or_told_why_not(case: str) -> None:
    build, reason = OWN[case]
    model = build()
    before = [tensor.clone() for tensor in tensors(model)]
    generator = torch.get_rng_state()
    told = unstackable(model, (1, 4, 4))
    assert told is None if reason is None else told is not None and reason in told
    assert all(torch.equal(one, other) for one, other in zip(before, tensors(model), strict=True))
    assert torch.equal(generator, torch.get_rng_state())
    if reason is None:
        models = [build() for _ in range(2)]
        configs = [settings(recipe="adamw", seed=seed) for seed in range(2)]
        theirs = copy.deepcopy(models)
        ends = [train(one, DATA, config, lambda _: None) for one, config in zip(theirs, configs, strict=True)]
        ours = stacked(configs, models)
        agree(Outcome(ours.models, [[], []], ours.ends), Outcome(theirs, [[], []], ends))


@pytest.mark.parametrize("model", MODELS)
def test_every_registered_model_can_be_stacked(model: str) -> None:
    assert unstackable(initialized([settings(model)])[0], (1, 4, 4)) is None


def trial_up_to(largest: int, tried: list[int]) -> Callable[[int], None]:
    def trial(replicas: int) -> None:
        tried.append(replicas)
        if replicas > largest:
            raise torch.OutOfMemoryError(f"{replicas} replicas")

    return trial


@pytest.mark.parametrize("replicas", [1, 2, 7, 10, 100, 1000])
@pytest.mark.parametrize("largest", [1, 2, 3, 9, 40, 999, 1000])
def test_the_fewest_stacks_that_fit_are_found(replicas: int, largest: int) -> None:
    tried: list[int] = []
    found = largest_stack(replicas, trial_up_to(largest, tried))
    assert math.ceil(replicas / found) == math.ceil(replicas / min(largest, replicas))
    assert found <= largest
    assert len(tried) <= 2 * math.log2(replicas) + 2
    blocks = split(replicas, found)
    assert [place for block in blocks for place in block] == list(range(replicas))
    assert max(map(len, blocks)) - min(map(len, blocks)) <= 1
    assert max(map(len, blocks)) <= found


def test_one_replica_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(torch.OutOfMemoryError, match="one replica alone"):
        largest_stack(8, trial_up_to(0, []))
    with pytest.raises(ValueError, match="got 0 replicas"):
        largest_stack(0, trial_up_to(1, []))


def test_on_the_cpu_a_stack_has_a_bound_on_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    config = settings("dropout")
    model = initialized([config])[0]
    of_one = bytes_per_replica(model, DATA, 50)
    parameters = 4 * sum(parameter.numel() for parameter in model.parameters())
    assert 2 * parameters + 50 * 16 * 4 < of_one < 10**6
    assert bytes_per_replica(model, DATA, 1_000) > of_one
    monkeypatch.setattr(stack_size, "CPU_BYTES", 5 * of_one)
    assert largest_stack(10, memory_trial(model, DATA, config)) == 5
    monkeypatch.setattr(stack_size, "CPU_BYTES", 1)
    assert largest_stack(3, memory_trial(model, DATA, config)) == 1


def test_a_trial_step_leaves_the_models_as_they_are() -> None:
    config = settings("batch norm", "momentum")
    model = initialized([config])[0]
    before = [tensor.clone() for tensor in tensors(model)]
    try_step([model] * 3, DATA, [config.model_copy(update={"seed": seed}) for seed in range(3)])
    assert all(torch.equal(one, other) for one, other in zip(before, tensors(model), strict=True))
    assert model.training


def test_gradients_lie_in_memory_as_their_parameters_do() -> None:
    models = initialized([settings("cnn", seed=seed) for seed in (0, 1)])
    replicas, images = Replicas(models, torch.device("cpu")), torch.rand(2, 5, 1, 4, 4)
    before = replicas.logits(images)
    replicas.lay_out(images)
    assert torch.allclose(replicas.logits(images), before, atol=1e-6)
    gradients = replicas.gradients(replicas.logits(images), torch.ones_like(before))
    for parameter, gradient in zip(replicas.parameters, gradients, strict=True):
        assert parameter.shape == gradient.shape
        assert parameter.is_contiguous()
        assert gradient.is_contiguous()
