"""initbench's own training in one process: one model, or eight that are stacked; on one thread, as its recipe says."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from torch import nn

from initbench import data
from initbench.config import Config, make_config
from initbench.data import Dataset
from initbench.initial import build_model, initialize_model
from initbench.results import Divergence, EpochRow
from initbench.threads import torch_threads
from initbench.training import train
from initbench.training.stacked import train_stacked
from rivals import REPLICAS
from rivals.recipe import BATCH, WARM_UP_STEPS, Measured, Recipe, Stopwatch


def sequential(recipe: Recipe, watch: Stopwatch, precision: str = "float32") -> Measured:
    """Train one model; building the optimizer is on the clock."""
    dataset, config = dataset_of(recipe), config_of(recipe, recipe.seed, precision=precision)
    short = config_of(recipe, recipe.seed, precision=precision, epochs=1)
    rows: list[EpochRow] = []
    with torch_threads(1):
        model, other = initialized(config, dataset), initialized(config, dataset)
        watch.mark()
        train(other, shortened(dataset), short, lambda row: None)
        watch.mark()
        check_none([train(model, dataset, config, rows.append)])
        return watch.measured(recipe.epochs, rows[-1].test_accuracy)


def stacked(recipe: Recipe, watch: Stopwatch) -> Measured:
    """Train eight models with seeds of their own as one computation."""
    dataset = dataset_of(recipe)
    seeds = range(recipe.seed, recipe.seed + REPLICAS)
    configs = [config_of(recipe, seed, engine="stacked") for seed in seeds]
    short = [config_of(recipe, seed, engine="stacked", epochs=1) for seed in seeds]
    accuracies: dict[int, float] = {}

    def note(replica: int, row: EpochRow) -> None:
        accuracies[replica] = row.test_accuracy

    with torch_threads(1):
        models = [initialized(config, dataset) for config in configs]
        others = [initialized(config, dataset) for config in configs]
        watch.mark()
        train_stacked(others, shortened(dataset), short, lambda replica, row: None)
        watch.mark()
        check_none(train_stacked(models, dataset, configs, note))
        return watch.measured(REPLICAS * recipe.epochs, min(accuracies.values()))


def dataset_of(recipe: Recipe) -> Dataset:
    """Return the images, as initbench reads them."""
    return data.load(recipe.dataset, fallback="none", limit=recipe.limit)


def settings(recipe: Recipe, **train: Any) -> dict[str, Any]:
    """Return the recipe as a config's settings."""
    images = {"name": recipe.dataset, "fallback": "none", "limit": recipe.limit}
    return {"data": images, "train": {"epochs": recipe.epochs, **train}, "device": "cpu"}


def config_of(recipe: Recipe, seed: int, **train: Any) -> Config:
    """Return the config of one run."""
    return make_config({**settings(recipe, **train), "seed": seed})


def initialized(config: Config, dataset: Dataset) -> nn.Module:
    """Return the model at its starting values."""
    model = build_model(config, dataset)
    initialize_model(model, config, dataset)
    return model


def shortened(dataset: Dataset) -> Dataset:
    """Return the first images, for the warm-up."""
    some = slice(BATCH * WARM_UP_STEPS)
    return dataclasses.replace(
        dataset, train_images=dataset.train_images[some], train_labels=dataset.train_labels[some]
    )


def check_none(ends: Sequence[Divergence | None]) -> None:
    """Raise RuntimeError where a training diverged."""
    if any(end is not None for end in ends):
        raise RuntimeError(f"a training diverged: {ends}")
