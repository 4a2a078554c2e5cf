"""Inspect several schemes in the model of a config, on the same input with the same seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from torch import Generator, nn

from initbench import events, seeds
from initbench.config import Config, ConfigLike, make_config, resolve_config
from initbench.config.inspect_section import GAUSSIAN
from initbench.data import Dataset
from initbench.errors import UsageError
from initbench.events import Emit, InitStep
from initbench.initial import activation_of, initialize_model, tried_model
from initbench.inspection.measured import measured, shape_text
from initbench.report.compact import counted
from initbench.results import Inspection, SignalReport
from initbench.schemes import distinct, parse
from initbench.threads import torch_threads
from initbench.training.devices import resolve_device
from initbench.training.optimizers import first_step
from initbench.training.signals import fixed_batch
from initbench.work import load_dataset

CLASSES = 10  # of random input, whose labels are random too
MAX_VALUES = 10**9  # of random input, 4 GB


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
        whole, parameters = _inspected(_variant(resolved, label), dataset, device, described)
        whole = whole.model_copy(update={"scheme": label})
        reports.append(_cut_down(whole, layers) if layers else whole)
    return Inspection(
        config={**resolved.to_dict(), "inspect": {**resolved.to_dict()["inspect"], "schemes": labels}},
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
        return dataset, f"{counted(asked.samples, 'input')} N(0, 1) of shape {shape_text(dataset.train_images)}"
    values = config.to_dict()
    named = make_config({**values, "data": {**values["data"], "name": asked.input or config.data.name}})
    dataset = load_dataset(named, data_dir, emit)
    count = min(asked.samples, len(dataset.train_labels))
    return dataset, f"{counted(count, 'training image')} of {dataset.name}"


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


def _inspected(config: Config, dataset: Dataset, device: torch.device, described: str) -> tuple[SignalReport, int]:
    """Return the report on the config's scheme and the number of parameters; the model goes with the return."""
    model = _initialized(config, dataset).to(device)
    images, labels = (one.to(device) for one in fixed_batch(dataset, config.seed, config.inspect.samples))
    report = measured(
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
    return report, sum(parameter.numel() for parameter in model.parameters())


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
