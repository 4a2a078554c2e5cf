"""Statistics under the null: schemes that are the same are called different as seldom as the reports promise.

The simulated accuracies follow one model throughout: seed s moves both schemes of a pair alike, by N(0, .07^2) points
(the order of the images, the draw of the weights), each run moves by N(0, .05^2) points of its own, and the test set is
10,000 images, each of which is right with the probability that results: binomial counts, with an expectation of 98 %.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pytest
from report.builders import runs_of

from initbench.results import ALPHA, Comparison
from initbench.stats import smallest_p
from initbench.summary import summarize

Count, Figure = Callable[[int, int], int], Callable[[str, str], None]
Counts = npt.NDArray[np.int64]

ACCURACY = 0.98
TEST_IMAGES = 10_000
SEED_STD, RUN_STD = 0.0007, 0.0005
STREAM = 20_240_817


def simulated(comparisons: int, schemes: int, n: int, effect: float = 0.0) -> Counts:
    """Return how many test images are right [comparisons, schemes, n]; the last scheme is better by `effect`."""
    generator = np.random.default_rng([STREAM, schemes, n])
    seed = generator.normal(0, SEED_STD, size=(comparisons, 1, n))
    run = generator.normal(0, RUN_STD, size=(comparisons, schemes, n))
    shift = np.zeros((schemes, 1))
    shift[-1] = effect
    return generator.binomial(TEST_IMAGES, ACCURACY + shift + seed + run)


def summarized(counts: Counts) -> Comparison:
    """Return what the product says of the counts [schemes, n]."""
    runs = {f"s{index}": runs_of(f"s{index}", [c / TEST_IMAGES for c in row]) for index, row in enumerate(counts)}
    return summarize(runs, config={}, target_accuracy=0.97)


def attainable(n: int) -> float:
    """The level of the exact two-sided test at p < .05: its p are multiples of 2^(1-n), or nearly without steps."""
    return (math.ceil(ALPHA / smallest_p(n)) - 1) * smallest_p(n)


def share(hits: Sequence[bool]) -> tuple[float, float]:
    """Return the share and its standard error."""
    rate = sum(hits) / len(hits)
    return rate, math.sqrt(rate * (1 - rate) / len(hits))


def percent(hits: Sequence[bool]) -> str:
    rate, error = share(hits)
    return f"{100 * rate:.1f} ± {100 * error:.1f} %"


def tolerance(rate: float, tries: int) -> float:
    """One point, as promised; in the short version at least 4 standard errors."""
    return max(0.01, 4 * math.sqrt(rate * (1 - rate) / tries))


@pytest.mark.parametrize(("n", "cover"), [(5, 0.80), (10, 0.87), (30, 0.91)])
def test_the_same_scheme_twice(n: int, cover: float, count: Count, figure: Figure) -> None:
    """False positives of the verdict, and coverage of the intervals of the difference (0) and of the mean (98 %).

    The bootstrap resamples too little spread of few values, by a factor of about sqrt((n - 1) / n), and knows no t
    quantiles: it is known to cover less than it says (Efron & Tibshirani 1993, section 14.3), so the coverage is
    reported, and held to no more than what it is at this n.
    """
    tries = count(100 if n == 10 else 20, 5_000)
    wrong, differences, means = [], [], []
    for counts in simulated(tries, 2, n):
        found = summarized(counts)
        (pair,), first = found.pairs, found.schemes[0]
        wrong.append(pair.better is not None)
        differences.append(pair.ci_low <= 0 <= pair.ci_high)
        means.append(first.ci_low <= ACCURACY <= first.ci_high)
    level = attainable(n)
    figure(
        f"statistics under the null, n={n}",
        f"false positives {percent(wrong)} of {tries:,} (the exact test can have {100 * level:.1f} %); the 95 %"
        f" interval of the difference covers 0 in {percent(differences)}, that of the mean its expectation in"
        f" {percent(means)}",
    )
    assert abs(share(wrong)[0] - level) <= (tolerance(level, tries) if level else 0)
    for covered in (differences, means):
        assert cover - 4 * share(covered)[1] <= share(covered)[0] <= 0.96 + 4 * share(covered)[1]


def test_three_schemes_under_holm(count: Count, figure: Figure) -> None:
    """The chance that any of three equal schemes is called better; without Holm's correction it would be above 5 %."""
    tries = count(40, 5_000)
    any_wrong, any_uncorrected = [], []
    for counts in simulated(tries, 3, 10):
        pairs = summarized(counts).pairs
        any_wrong.append(any(pair.better is not None for pair in pairs))
        any_uncorrected.append(any(pair.p_value < ALPHA for pair in pairs))
    figure(
        "statistics under the null, 3 schemes, n=10",
        f"any of 3 pairs called different: {percent(any_wrong)} of {tries:,} (without Holm {percent(any_uncorrected)})",
    )
    assert share(any_wrong)[0] <= ALPHA + tolerance(ALPHA, tries)
    assert sum(any_wrong) < sum(any_uncorrected)
    if tries >= 1_000:
        assert share(any_wrong)[0] > ALPHA / 2  # a correction that never rejects would hold the level as well
        assert share(any_uncorrected)[0] > ALPHA + 0.01


@pytest.mark.parametrize(("effect", "least"), [(0.002, 0.5), (-0.004, 0.95)])
def test_a_true_effect_is_found_and_has_its_sign(effect: float, least: float, count: Count, figure: Figure) -> None:
    tries = count(20, 1_000)
    better = [summarized(counts).pairs[0].better for counts in simulated(tries, 2, 10, effect)]
    right = [name == ("s1" if effect > 0 else "s0") for name in better]
    figure(
        f"a true effect of {100 * effect:+.1f} points, n=10",
        f"found in {percent(right)} of {tries:,}, with the wrong sign in {tries - sum(right) - better.count(None)}",
    )
    assert share(right)[0] > least
    assert better.count("s0" if effect > 0 else "s1") <= ALPHA * tries / 2


@pytest.mark.parametrize("n", [5, 10])
def test_p_is_that_of_the_definition_in_whole_numbers(n: int, count: Count) -> None:
    """p is the share of all 2^n sign patterns that reach the observed sum; whole numbers have exact ties."""
    signs = np.array(list(itertools.product((-1, 1), repeat=n)))  # [2^n, n]
    for counts in simulated(count(30, 1_000), 2, n):
        differences = counts[1] - counts[0]
        expected = np.mean(np.abs(signs @ differences) >= abs(differences.sum()))
        (pair,) = summarized(counts).pairs
        assert pair.p_value == pair.p_holm == expected
        assert (pair.better is None) == (expected >= ALPHA)


def test_the_simulation_follows_its_stream() -> None:
    assert np.array_equal(simulated(3, 2, 10), simulated(3, 2, 10))
    assert not np.array_equal(simulated(3, 2, 10), simulated(3, 3, 10)[:, :2])
    paired = simulated(4_000, 2, 10)
    assert np.corrcoef(paired[:, 0].ravel(), paired[:, 1].ravel())[0, 1] == pytest.approx(
        SEED_STD**2 / (SEED_STD**2 + RUN_STD**2 + ACCURACY * (1 - ACCURACY) / TEST_IMAGES), abs=0.03
    )
