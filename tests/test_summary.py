from __future__ import annotations

import itertools
import math
import random
import re
import statistics
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report.builders import CONFIG, DIGITS, MNIST, comparison, run_result, runs_of, spread

from initbench.errors import UsageError
from initbench.results import ALPHA, Comparison, PairedDifference, RunResult, SchemeSummary
from initbench.stats import mean_interval
from initbench.summary import epochs_to_target, summarize

BASE = [0.9271, 0.9283, 0.9268, 0.9279, 0.9280, 0.9275, 0.9286, 0.9274, 0.9269, 0.9285]


def summarized(runs: dict[str, list[RunResult]], **arguments: Any) -> Comparison:
    return summarize(runs, config=CONFIG, **{"target_accuracy": 0.97, **arguments})


def shifted(by: list[float]) -> list[float]:
    """BASE with other differences, in points."""
    return [round(accuracy + points / 100, 4) for accuracy, points in zip(BASE, by, strict=True)]


def only_pair(found: Comparison) -> PairedDifference:
    (pair,) = found.pairs
    return pair


def row(found: Comparison, label: str) -> SchemeSummary:
    return next(scheme for scheme in found.schemes if scheme.scheme == label)


def test_a_scheme_is_summarized_over_its_finished_runs() -> None:
    runs = [
        run_result("he", 2, 0.98, train_s=3.0),
        run_result("he", 0, 0.97, train_s=1.0),
        run_result("he", 1, None, status="diverged", train_s=100.0),
        run_result("he", 3, None, status="failed", train_s=100.0),
        run_result("he", 4, 0.99, train_s=5.0),
    ]
    he = row(summarized({"he": runs}), "he")
    assert (he.n, he.diverged, he.failed) == (3, 1, 1)
    assert he.mean == pytest.approx(0.98)
    assert (he.min, he.max, he.seconds) == (0.97, 0.99, 3.0)
    assert (he.ci_low, he.ci_high, he.ci_method) == mean_interval([0.97, 0.98, 0.99])
    assert [(run.seed, run.status, run.test_accuracy) for run in he.runs] == [
        (0, "done", 0.97),
        (1, "diverged", None),
        (2, "done", 0.98),
        (3, "failed", None),
        (4, "done", 0.99),
    ]


def test_what_it_was_told_is_in_the_comparison() -> None:
    found = summarized({"he": runs_of("he", BASE)}, reused=4, confidence=0.9, warnings=("mind the gap",))
    assert (found.dataset, found.config, found.device, found.seeds) == (MNIST, CONFIG, "cpu", tuple(range(10)))
    assert (found.reused, found.confidence, found.target_accuracy) == (4, 0.9, 0.97)
    assert found.warnings == ("mind the gap",)
    assert (found.schemes[0].ci_low, found.schemes[0].ci_high, "bca") == mean_interval(BASE, 0.9)


def test_identical_accuracies_say_that_the_interval_is_a_percentile() -> None:
    zeros = row(comparison({"zeros": [0.1135] * 6}), "zeros")
    assert (zeros.ci_low, zeros.ci_high, zeros.ci_method) == (0.1135, 0.1135, "percentile")


def test_a_single_scheme_has_no_pairs_and_no_warning() -> None:
    found = comparison({"he": [0.97]})
    assert found.pairs == ()
    assert found.warnings == ()
    assert found.schemes[0].ci_low is None


@pytest.mark.parametrize(
    ("histories", "median", "reached"),
    [
        ([[0.96, 0.97]], 2, 1),  # the target itself is reached
        ([[0.98, 0.90]], 1, 1),  # the first epoch that reaches it, whatever comes later
        ([[0.98], [0.9, 0.98], [0.1, 0.2]], 2, 2),  # 1, 2, never
        ([[0.98], [0.9, 0.98]], 1.5, 2),
        ([[0.98], [0.1]], None, 1),  # half never did
        ([[0.1], [0.2]], None, 0),
        ([[]], None, 0),
    ],
)
def test_epochs_to_target_is_the_median_with_never_as_infinity(
    histories: list[list[float]], median: float | None, reached: int
) -> None:
    runs = [run_result("he", seed, 0.98, history=history) for seed, history in enumerate(histories)]
    he = row(summarized({"he": runs}), "he")
    assert (he.epochs_to_target, he.reached_target) == (median, reached)


