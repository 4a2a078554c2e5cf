"""What the benchmarks make of their measurements, on numbers that are worked out by hand."""

from __future__ import annotations

import pytest
from growth import fit
from rivals.recipe import Measured
from throughput_rounds import ratios, targets, verdict
from tiny_runs import Memory, Tiny

ROUNDS = {
    name: [Measured(rate, 1.0, None) for rate in rates]
    for name, rates in {"compare-2": (3, 4, 6), "jax": (1, 4, 2), "jax-vmap": (2, 1, 4)}.items()
}


def test_ratios_are_taken_round_by_round_over_the_best_of_the_others() -> None:
    assert ratios(ROUNDS, "compare-2", ["jax", "jax-vmap"]) == [1.5, 1.0, 1.5]
    assert ratios(ROUNDS, "compare-2", ["jax"]) == [3.0, 1.0, 3.0]


def test_only_ratios_of_what_was_measured_are_told_with_their_targets() -> None:
    [line] = targets(ROUNDS)
    assert line.startswith("compare -j 2 / better of JAX scan, vmap")
    assert line.endswith("1.50 [1.00, 1.50]   target 1.5: met")
    assert verdict(1.49, 1.5) == "target 1.5: not met"


def test_a_line_is_fitted_through_medians() -> None:
    line = fit({1: [3.0, 9.0, 3.0], 2: [5.0], 4: [9.0]})  # 1 + 2 x
    assert (line.slope, line.intercept, line.r_squared) == pytest.approx((2, 1, 1))
    assert line.worst == pytest.approx(0, abs=1e-12)
    assert fit({0: [1.0], 1: [2.0], 2: [6.0]}).worst == pytest.approx(1)  # 0.5 + 2.5 x: 1 where 0.5 is expected


def test_overhead_is_what_the_workers_spent_beyond_training() -> None:
    looks = [Memory(at=second, parent=100 + second, worker=50, pss=150) for second in (0.5, 1.5, 2.5)]
    ends, train_s, init_s = [2.0, 2.5, 3.0, 3.5], [1.0, 1.0, 1.0, 0.8], [9, 0.1, 0.1, 0.1]
    tiny = Tiny(2, planned=1.0, ends=ends, train_s=train_s, init_s=init_s, memory=looks)
    assert tiny.overhead_ms == pytest.approx(1000 * (2.5 * 2 - 3.8) / 4)
    assert tiny.later_overhead_ms == pytest.approx(1000 * (1.5 * 2 - 2.8) / 3)  # the first tenth: one run
    assert tiny.init_ms == pytest.approx(100)
    assert tiny.memory_at(0.5).parent == 102.5  # the second run ended at 2.5
