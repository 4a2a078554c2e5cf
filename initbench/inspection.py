"""Inspect starting values without training: a module of one's own, or several schemes in a config's model."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from initbench import events, seeds
from initbench.config import Config, ConfigLike, TrainConfig, make_config, resolve_config
from initbench.data import Dataset
from initbench.errors import UsageError
from initbench.events import Emit, InitStep
from initbench.initial import activation_of, initialize_model, tried_model
from initbench.results import Inspection, SignalReport
from initbench.schemes import SchemeSpec, distinct, parse
from initbench.schemes.apply import Layers, check_model, initialize
from initbench.schemes.filling import Bias
from initbench.schemes.samples import Samples
from initbench.schemes.weights import weights
from initbench.signals.measure import GRADIENT_SAMPLES, measure
from initbench.signals.report import report
from initbench.signals.weight_signals import Step
from initbench.threads import torch_threads
from initbench.training.devices import resolve_device
from initbench.training.optimizers import first_step, trial_step
from initbench.training.signals import fixed_batch
from initbench.work import load_dataset

JACOBIANS = 12  # of so many layers at most, evenly spaced
GAUSSIAN = "gaussian"
CLASSES = 10  # of random input, whose labels are random too

MAX_VALUES = 10**9  # of random input, 4 GB

Optimize = Callable[[list[nn.Parameter]], Optimizer]


def inspect(
    model: nn.Module,
    scheme: str | SchemeSpec | None,
    batch: Tensor | tuple[Tensor, Tensor],
    *,
    seed: int = 0,
    bias: Bias = "default",
    activation: str | None = None,
    layers: Layers | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
    optimizer: Optimize | None = None,
    gradient_samples: int = GRADIENT_SAMPLES,
) -> SignalReport:
    """Initialize a copy of `model`, send `batch` through and the gradient of the loss back; nothing is trained.

    Arguments: `scheme`, as `initialize` takes it, with `bias`, `activation` and `layers`; None inspects the weights as
    they are. `batch`, inputs [B, ...] as the model takes them (uint8 becomes floats in [0, 1]), or (inputs, labels
    [B]); without labels they are drawn evenly from the classes, the columns of the model's output [B, C]. `seed` of the
    weights, those labels and the directions in which Jacobians are probed. `loss(outputs, labels)`, the mean over the
    batch. `optimizer`, parameters -> the optimizer whose first step is held against the weights; Adam with lr 1e-3 by
    default. The gradient is that of the first `gradient_samples` of the batch.

    What the numbers are: `initbench.results.signals`. Raises UsageError for a batch that does not fit the model,
    SchemeError for a scheme that does not.
    """
    if not isinstance(model, nn.Module):
        raise UsageError(f"inspect() got a {type(model).__name__}; it needs a torch.nn.Module.")
    if not weights(model):
        raise UsageError(f"inspect() got a {type(model).__name__} without weights; there is nothing to inspect.")
    samples = Samples(*(batch if isinstance(batch, tuple) else (batch,)))
    inspected = copy.deepcopy(model)
    spec = parse(scheme) if isinstance(scheme, str) else scheme
    if spec is not None:
        initialize(
            inspected,
            spec,
            generator=seeds.stream(seed, "init"),
            bias=bias,
            activation=activation,
            layers=layers,
            data=None if spec.scheme.needs == "nothing" else samples,
        )
    like = next(inspected.parameters(), torch.empty(0))
    images = samples.floats().to(like.device)
    labels = _random_labels(inspected, images, seed) if samples.labels is None else samples.labels.to(like.device)
    return _measured(
        inspected,
        images,
        labels,
        spec,
        seed=seed,
        activation=activation,
        layers=layers,
        loss=loss,
        step=_step(inspected, optimizer),
        gradient_samples=gradient_samples,
        described=f"{len(images):,} inputs of shape {_shape(images)}",
    )


def _step(model: nn.Module, optimizer: Optimize | None) -> Step:
    """Return what the first step of the optimizer would add to a parameter."""
    if optimizer is None:
        return first_step(TrainConfig())
    return functools.partial(trial_step, optimizer(list(model.parameters())))


def _random_labels(model: nn.Module, images: Tensor, seed: int) -> Tensor:
    """Return labels [B], drawn evenly from the classes that the model's output [B, C] has columns for."""
    was_training = model.training
    try:
        with torch.no_grad():
            output = model.eval()(images[:1])
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        raise UsageError(f"the batch cannot be sent through the model: {str(error).splitlines()[0]}") from error
    finally:
        model.train(was_training)
    if not isinstance(output, Tensor) or output.dim() != 2:
        raise UsageError("the model's output is no matrix of logits [B, C]: give batch=(inputs, labels) and loss=.")
    generator = seeds.stream(seed, "signals", "labels")
    return torch.randint(output.shape[1], (len(images),), generator=generator).to(images.device)


def _measured(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    spec: SchemeSpec | None,
    *,
    seed: int,
    activation: str | None,
    layers: Layers | None,
    step: Step,
    gradient_samples: int,
    described: str,
    loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
) -> SignalReport:
    chosen = check_model(model, spec, activation=activation, layers=layers) if spec is not None else []
    measurement = measure(
        model,
        images,
        labels,
        step=step,
        gradient_samples=gradient_samples,
        schemes={weight.name: of_weight for weight, of_weight in chosen},
        activation=activation,
        jacobians=JACOBIANS,
        generator=seeds.stream(seed, "signals", "jacobians"),
        loss=loss,
    )
    return report(
        measurement,
        model,
        images,
        scheme=None if spec is None else spec.label,
        seed=seed,
        described=described,
        gradient_samples=gradient_samples,
    )


