"""From a config to a model at its starting values: build it, check that the scheme fits, initialize it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from initbench import seeds
from initbench.config import Config
from initbench.data import Dataset
from initbench.events import InitStep
from initbench.models import models
from initbench.schemes import parse
from initbench.schemes.apply import check_model, initialize
from initbench.schemes.samples import Samples


def build_model(config: Config, dataset: Dataset) -> nn.Module:
    """Return the config's model for the dataset's images, on the CPU, not initialized yet."""
    channels, height, width = dataset.train_images.shape[1:]
    with torch.random.fork_rng(devices=[]):  # what a user's own model draws beside its weights has the run's seed, too
        torch.default_generator.manual_seed(seeds.derive(config.seed, "model", "build"))
        return models[config.model.name].build(config.model.options, (channels, height, width), dataset.classes)


def check_scheme(model: nn.Module, config: Config) -> None:
    """Raise SchemeError where the config's scheme, or that of a layer, does not fit the model."""
    check_model(model, config.init.scheme, activation=activation_of(config), layers=config.init.layers)


def initialize_model(
    model: nn.Module, config: Config, dataset: Dataset, report: Callable[[InitStep], None] = lambda step: None
) -> None:
    """Give `model`, on the CPU, the weights that the config's scheme and seed give it.

    A scheme that looks at data sees training images only, on the CPU: the weights do not depend on the device.
    """
    needs_data = parse(config.init.scheme).scheme.needs != "nothing"
    initialize(
        model,
        config.init.scheme,
        generator=seeds.stream(config.seed, "init"),
        bias=config.init.bias,
        activation=activation_of(config),
        layers=config.init.layers,
        data=Samples(dataset.train_images.cpu(), dataset.train_labels.cpu()) if needs_data else None,
        report=report,
    )


def activation_of(config: Config) -> str | None:
    """Return the activation of the config's model; None where its options have no such thing."""
    activation: str | None = getattr(config.model.options, "activation", None)
    return activation
