"""A number in a few characters, for tables and pictures: three significant digits, never a NaN, "-" for nothing."""

from __future__ import annotations

from initbench.report.cells import NOTHING

SMALLEST, LARGEST = 1e-3, 1e5  # beyond, numbers are written with an exponent
SMALLEST_SHARE = 0.0005  # of which percent shows a digit


def compact(value: float | None) -> str:
    """Return 1.43, 12.3, 1234, 1.2e-05; 0 as it is; "-" for None."""
    if value is None:
        return NOTHING
    if value == 0:
        return "0"
    if not SMALLEST <= abs(value) < LARGEST:
        return f"{value:.1e}"
    text = f"{value:#.3g}".rstrip(".")
    return f"{value:.0f}" if "e" in text else text


def compact_percent(share: float | None) -> str:
    """Return a share of 0 to 1 in percent, one decimal, without the sign %; "<0.1" for less than that."""
    if share is None:
        return NOTHING
    if 0 < share < SMALLEST_SHARE:
        return "<0.1"
    if 1 - SMALLEST_SHARE < share < 1:
        return ">99.9"
    return f"{100 * share:.0f}" if share in (0, 1) else f"{100 * share:.1f}"


def beside(measured: float | None, expected: float | None, error: float | None = None) -> str:
    """Return "1.43 (1.41 ± 0.03)": what was measured, and what it should be, where that is known."""
    if expected is None:
        return compact(measured)
    spread = "" if error is None else f" ± {compact_error(error)}"
    return f"{compact(measured)} ({compact(expected)}{spread})"


def counted(count: int, noun: str) -> str:
    """Return "1 sample", "1,000 samples"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def left_out_of(left_out: int, every: int, noun: str) -> str:
    """Return the line that says how many of a table's rows, or a picture's layers, are not shown."""
    verb = "is" if left_out == 1 else "are"
    return f"{left_out} of {counted(every, noun)} {verb} left out here; --format json has all."


def axis_end(value: float) -> str:
    """Return a number of two significant digits, such as an axis ends at, without zeros at its end: 1, 0.5, 1e+05."""
    return f"{value:.3g}"


def compact_error(error: float) -> str:
    """Return an uncertainty with one significant digit, two where the first is 1."""
    if error == 0 or not SMALLEST <= error < LARGEST:
        return compact(error)
    two = f"{error:.1e}"
    return f"{error:#.{2 if two.startswith('1') else 1}g}".rstrip(".") if error < 1 else f"{error:.{int(error < 10)}f}"