def inspect_schemes(
    config: ConfigLike = None,
    *,
    schemes: Sequence[str] = (),
    layers: Sequence[str] = (),
    data_dir: str | Path | None = None,
    emit: Emit = events.warn,
    progress: Callable[[InitStep], None] = lambda step: None,
) -> Inspection:
    """Inspect each scheme in the config's model, with the same seed and the same batch; train nothing.

    `schemes` are those of the config's `inspect` section where none are given, and that of `init` where it has none
    either. What is sent through is what `inspect` says: training images, or N(0, 1). `layers` are patterns, as file
    names are matched, of the layers that the reports are cut down to; verdicts are about all. `progress` hears which
    scheme is looked at.
    Raises UsageError for a pattern that matches no layer, SchemeError for a scheme that does not fit the model.
    """
    resolved = resolve_config(config)
    labels = distinct(schemes or [parse(text).label for text in resolved.inspect.schemes or [resolved.init.scheme]])
    device = resolve_device(resolved.device)
    dataset, described = _input(resolved, Path(data_dir) if data_dir else None, device, emit)
    reports = []
    parameters = 0
    for number, label in enumerate(labels, start=1):
        progress(InitStep(label, number, len(labels)))
        variant = _variant(resolved, label)
        model = _initialized(variant, dataset)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        whole = _inspected(variant, model.to(device), dataset, described).model_copy(update={"scheme": label})
        reports.append(_cut_down(whole, layers) if layers else whole)
    return Inspection(
        config=resolved.to_dict(),
        device=str(device),
        dataset=None if dataset.name == GAUSSIAN else dataset.info,
        parameters=parameters,
        reports=tuple(reports),
    )


def _variant(config: Config, scheme: str) -> Config:
    values = config.to_dict()
    return make_config({**values, "init": {**values["init"], "scheme": scheme}})


def _input(config: Config, data_dir: Path | None, device: torch.device, emit: Emit) -> tuple[Dataset, str]:
    """Return what is sent through, as a dataset whose training images are that, and the same in words."""
    asked = config.inspect
    if asked.input == GAUSSIAN:
        dataset = _gaussian(asked.samples, asked.shape, seeds.stream(config.seed, "signals", GAUSSIAN))
        return dataset, f"{asked.samples:,} inputs N(0, 1) of shape {_shape(dataset.train_images)}"
    values = config.to_dict()
    named = make_config({**values, "data": {**values["data"], "name": asked.input or config.data.name}})
    dataset = load_dataset(named, data_dir, device, emit)
    count = min(asked.samples, len(dataset.train_labels))
    return dataset, f"{count:,} training images of {dataset.name}"


def _gaussian(samples: int, shape: tuple[int, ...], generator: Generator) -> Dataset:
    """Return inputs N(0, 1) [N, C, H, W] with random labels [N], in the form of a dataset without test images."""
    if samples * math.prod(shape) > MAX_VALUES:
        raise UsageError(
            f"{samples:,} inputs of shape {'x'.join(map(str, shape))} are more than {MAX_VALUES:,} values. Lower"
            " inspect.samples or inspect.shape."
        )
    images = torch.randn(samples, *shape, generator=generator)
    labels = torch.randint(CLASSES, (samples,), generator=generator)
    return Dataset(GAUSSIAN, None, CLASSES, images, labels, images[:0], labels[:0], sha256="")


def _initialized(config: Config, dataset: Dataset) -> nn.Module:
    """Return the config's model at the values that a run with the same seed starts from."""
    with torch_threads(config.train.threads):
        model = tried_model(config, dataset)
        if parse(config.init.scheme).scheme.needs != "nothing":
            initialize_model(model, config, dataset)
        return model


def _inspected(config: Config, model: nn.Module, dataset: Dataset, described: str) -> SignalReport:
    device = next(model.parameters()).device
    images, labels = (one.to(device) for one in fixed_batch(dataset, config.seed, config.inspect.samples))
    return _measured(
        model,
        images,
        labels,
        parse(config.init.scheme),
        seed=config.seed,
        activation=activation_of(config),
        layers=config.init.layers,
        step=first_step(config.train),
        gradient_samples=config.data.batch_size,
        described=described,
    )


def _cut_down(whole: SignalReport, patterns: Sequence[str]) -> SignalReport:
    """Return the report with the layers, and the weights of the layers, that a pattern matches."""
    for pattern in patterns:
        if not any(_matches(layer.name, pattern) for layer in whole.layers):
            names = ", ".join(layer.name for layer in whole.layers)
            raise UsageError(f"--layers {pattern!r} matches no layer of this model. Its layers: {names}.")
    return whole.model_copy(
        update={
            "layers": tuple(one for one in whole.layers if any(_matches(one.name, pattern) for pattern in patterns)),
            "weights": tuple(
                one
                for one in whole.weights
                if any(_matches(one.name.rpartition(".")[0], pattern) for pattern in patterns)
            ),
        }
    )


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name.partition(",")[0], pattern)


def _shape(images: Tensor) -> str:
    return "x".join(map(str, images.shape[1:]))
