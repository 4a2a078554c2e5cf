"""The main job on the real MNIST, in small: one epoch is enough to tell the schemes of the sources apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import initbench

pytestmark = pytest.mark.mnist


def trained(root: Path, init: dict[str, Any], batch_size: int = 100) -> initbench.RunResult:
    config = {"init": init, "train": {"epochs": 1}, "data": {"batch_size": batch_size}}
    return initbench.run(config, data_dir=root, runs_dir=None)


def test_xavier_learns_and_n01_is_clearly_below(mnist_root: Path) -> None:
    xavier = trained(mnist_root, {"scheme": "xavier"})
    normal = trained(mnist_root, {"scheme": "normal"})
    assert xavier.dataset.stand_in_for is None
    assert (xavier.dataset.train_size, xavier.dataset.test_size) == (60_000, 10_000)
    assert xavier.test_accuracy is not None
    assert normal.test_accuracy is not None
    assert 0.94 < xavier.test_accuracy < 0.985
    assert normal.test_accuracy < xavier.test_accuracy - 0.03


def test_zeros_end_at_the_share_of_one_class(mnist_root: Path) -> None:
    """Without any signal the logits are the same for every image: all are taken for the most frequent digit, the 1."""
    zeros = trained(mnist_root, {"scheme": "zeros", "bias": "zeros"}, batch_size=1_000)
    ones_in_the_test_set = 1_135
    assert zeros.test_accuracy == ones_in_the_test_set / 10_000
    assert zeros.history[0].train_loss == pytest.approx(2.3026, abs=0.01)  # log(10): the loss of a uniform guess
