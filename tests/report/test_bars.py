from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from initbench.report.bars import bar_row, rebinned
from initbench.report.compact import beside, compact, compact_percent
from initbench.results import Histogram


def histogram(low: float, high: float, *counts: int) -> Histogram:
    return Histogram(low=low, high=high, counts=counts)


CASES = {
    "the same cells": (histogram(0, 4, 1, 2, 0, 4), (0, 4, 4), [1, 2, 0, 4]),
    "two bins a cell": (histogram(0, 4, 1, 2, 0, 4), (0, 4, 2), [3, 4]),
    "half a bin a cell": (histogram(0, 2, 4, 2), (0, 2, 4), [2, 2, 1, 1]),
    "a bin over an edge": (histogram(0, 3, 3, 6, 9), (0, 3, 2), [6, 12]),
    "in the middle": (histogram(1, 2, 5), (0, 3, 3), [0, 5, 0]),
    "beyond both ends": (histogram(-2, 4, 1, 2, 3, 4, 5, 6), (0, 2, 2), [1 + 2 + 3, 4 + 5 + 6]),
    "all above": (histogram(7, 9, 1, 1), (0, 2, 2), [0, 2]),
    "all below": (histogram(-9, -7, 1, 1), (0, 2, 2), [2, 0]),
    "one value": (histogram(0.5, 0.5, 9), (0, 1, 5), [0, 0, 9, 0, 0]),
    "one value at the lower end": (histogram(0, 0, 9), (0, 1, 3), [9, 0, 0]),
    "one value at the upper end": (histogram(1, 1, 9), (0, 1, 3), [0, 0, 9]),
    "one value above": (histogram(5, 5, 9), (0, 1, 3), [0, 0, 9]),
    "an axis of one value": (histogram(5, 5, 9), (5, 5, 3), [0, 9, 0]),
    "nothing counted": (histogram(0, 1, 0, 0), (0, 1, 3), [0, 0, 0]),
    "float64's own ends": (histogram(-1.7e308, 1.7e308, 3, 5), (-1, 1, 4), [3, 0, 0, 5]),
    "a subnormal axis": (histogram(0, 5e-324, 3), (0, 5e-324, 3), [1, 1, 1]),
    "no cells": (histogram(0, 1, 3), (0, 1, 0), []),
}


@pytest.mark.parametrize("case", CASES)
def test_counts_go_to_the_cells_by_overlap(case: str) -> None:
    counted, (low, high, cells), expected = CASES[case]
    assert rebinned(counted, low, high, cells) == pytest.approx(expected, abs=1e-12)


ENDS = st.floats(-1e6, 1e6)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=20), ENDS, ENDS, ENDS, ENDS, st.integers(1, 30))
def test_no_count_is_lost_and_none_is_negative(
    counts: list[int], a: float, b: float, c: float, d: float, cells: int
) -> None:
    found = rebinned(histogram(min(a, b), max(a, b), *counts), min(c, d), max(c, d), cells)
    assert len(found) == cells
    assert math.isclose(sum(found), sum(counts), rel_tol=1e-9, abs_tol=1e-9)
    assert min(found) >= 0


@pytest.mark.parametrize(
    ("counted", "width", "expected"),
    [
        (histogram(0, 8, 1, 2, 3, 4, 5, 6, 7, 8), 8, "▁▂▃▄▅▆▇█"),
        (histogram(0, 8, 8, 0, 0, 0, 0, 0, 0, 1), 8, "█      ▁"),
        (histogram(0, 8, 10**6, 1), 2, "█▁"),  # little, but something
        (histogram(4, 4, 7), 5, "  █  "),
        (histogram(0, 8, 0), 3, "   "),
    ],
)
def test_bars_are_scaled_to_the_fullest_cell(counted: Histogram, width: int, expected: str) -> None:
    assert bar_row(counted, 0, 8, width) == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"), (0.0, "0"), (1.0, "1.00"), (1.4321, "1.43"), (-12.34, "-12.3"), (123.4, "123"), (999.9, "1000"),
        (1234.5, "1234"), (99999.0, "99999"), (123456.0, "1.2e+05"), (0.00123, "0.00123"), (1.2e-5, "1.2e-05"),
        (1e-300, "1.0e-300"), (5e-324, "4.9e-324"),
    ],
)  # fmt: skip
def test_numbers_are_compact(value: float | None, text: str) -> None:
    assert compact(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(None, "-"), (0.0, "0"), (1.0, "100"), (0.5, "50.0"), (0.914, "91.4"), (1e-5, "<0.1"), (0.99999, ">99.9")],
)
def test_a_percentage_is_0_or_100_only_where_it_is_exactly(share: float | None, text: str) -> None:
    assert compact_percent(share) == text


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((1.4321, None, None), "1.43"),
        ((1.4321, 1.41, 0.0312), "1.43 (1.41 ± 0.03)"),
        ((1.4321, 1.41, 0.0151), "1.43 (1.41 ± 0.015)"),
        ((14.3, 14.1, 3.4), "14.3 (14.1 ± 3.4)"),
        ((1.4321, 1.41, 0.0), "1.43 (1.41 ± 0)"),
        ((None, 1.41, None), "- (1.41)"),
        ((143.0, 141.0, 31.0), "143 (141 ± 31)"),
    ],
)
def test_theory_stands_beside_with_its_uncertainty(
    numbers: tuple[float | None, float | None, float | None], text: str
) -> None:
    assert beside(*numbers) == text
