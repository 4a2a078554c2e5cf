"""A restricted Boltzmann machine on MNIST: initbench's `fit_rbm` beside scikit-learn's BernoulliRBM, in one run.

Both learn 256 hidden units from the same 10,000 training images (float32 in [0, 1]; scikit-learn is given float32 too,
which is faster for it than its default of float64) with the same algorithm, PCD-1, learning rate .1, batch 10, for the
same number of iterations: the same number of updates from as many images. The rounds are interleaved, A B C A B C ...,
each with a seed of its own for all; ratios are taken round by round. The clock excludes loading and includes all of
`fit`. Both have one thread. The pseudo-log-likelihood of the learned models is that of the 10,000 test images, each by
scikit-learn's `score_samples` with the same random state; its difference is paired by round.

A row is there for orientation: initbench with CD-1, its default, which costs the same but is another algorithm (its
gradient is closer to that of the pseudo-likelihood). `--default-threads` adds scikit-learn with as many threads as it
takes by itself: on a busy machine these wait for each other, and it measures that.

Usage: python benchmarks/rbm.py [--rounds 5] [--iterations 10] [--images 10000] [--batch-size 10] [--default-threads]
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import sklearn
import torch
from sklearn.neural_network import BernoulliRBM
from threadpoolctl import threadpool_info, threadpool_limits  # type: ignore[import-untyped]

from initbench import data, seeds
from initbench.environment import cpu_model
from initbench.pretraining import RBM, fit_rbm
from initbench.stats import mean_interval
from initbench.threads import torch_threads

HIDDEN, LEARNING_RATE = 256, 0.1
OURS, THEIRS = "initbench, 1 thread", "scikit-learn, 1 thread"
SCORE_STATE = 0  # of score_samples: both models have the same pixels flipped

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Budget:
    """What both are given."""

    iterations: int
    images: int
    batch_size: int


@dataclass(frozen=True)
class Fitted:
    """A learned model, as scikit-learn's, and the seconds that it took."""

    model: BernoulliRBM
    seconds: float


def ours(images: Floats, budget: Budget, seed: int, *, persistent: bool = True) -> Fitted:
    """Learn with initbench on one thread: PCD-1, or CD-1."""
    inputs, generator = torch.from_numpy(images), seeds.stream(seed, "init")
    with torch_threads(1):
        started = time.perf_counter()
        rbm = fit_rbm(
            inputs,
            HIDDEN,
            generator=generator,
            epochs=budget.iterations,
            batch_size=budget.batch_size,
            lr=LEARNING_RATE,
            persistent=persistent,
        )
        seconds = time.perf_counter() - started
    return Fitted(as_scikit_learn(rbm), seconds)


def theirs(images: Floats, budget: Budget, seed: int, threads: int | None) -> Fitted:
    """Learn with scikit-learn on so many threads; None: as many as it takes by itself."""
    model = BernoulliRBM(
        HIDDEN,
        learning_rate=LEARNING_RATE,
        batch_size=budget.batch_size,
        n_iter=budget.iterations,
        random_state=seed,
    )
    with nullcontext() if threads is None else threadpool_limits(threads):
        started = time.perf_counter()
        model.fit(images)
        return Fitted(model, time.perf_counter() - started)


def as_scikit_learn(rbm: RBM) -> BernoulliRBM:
    """Return a BernoulliRBM that has the weights of `rbm`."""
    model = BernoulliRBM(HIDDEN)
    model.components_ = rbm.weight.numpy()
    model.intercept_hidden_ = rbm.hidden_bias.numpy()
    model.intercept_visible_ = rbm.visible_bias.numpy()
    model.n_features_in_ = rbm.weight.shape[1]
    return model


def score(fitted: Fitted, test_images: Floats) -> float:
    """Return the mean pseudo-log-likelihood of `test_images` in nats, as scikit-learn estimates it."""
    scores: Floats = fitted.model.set_params(random_state=SCORE_STATE).score_samples(test_images)
    return float(scores.mean())


def report(rounds: int, budget: Budget, default_threads: bool = False) -> str:
    """Return seconds, their ratios and the pseudo-log-likelihoods, as medians over the rounds."""
    dataset = data.load("mnist", fallback="none")
    train_images, test_images = (
        (images.flatten(1).float() / 255).numpy()
        for images in (dataset.train_images[: budget.images], dataset.test_images)
    )
    fits: dict[str, Callable[[int], Fitted]] = {
        OURS: lambda seed: ours(train_images, budget, seed),
        THEIRS: lambda seed: theirs(train_images, budget, seed, threads=1),
        "initbench, CD-1": lambda seed: ours(train_images, budget, seed, persistent=False),
    }
    if default_threads:
        fits["scikit-learn, its threads"] = lambda seed: theirs(train_images, budget, seed, threads=None)
    warm_up = Budget(1, budget.images, budget.batch_size)
    ours(train_images, warm_up, 0)
    theirs(train_images, warm_up, 0, threads=1)
    fitted: dict[str, list[Fitted]] = {name: [] for name in fits}
    for seed in range(rounds):
        for name, fit in fits.items():
            fitted[name].append(fit(seed))
    return "\n".join([*machine(rounds, budget), *table(fitted, test_images)])


def machine(rounds: int, budget: Budget) -> list[str]:
    """Return what it was measured on, and what was given."""
    default = max(library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas")
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    versions = (
        f"Python {platform.python_version()}, torch {torch.__version__}, scikit-learn {sklearn.__version__}, "
        f"numpy {np.__version__}"
    )
    return [
        f"{cpu_model()}, {os.cpu_count()} cores (scikit-learn's default: {default} threads), {versions}",
        f"MNIST, {budget.images} images, 784-{HIDDEN}, PCD-1, lr {LEARNING_RATE}, batch {budget.batch_size}, "
        f"{budget.iterations} iterations; n={rounds} rounds; load average at the end {load}",
    ]


def table(fitted: dict[str, list[Fitted]], test_images: Floats) -> list[str]:
    """Return a line for each row: seconds, how many times ours they are, pseudo-log-likelihood of the test images."""
    lines = [f"{'median [min, max]':26}{'seconds':>22}{'x initbench':>22}{'pseudo-log-likelihood':>28}"]
    scores = {name: [score(model, test_images) for model in models] for name, models in fitted.items()}
    seconds = {name: [model.seconds for model in models] for name, models in fitted.items()}
    our_seconds, our_scores = seconds[OURS], scores[OURS]
    for name, taken in seconds.items():
        ratios = [one / our for one, our in zip(taken, our_seconds, strict=True)]
        lines.append(f"{name:26}{spread(taken, 2):>22}{spread(ratios, 2):>22}{spread(scores[name], 1):>28}")
    differences = [our - their for our, their in zip(our_scores, scores[THEIRS], strict=True)]
    interval = mean_interval(differences)
    shown = f" [{interval.low:+.2f}, {interval.high:+.2f}], 95 % {interval.method} bootstrap" if interval else ""
    return [*lines, f"{OURS} minus {THEIRS}, in nats: mean {statistics.mean(differences):+.2f}{shown}"]


def spread(values: list[float], digits: int) -> str:
    """Return median, minimum and maximum."""
    return f"{statistics.median(values):.{digits}f} [{min(values):.{digits}f}, {max(values):.{digits}f}]"


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description="fit_rbm beside scikit-learn's BernoulliRBM on MNIST")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--batch-size", type=int, default=10)
    parser.add_argument("--default-threads", action="store_true")
    given = parser.parse_args()
    budget = Budget(given.iterations, given.images, given.batch_size)
    print(report(given.rounds, budget, given.default_threads))


if __name__ == "__main__":
    main()
