from __future__ import annotations

import itertools
import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from initbench.errors import UsageError
from initbench.stats import Interval, holm, mean_interval, seeds_needed, sign_flip_p, smallest_p

accuracies = st.integers(0, 10_000).map(lambda correct: correct / 10_000)
differences = st.integers(-500, 500).map(lambda correct: correct / 10_000)
p_values = st.floats(0, 1)

# Darwin's maize, crossed minus self-fertilised, in eighths of an inch (Fisher 1935, section 17)
DARWIN = (49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48)


def exact_bca(values: list[float], confidence: float) -> tuple[float, float]:
    """Efron 1987, (2.3) to (6.6), over all n^n resamples instead of a random draw of them."""
    normal = statistics.NormalDist()
    n, mean = len(values), statistics.fmean(values)
    means = np.sort([math.fsum(resample) / n for resample in itertools.product(values, repeat=n)])
    below = (np.sum(means < mean - 1e-12) + np.sum(means <= mean + 1e-12)) / (2 * len(means))
    z0 = normal.inv_cdf(float(below))
    jackknife = np.array([mean - (mean * n - value) / (n - 1) for value in values])
    a = np.sum(jackknife**3) / (6 * np.sum(jackknife**2) ** 1.5)
    tails = [normal.inv_cdf((1 - confidence) / 2), normal.inv_cdf((1 + confidence) / 2)]
    low, high = (normal.cdf(z0 + (z0 + z) / (1 - a * (z0 + z))) for z in tails)
    return float(np.quantile(means, low)), float(np.quantile(means, high))


def brute_force_p(values: list[int]) -> float:
    """The definition, in whole numbers, where ties are exact."""
    flips = [
        abs(sum(sign * value for sign, value in zip(signs, values, strict=True)))
        for signs in itertools.product((-1, 1), repeat=len(values))
    ]
    return sum(flip >= abs(sum(values)) for flip in flips) / len(flips)


@pytest.mark.parametrize(
    "values",
    [
        [0.1, 0.4, 0.5, 0.7, 0.9],
        [0.01, 0.02, 0.03, 0.05, 1.0],  # skewed to the right
        [-1.0, -0.05, -0.03, -0.02, -0.01],  # to the left
    ],
)
def test_interval_is_efrons_bca(values: list[float]) -> None:
    interval = mean_interval(values)
    assert interval is not None
    assert interval.method == "bca"
    assert interval[:2] == pytest.approx(exact_bca(values, 0.95), abs=0.03)


def test_bca_leans_towards_the_long_tail() -> None:
    values = [0.0, 0.01, 0.02, 0.02, 0.03, 0.03, 0.04, 0.05, 0.1, 1.0]
    interval = mean_interval(values)
    assert interval is not None
    mean = statistics.fmean(values)
    assert interval.high - mean > 2 * (mean - interval.low)


def test_interval_of_many_normal_values_is_the_normal_interval() -> None:
    values = [statistics.NormalDist().inv_cdf((i + 0.5) / 400) for i in range(400)]
    half = 1.959964 * statistics.stdev(values) / math.sqrt(400)
    interval = mean_interval(values)
    assert interval is not None
    assert interval[:2] == pytest.approx((-half, half), rel=0.06)


@pytest.mark.parametrize("values", [[], [0.97]])
def test_no_interval_from_fewer_than_two(values: list[float]) -> None:
    assert mean_interval(values) is None


@pytest.mark.parametrize("value", [0.0, 0.1, 0.9778, 1.0, -0.0123])
@pytest.mark.parametrize("n", [2, 3, 10])
def test_identical_values_have_a_percentile_interval_of_no_width(value: float, n: int) -> None:
    assert mean_interval([value] * n) == Interval(value, value, "percentile")


def test_values_whose_spread_underflows_fall_back_to_the_percentile() -> None:
    interval = mean_interval([0.0, 1e-200, 2e-200, 3e-200])
    assert interval is not None
    assert interval.method == "percentile"
    assert 0 <= interval.low < interval.high <= 3e-200


def test_a_wider_confidence_gives_a_wider_interval() -> None:
    values = [0.971, 0.974, 0.975, 0.976, 0.979, 0.981]
    narrow, wide = mean_interval(values, 0.8), mean_interval(values, 0.99)
    assert narrow is not None
    assert wide is not None
    assert wide.low < narrow.low < narrow.high < wide.high