def test_a_diverged_run_counts_for_epochs_to_target() -> None:
    runs = [run_result(seed=0, history=[0.98]), run_result(seed=1, accuracy=None, status="diverged", history=[0.5])]
    assert epochs_to_target(runs, 0.97) == [1, math.inf]
    assert summarized({"he": runs}).schemes[0].epochs_to_target is None


def test_pairs_are_later_minus_earlier() -> None:
    found = comparison()
    assert [(pair.a, pair.b) for pair in found.pairs] == [("he", "xavier"), ("normal", "xavier"), ("normal", "he")]
    for pair in found.pairs:
        a, b = row(found, pair.a), row(found, pair.b)
        assert a.mean is not None
        assert b.mean is not None
        assert pair.difference == pytest.approx(a.mean - b.mean)


def test_a_difference_is_over_the_seeds_that_both_finished() -> None:
    found = comparison({"xavier": [0.97, None, 0.98, 0.96], "he": [0.98, 0.99, None, 0.98]})
    pair = only_pair(found)
    assert pair.n == 2
    assert pair.difference == pytest.approx((0.01 + 0.02) / 2)
    assert pair.verdict == (
        "he - xavier: +1.50 points [+1.00, +2.00], no difference detected (too few seeds to tell, n=2); "
        "he diverged in 1 of 4; xavier diverged in 1 of 4"
    )


def test_float_noise_in_a_difference_is_not_spread() -> None:
    # .9778 - .9768 and .9783 - .9773 differ in the 17th decimal, yet both are ten images of 10,000
    pair = only_pair(comparison({"a": [0.9768, 0.9773, 0.1135], "b": [0.9778, 0.9783, 0.1145]}))
    assert (pair.difference, pair.ci_low, pair.ci_high, pair.ci_method) == (0.001, 0.001, 0.001, "percentile")


def test_p_is_corrected_over_all_pairs() -> None:
    found = comparison()
    smallest = [pair for pair in found.pairs if pair.p_value == 2**-9]
    assert len(smallest) == 2  # the two with normal
    assert [pair.p_holm for pair in smallest] == [3 * 2**-9, 3 * 2**-9]
    (other,) = (pair for pair in found.pairs if pair not in smallest)
    assert other.p_value is not None
    assert other.p_holm == max(other.p_value, 3 * 2**-9)


def test_a_pair_that_cannot_be_tested_stays_in_the_family() -> None:
    found = comparison({"he": BASE, "xavier": shifted([1.0] * 10), "normal": [None] * 10})
    tested = next(pair for pair in found.pairs if pair.n)
    assert tested.p_holm == 3 * 2**-9
    for pair in found.pairs:
        if pair is not tested:
            assert (pair.n, pair.difference, pair.p_value, pair.p_holm, pair.better) == (0, None, None, None, None)


# 10 seeds, 1 pair: the smallest p is 2^-9 = .00195
VERDICTS = {
    "nothing to see": (
        [0.05, -0.05, 0.1, -0.1, 0.02, -0.02, 0.03, -0.03, 0.0, 0.0],
        r"he - xavier: 0\.00 points \[-0\.0\d, \+0\.0\d\], no difference detected \(n=10\)",
    ),
    "better": (
        [3.5, 3.6, 3.7, 3.4, 3.5, 3.6, 3.7, 3.8, 3.6, 3.5],
        r"he - xavier: \+3\.59 points \[\+3\.5\d, \+3\.6\d\], he is better \(p=\.002, n=10\)",
    ),
    "worse": (
        [-3.5, -3.6, -3.7, -3.4, -3.5, -3.6, -3.7, -3.8, -3.6, -3.5],
        r"he - xavier: -3\.59 points \[-3\.6\d, -3\.5\d\], xavier is better \(p=\.002, n=10\)",
    ),
    "identical": ([0.0] * 10, r"he - xavier: 0\.00 points \*\[0\.00, 0\.00\], no difference detected \(n=10\)"),
}


@pytest.mark.parametrize("case", VERDICTS)
def test_verdicts_in_words(case: str) -> None:
    points, words = VERDICTS[case]
    pair = only_pair(comparison({"xavier": BASE, "he": shifted(points)}))
    assert statistics.fmean(points) / 100 == pytest.approx(pair.difference, abs=1e-12)
    assert re.fullmatch(words, pair.verdict), pair.verdict


