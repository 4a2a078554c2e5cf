"""From a config to a model at its starting values: build it, check that the scheme fits, initialize it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from initbench import seeds
from initbench.config import Config
from initbench.data import Dataset
from initbench.errors import UsageError
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


def tried_model(config: Config, dataset: Dataset) -> nn.Module:
    """Return the model, on the CPU, initialized where that needs no data.

    An untrained model is asked for the logits of one image, so that one that does not go together is seen now. Raises
    UsageError for such a one and where this machine cannot hold the model, SchemeError where a scheme does not fit it.
    """
    try:
        model = build_model(config, dataset)
        _check_module(model, config.model.name)
        check_scheme(model, config)
        if parse(config.init.scheme).scheme.needs == "nothing":
            initialize_model(model, config, dataset)
        _check_logits(model, dataset, config.model.name)
        return model
    except (RuntimeError, MemoryError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UsageError(f"the model cannot be built here: {reason}. Change its options (model.*).") from error


def _check_module(model: nn.Module, name: str) -> None:
    """Raise UsageError where a user's build function returned no module that can be trained."""
    if not isinstance(model, nn.Module) or not any(one.requires_grad for one in model.parameters()):
        raise UsageError(f"model {name!r}: its build function must return a torch.nn.Module with parameters to train.")


def _check_logits(model: nn.Module, dataset: Dataset, name: str) -> None:
    """Raise UsageError where the model does not map images [B, C, H, W] to logits [B, classes]."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        logits = model.eval()(Samples(dataset.train_images[:1].cpu()).floats())
    if tuple(logits.shape) != (1, dataset.classes):
        raise UsageError(
            f"model {name!r} maps one image to a tensor of shape {tuple(logits.shape)}, not to"
            f" {dataset.classes} logits, (1, {dataset.classes})."
        )


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
