"""Every config that is shipped: it loads, it trains, and its comment says what to expect."""

from __future__ import annotations

from pathlib import Path

import pytest

import initbench

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
PROMISED = {
    "xavier", "he", "normal", "zeros", "orthogonal", "smoke",
    "ladder-1-softmax", "ladder-2-normal", "ladder-3-xavier", "ladder-4-deep", "ladder-5-dropout",
    "recurrent", "deep-cnn", "dbn", "deep-relu",
}  # fmt: skip


def test_all_are_there() -> None:
    assert {path.stem for path in CONFIGS} >= PROMISED


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_each_trains_on_a_few_digits(path: Path) -> None:
    config = initbench.load_config(path, ["data.name=digits", "data.limit=200", "train.epochs=1"])
    assert initbench.run(config, runs_dir=None).status == "done"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_each_says_what_to_expect(path: Path) -> None:
    comment = [line for line in path.read_text().splitlines() if line.startswith("# ")]
    assert len(comment) >= 2
    assert any(word in " ".join(comment) for word in ("Expect", "Published"))
