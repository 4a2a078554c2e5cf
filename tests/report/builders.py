"""Runs and comparisons for the tests, made through the real `summarize`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from initbench.results import Comparison, DatasetInfo, Divergence, EpochRow, RunResult, Status
from initbench.summary import summarize

MNIST = DatasetInfo(name="mnist", stand_in_for=None, train_size=60_000, test_size=10_000, sha256="a" * 64)
DIGITS = DatasetInfo(name="digits", stand_in_for="mnist", train_size=1_437, test_size=360, sha256="d" * 64)
CONFIG: dict[str, Any] = {"model": {"name": "mlp", "hidden": [256, 256]}, "train": {"epochs": 2}}


def run_result(
    scheme: str = "he",
    seed: int = 0,
    accuracy: float | None = 0.978,
    *,
    status: Status = "done",
    history: Sequence[float] | None = None,
    **changes: Any,
) -> RunResult:
    """A run that ends at `accuracy`; `history` has the test accuracies of its epochs."""
    accuracies = history if history is not None else ([0.9, accuracy] if accuracy is not None else [])
    facts: dict[str, Any] = {
        "run_id": f"{scheme}-{seed}",
        "scheme": scheme,
        "seed": seed,
        "status": status,
        "device": "cpu",
        "config": CONFIG,
        "dataset": MNIST,
        "parameters": 269_322,
        "history": tuple(
            EpochRow(
                epoch=epoch,
                train_loss=1 / epoch,
                train_accuracy=min(1, value + 0.01),
                test_accuracy=value,
                seconds=2.04,
            )
            for epoch, value in enumerate(accuracies, start=1)
        ),
        "test_accuracy": accuracy if status == "done" else None,
        "divergence": Divergence(epoch=1, step=7) if status == "diverged" else None,
        "error": "out of memory" if status == "failed" else None,
        "init_s": 0.01,
        "train_s": 30.25,
        "run_dir": None,
    }
    return RunResult(**(facts | changes))


def runs_of(
    scheme: str, accuracies: Sequence[float | None], *, lost: Status = "diverged", **changes: Any
) -> list[RunResult]:
    """One run for each accuracy, seeds from 0; None is a run that ended as `lost`."""
    return [
        run_result(scheme, seed, accuracy, status=lost if accuracy is None else "done", **changes)
        for seed, accuracy in enumerate(accuracies)
    ]


def spread(mean: float, n: int, size: float = 0.0008, phase: float = 0.0) -> list[float]:
    """`n` different accuracies around `mean`, in ten-thousandths."""
    return [round(mean + size * math.sin(3 * i + phase), 4) for i in range(n)]


def comparison(schemes: Mapping[str, Sequence[float | None]] | None = None, **changes: Any) -> Comparison:
    """A comparison of three schemes on ten seeds, or of `schemes`; `changes` go to summarize or to the runs."""
    accuracies = schemes or {
        "xavier": spread(0.9782, 10),
        "he": spread(0.9778, 10, phase=1),
        "normal": spread(0.9421, 10, phase=2),
    }
    to_summarize = {key: changes.pop(key) for key in ("warnings", "reused", "confidence") if key in changes}
    runs = {label: runs_of(label, values, **changes) for label, values in accuracies.items()}
    return summarize(runs, config=CONFIG, target_accuracy=0.97, **to_summarize)
