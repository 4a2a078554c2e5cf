"""Check that a run's weights can be read, are finite, and are those of its config's model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from initbench.config import Config
from initbench.data import datasets
from initbench.errors import ConfigError, StoreError
from initbench.models import models
from initbench.provenance import Check
from initbench.results import RunResult
from initbench.store.weights import WEIGHTS, read_weights
from initbench.verification.checks import failed, ok

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

IMAGE = (1, 28, 28)  # channels, height, width: of every dataset


def check_weights(folder: Path, result: RunResult, config: Config | ConfigError) -> Check:
    """Check the weights of a run; those of one that diverged need not be finite, and a failed one has none."""
    if result.status == "failed":
        there = (folder / WEIGHTS).exists()
        return failed("weights", "a failed run has none") if there else ok("weights", "a failed run has none")
    try:
        weights = read_weights(folder)
    except StoreError as error:
        return failed("weights", str(error).removeprefix(f"{folder}/"))
    if result.status == "done" and (bad := [name for name, one in weights.items() if not _is_finite(one)]):
        return failed("weights", f"{bad[0]} has values that are not finite, and the run did not diverge")
    model = None if isinstance(config, ConfigError) else _model(config, result)
    if model is None:
        return _check_count(weights, result)
    expected = {name: (tensor.dtype, tensor.shape) for name, tensor in model.state_dict().items()}
    if problem := _first_difference({name: (one.dtype, one.shape) for name, one in weights.items()}, expected):
        return failed("weights", problem)
    if sum(parameter.numel() for parameter in model.parameters()) != result.parameters:
        return failed("weights", f"the model does not have the {result.parameters:,} parameters of the result")
    return ok("weights")


def _is_finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(tensor.isfinite().all())


def _model(config: Config, result: RunResult) -> nn.Module | None:
    """Return the config's model without memory for its weights, None where it cannot be built so."""
    import torch

    if result.dataset.name not in datasets:
        return None
    try:
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            return models[config.model.name].build(config.model.options, IMAGE, datasets[result.dataset.name].classes)
    except Exception:  # a user's own build function may do what it likes
        return None


Form = tuple["torch.dtype", "torch.Size"]


def _first_difference(found: dict[str, Form], expected: dict[str, Form]) -> str:
    """Return what is wrong with the names, types and shapes of the weights, "" where nothing is."""
    if missing := sorted(expected.keys() - found.keys()):
        return f"{missing[0]} of the config's model is not among them"
    if extra := sorted(found.keys() - expected.keys()):
        return f"{extra[0]!r} is not of the config's model"
    for name, (dtype, shape) in found.items():
        if (dtype, shape) != expected[name]:
            return (
                f"{name} is {dtype} {list(shape)}, the config's model has {expected[name][0]} {list(expected[name][1])}"
            )
    return ""


def _check_count(weights: dict[str, Tensor], result: RunResult) -> Check:
    """Check the number of values, which buffers add to, where the model cannot be built."""
    count = sum(tensor.numel() for tensor in weights.values())
    if count < result.parameters:
        return failed("weights", f"{count:,} values, fewer than the {result.parameters:,} parameters of the result")
    return ok("weights", "names and shapes were not compared: the config's model cannot be built here")