@pytest.mark.parametrize(
    ("negatives", "p", "better"),
    [
        # n = 10 equal sizes, k of them negative: p = 2 sum_{i<=k} C(10, i) / 2^10
        (0, 2 / 1024, "he"),
        (1, 22 / 1024, "he"),
        (2, 112 / 1024, None),
    ],
)
def test_a_difference_is_detected_below_05_only(negatives: int, p: float, better: str | None) -> None:
    pair = only_pair(comparison({"xavier": BASE, "he": shifted([-0.5] * negatives + [0.5] * (10 - negatives))}))
    assert (pair.p_value, pair.p_holm, pair.better) == (p, p, better)
    assert ("no difference detected" in pair.verdict) == (better is None)


@pytest.mark.parametrize(
    ("n", "shown"),
    [(8, "p=.008"), (11, "p<.001"), (6, "p=.031")],
)
def test_p_is_shown_without_its_zero(n: int, shown: str) -> None:
    pair = only_pair(comparison({"a": [0.9] * n, "b": [0.95] * n}))
    assert pair.verdict == f"b - a: +5.00 points *[+5.00, +5.00], b is better ({shown}, n={n})"


def test_p_just_below_the_threshold_is_not_rounded_up_to_it() -> None:
    # sizes 1, 2, 4, ...: each sign pattern has its own sum, so that the k-th largest has p = 2 k / 2^12; k = 102: .0498
    signs = [1 if (2**12 - 102) >> bit & 1 else -1 for bit in range(12)]
    accuracies = [round(0.5 + sign * 2**bit / 10_000, 4) for bit, sign in enumerate(signs)]
    pair = only_pair(comparison({"a": [0.5] * 12, "b": accuracies}))
    assert pair.p_value == 204 / 4096
    assert "b is better (p<.05, n=12)" in pair.verdict


def test_verdicts_without_a_shared_seed_and_with_one() -> None:
    nothing, one = comparison({"a": [0.9, None], "b": [None, 0.9]}), comparison({"a": [0.9], "b": [0.95]})
    assert only_pair(nothing).verdict == (
        "b - a: no seed was finished by both (n=0); b diverged in 1 of 2; a diverged in 1 of 2"
    )
    assert only_pair(one).verdict == "b - a: +5.00 points, no interval from one seed (n=1)"


def test_failed_runs_are_in_the_verdict() -> None:
    failing = [*runs_of("he", BASE[:9]), run_result("he", 9, None, status="failed")]
    pair = only_pair(summarized({"xavier": runs_of("xavier", BASE), "he": failing}))
    assert pair.verdict.endswith("no difference detected (n=9); he failed in 1 of 10")


def numbers(pair: PairedDifference) -> tuple[float | None, ...]:
    return (pair.difference, pair.ci_low, pair.ci_high, pair.p_value, pair.p_holm)


def mirrored(pair: PairedDifference) -> tuple[float | None, ...]:
    assert pair.difference is not None
    assert pair.ci_low is not None
    assert pair.ci_high is not None
    return (-pair.difference, -pair.ci_high, -pair.ci_low, pair.p_value, pair.p_holm)


@pytest.mark.parametrize("order", list(itertools.permutations(["xavier", "he", "normal"])))
def test_any_order_of_schemes_gives_the_same_numbers(order: tuple[str, ...]) -> None:
    accuracies = {"xavier": BASE, "he": spread(0.9778, 10, phase=1), "normal": spread(0.9421, 10, phase=2)}
    straight, turned = comparison(accuracies), comparison({label: accuracies[label] for label in order})
    assert [scheme.scheme for scheme in turned.schemes] == list(order)
    for label in order:
        assert row(turned, label) == row(straight, label)
    for pair in turned.pairs:
        same = [other for other in straight.pairs if (other.a, other.b) == (pair.a, pair.b)]
        opposite = [other for other in straight.pairs if (other.a, other.b) == (pair.b, pair.a)]
        assert [numbers(pair)] == [*map(numbers, same), *map(mirrored, opposite)]


@given(
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 10_000)), min_size=2, max_size=8),
    st.randoms(use_true_random=False),
)
@settings(max_examples=25, deadline=None)
def test_order_of_seeds_changes_nothing_and_order_of_schemes_the_sign(
    counts: list[tuple[int, int]], shuffler: random.Random
) -> None:
    runs = {
        label: runs_of(label, [pair[index] / 10_000 for pair in counts]) for index, label in enumerate(("zeros", "he"))
    }
    shuffled = {label: shuffler.sample(of_label, len(of_label)) for label, of_label in runs.items()}
    found = summarized(runs)
    assert summarized(shuffled) == found
    turned = summarized(dict(reversed(runs.items())))
    assert numbers(only_pair(turned)) == mirrored(only_pair(found))


