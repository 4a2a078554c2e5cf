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
    "sigmoid-histograms", "tanh-histograms", "relu-histograms",
}  # fmt: skip


def test_all_are_there() -> None:
    assert {path.stem for path in CONFIGS} >= PROMISED


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_each_trains_on_a_few_digits(path: Path) -> None:
    shipped = initbench.load_config(path)
    quick = ["init.epochs=1"] if shipped.init.scheme.startswith("dbn") else []  # 40 epochs of pre-training otherwise
    config = initbench.load_config(path, ["data.name=digits", "data.limit=200", "train.epochs=1", *quick])
    assert initbench.run(config, runs_dir=None).status == "done"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_each_says_what_to_expect(path: Path) -> None:
    comment = [line for line in path.read_text().splitlines() if line.startswith("# ")]
    assert len(comment) >= 2
    assert any(word in " ".join(comment) for word in ("Expect", "Published"))


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_the_histogram_experiment_is_the_sources(activation: str) -> None:
    """1000 inputs of 100 values, five layers of 100 x 100 weights; N(0, 1), N(0, 0.01^2), Xavier, He."""
    config = initbench.load_config(CONFIGS[0].parent / f"{activation}-histograms.yaml")
    assert config.model.options.model_dump()["hidden"] == (100,) * 5
    assert config.model.options.model_dump()["activation"] == activation
    assert (config.inspect.input, config.inspect.shape, config.inspect.samples) == ("gaussian", (1, 1, 100), 1_000)
    schemes = ["normal:std=1", "normal:std=0.01", "xavier_normal", "he_normal"]
    assert list(config.inspect.schemes) == [initbench.make_config({"init": scheme}).init.scheme for scheme in schemes]
    comment = (CONFIGS[0].parent / f"{activation}-histograms.yaml").read_text()
    assert f"initbench inspect configs/{activation}-histograms.yaml" in comment