@given(st.lists(accuracies, min_size=2, max_size=12), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_interval_lies_within_the_values_in_any_order(values: list[float], random: object) -> None:
    interval = mean_interval(values)
    assert interval is not None
    assert min(values) <= interval.low <= interval.high <= max(values)
    shuffled = values.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert mean_interval(shuffled) == interval


def test_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(5)
    intervals = [mean_interval(list(generator.normal(size=10))) for _ in range(200)]
    covered = sum(interval is not None and interval.low <= 0 <= interval.high for interval in intervals) / 200
    assert 0.84 <= covered <= 0.98  # n = 10: the bootstrap is known to be a few points short of .95


def test_sign_flip_is_fishers_test_of_darwins_maize() -> None:
    assert sign_flip_p(DARWIN) == 1726 / 2**15  # Fisher 1935, section 21: 863 patterns on either side


@pytest.mark.parametrize("n", range(1, 17))
def test_equal_differences_give_the_smallest_p(n: int) -> None:
    assert sign_flip_p([0.1] * n) == 2 ** (1 - n) == smallest_p(n)


@pytest.mark.parametrize("n", [1, 5, 16, 17, 40])
def test_no_difference_at_all_gives_p_1(n: int) -> None:
    assert sign_flip_p([0.0] * n) == 1


@pytest.mark.parametrize(
    "tied",
    [
        [1, 2, -3],
        [1, 2, -3, 3, -1, -2],
        [7, 1, 2, -3, 4, -4, 6],
        [3, 3, 3, -3, 1, -1],
        [1, 0, 0, 0, 0],
    ],
)
def test_ties_that_floats_blur_are_ties(tied: list[int]) -> None:
    assert sign_flip_p([d / 10 for d in tied]) == brute_force_p(tied)


@given(st.lists(st.integers(-500, 500), min_size=1, max_size=9))
@settings(max_examples=60, deadline=None)
def test_sign_flip_agrees_with_the_definition(values: list[int]) -> None:
    assert sign_flip_p([value / 10_000 for value in values]) == brute_force_p(values)


@given(st.lists(differences, min_size=1, max_size=12), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_sign_flip_knows_neither_order_nor_direction(values: list[float], random: object) -> None:
    p = sign_flip_p(values)
    assert smallest_p(len(values)) <= p <= 1
    assert sign_flip_p([-d for d in values]) == p
    shuffled = values.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert sign_flip_p(shuffled) == p


def test_beyond_16_the_random_flips_are_close_to_the_exact_p() -> None:
    # 17 differences of which one is 0: the same p as the 16 others, which is enumerated
    others = [0.3, -0.1, 0.25, 0.4, -0.2, 0.1, 0.15, -0.35, 0.2, 0.05, 0.3, -0.15, 0.1, 0.2, -0.05, 0.1]
    exact = sign_flip_p(others)
    drawn = sign_flip_p([0.0, *others])
    assert drawn != exact
    assert drawn == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 99_999))
    assert sign_flip_p([0.0, *reversed(others)]) == drawn


def test_beyond_16_p_is_never_0() -> None:
    assert sign_flip_p([0.1] * 60) == 1 / 100_000


@pytest.mark.parametrize("n", [6, 8])
def test_false_positives_are_at_most_nominal(n: int) -> None:
    generator = np.random.default_rng(7)
    rate = np.mean([sign_flip_p(generator.standard_t(3, size=n)) <= 0.05 for _ in range(2_000)])
    nominal = math.floor(0.05 * 2 ** (n - 1)) / 2 ** (n - 1)  # the largest level below .05 that this n has
    noise = math.sqrt(nominal * (1 - nominal) / 2_000)
    assert nominal - 3 * noise <= rate <= nominal + 3 * noise


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(UsageError, match="finite"):
        mean_interval([0.1, bad])
    with pytest.raises(UsageError, match="finite"):
        sign_flip_p([0.1, bad])


def test_the_sign_flip_test_needs_a_difference() -> None:
    with pytest.raises(UsageError, match="at least one"):
        sign_flip_p([])


@pytest.mark.parametrize("confidence", [0, 1, -0.5, 95, math.nan])
def test_confidence_is_a_fraction(confidence: float) -> None:
    with pytest.raises(UsageError, match=r"such as 0\.95"):
        mean_interval([0.1, 0.2], confidence)


@pytest.mark.parametrize(
    ("raw", "adjusted"),
    [
        ([], []),
        ([0.03], [0.03]),
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # 4 x .005, 3 x .01, 2 x .03, then the maximum
        ([0.5, 0.6, 0.9], [1, 1, 1]),
        ([0.002, 0.002, 0.002], [0.006, 0.006, 0.006]),
        ([0.04, 0.03, 0.02, 0.01], [0.06, 0.06, 0.06, 0.04]),
    ],
)
def test_holm_by_hand(raw: list[float], adjusted: list[float]) -> None:
    assert holm(raw) == pytest.approx(adjusted)


@given(st.lists(p_values, min_size=1, max_size=12))
def test_holm_keeps_the_order_and_only_raises(raw: list[float]) -> None:
    adjusted = holm(raw)
    assert all(p <= q <= 1 for p, q in zip(raw, adjusted, strict=True))
    assert all(adjusted[i] <= adjusted[j] for i in range(len(raw)) for j in range(len(raw)) if raw[i] <= raw[j])
    assert max(adjusted) <= min(1, len(raw) * max(raw))
    assert holm(raw[::-1]) == adjusted[::-1]


@pytest.mark.parametrize(("n", "p"), [(0, 1), (1, 1), (5, 0.0625), (6, 0.03125), (10, 0.001953125)])
def test_smallest_p(n: int, p: float) -> None:
    assert smallest_p(n) == p


@pytest.mark.parametrize(
    ("pairs", "alpha", "n"), [(1, 0.05, 6), (3, 0.05, 7), (6, 0.05, 8), (1, 0.0625, 5), (0, 0.05, 1)]
)
def test_seeds_needed(pairs: int, alpha: float, n: int) -> None:
    assert seeds_needed(pairs, alpha) == n