@pytest.mark.parametrize(
    ("schemes", "seeds", "warning"),
    [
        (1, 1, None),
        (2, 5, "with 5 seeds the pair cannot reach p < .05; 6 seeds would do."),
        (2, 1, "with 1 seed the pair cannot reach p < .05; 6 seeds would do."),
        (2, 6, None),
        (3, 5, "with 5 seeds no pair of 3 can reach p < .05 after Holm's correction; 7 seeds would do."),
        (3, 6, "with 6 seeds no pair of 3 can reach p < .05 after Holm's correction; 7 seeds would do."),
        (3, 7, None),
        (5, 8, "with 8 seeds no pair of 10 can reach p < .05 after Holm's correction; 9 seeds would do."),
    ],
)
def test_too_few_seeds_are_said(schemes: int, seeds: int, warning: str | None) -> None:
    found = comparison({f"s{i}": spread(0.9 + i / 100, seeds) for i in range(schemes)}, warnings=("first",))
    assert found.warnings == (("first", warning) if warning else ("first",))
    detected = any(pair.better for pair in found.pairs)
    assert detected == (warning is None and schemes > 1)  # the warning tells the truth


def test_too_few_finished_seeds_are_said_without_asking_for_more() -> None:
    found = comparison({"a": [0.9] * 4 + [None] * 6, "b": [0.95] * 10})
    assert found.warnings == ("with 4 of 10 seeds finished by both schemes of a pair, the pair cannot reach p < .05.",)


REFUSED: dict[str, tuple[dict[str, list[RunResult]], str]] = {
    "no schemes": ({}, "no schemes were given"),
    "no runs": ({"he": []}, "'he' has no runs"),
    "other data": (
        {"he": runs_of("he", [0.9]), "xavier": runs_of("xavier", [0.9], dataset=DIGITS)},
        "different datasets never meet in one comparison: he ran on mnist .* a stand-in for mnist",
    ),
    "other bytes under the same name": (
        {
            "he": runs_of("he", [0.9]),
            "xavier": runs_of("xavier", [0.9], dataset=MNIST.model_copy(update={"sha256": "b" * 64})),
        },
        "different datasets never meet",
    ),
    "other data within a scheme": (
        {"he": [run_result(seed=0), run_result(seed=1, dataset=DIGITS)]},
        "different datasets never meet",
    ),
    "other device": (
        {"he": runs_of("he", [0.9]), "xavier": runs_of("xavier", [0.9], device="cuda:0")},
        "he ran on cpu, xavier on cuda:0.*--device",
    ),
    "other seeds": (
        {"he": runs_of("he", [0.9, 0.9]), "xavier": runs_of("xavier", [0.9])},
        "he has 0, 1 and xavier has 0",
    ),
    "a seed twice": ({"he": [run_result(seed=3), run_result(seed=3)]}, "'he' has seed 3 twice"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_runs_that_do_not_belong_together_are_refused(case: str) -> None:
    runs, message = REFUSED[case]
    with pytest.raises(UsageError, match=message):
        summarized(runs)


def test_an_interval_that_leaves_0_out_shows_the_p_that_decides() -> None:
    """The interval is each pair's own, p is Holm's over all: the two can differ, and then the reader sees why.

    Of the 2^10 sign patterns of (8 x 1, -1, -.5) 40 reach 6.5 on either side.
    """
    differences = [0.1] * 8 + [-0.1, -0.05]
    found = comparison({"he": shifted(differences), "normal": shifted([0.02, -0.02] * 5), "xavier": BASE})
    pair = next(pair for pair in found.pairs if (pair.a, pair.b) == ("xavier", "he"))
    assert pair.ci_high is not None
    assert pair.ci_high < 0
    assert pair.p_value == 40 / 1024
    assert pair.p_holm is not None
    assert pair.p_holm > ALPHA
    assert re.search(r"no difference detected \(p=\.\d\d, n=10\)$", pair.verdict)


def test_why_runs_failed_is_among_the_warnings() -> None:
    runs = {"a": runs_of("a", [0.9, None, None], lost="failed"), "b": runs_of("b", [0.9, 0.8, 0.7])}
    found = summarize(runs, config={}, target_accuracy=0.9).warnings
    assert "a failed in 2 of 3: out of memory" in found
