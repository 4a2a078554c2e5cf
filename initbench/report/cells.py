"""What every table of a comparison says, as text: its columns, its caption, its footnotes."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from initbench.results import PERCENTILE_MARK, Comparison, DatasetInfo, SchemeSummary

SHOWN_FROM_S = 0.1  # an initialization that takes less needs no column
NOTHING = "-"  # shown where there is no number


class Column(NamedTuple):
    """One column of the scheme table: its heading in full and short, and a cell for each scheme."""

    heading: str
    short: str
    cells: tuple[str, ...]


def columns(comparison: Comparison) -> tuple[Column, ...]:
    """Return the columns of the scheme table; those of failed runs and of long initializations where there are any."""
    rows = comparison.schemes

    def column(heading: str, short: str, cell: Callable[[SchemeSummary], str]) -> Column:
        return Column(heading, short, tuple(cell(row) for row in rows))

    confidence, target = _percentage(comparison.confidence), _percentage(comparison.target_accuracy)
    takes_long = any((row.init_seconds or 0) >= SHOWN_FROM_S for row in rows)
    seconds = column("seconds to initialize", "init s", lambda row: _number(row.init_seconds, "{:.1f}"))
    init = (seconds,) if takes_long else ()
    failed = (column("failed", "fail", lambda row: str(row.failed)),) if any(row.failed for row in rows) else ()
    return (
        column("scheme", "scheme", lambda row: row.scheme),
        column("n", "n", lambda row: str(row.n)),
        column("mean test accuracy, %", "mean %", lambda row: percent(row.mean)),
        column(f"{confidence} % interval", f"{confidence} % interval", interval),
        column("min-max", "min-max", _span),
        column(f"epochs to {target} %", f"epochs\nto {target} %", lambda row: _number(row.epochs_to_target, "{:g}")),
        column("diverged", "div.", lambda row: str(row.diverged)),
        *failed,
        *init,
        column("seconds per run", "s/run", lambda row: _number(row.seconds, "{:.1f}")),
    )


def percent(fraction: float | None) -> str:
    """Return an accuracy in percent with two decimals, without the sign %."""
    return NOTHING if fraction is None else f"{100 * fraction:.2f}"


def interval(row: SchemeSummary) -> str:
    """Return "[97.71, 97.89]", marked where it is a percentile interval."""
    if row.ci_low is None:
        return NOTHING
    mark = PERCENTILE_MARK if row.ci_method == "percentile" else ""
    return f"{mark}[{percent(row.ci_low)}, {percent(row.ci_high)}]"  # in front, so that the brackets align


def dataset(info: DatasetInfo) -> str:
    """Return the name of the dataset, and of the one that it stands in for."""
    return f"{info.name} (stand-in for {info.stand_in_for})" if info.stand_in_for else info.name


def caption(comparison: Comparison) -> str:
    """Return what the numbers were measured on: dataset, sizes, device, seeds."""
    info, seeds = comparison.dataset, len(comparison.seeds)
    return (
        f"Test accuracy on {dataset(info)}, {sizes(info)}, {comparison.device}, {seeds} seed{'s' if seeds > 1 else ''}"
    )


def sizes(info: DatasetInfo) -> str:
    """Return how many images there are to train with, and to test with."""
    return f"{info.train_size:,} training and {info.test_size:,} test image{'' if info.test_size == 1 else 's'}"


def method(comparison: Comparison) -> str:
    """Return how the uncertainty was computed."""
    text = f"{_percentage(comparison.confidence)} % intervals: BCa bootstrap over seeds"
    methods = [row.ci_method for row in comparison.schemes] + [pair.ci_method for pair in comparison.pairs]
    if any(method == "percentile" for method in methods):
        text += f" ({PERCENTILE_MARK} percentile bootstrap, where BCa is undefined)"
    if comparison.pairs:
        text += (
            "; differences: paired by seed, sign-flip test, p after Holm's correction (intervals: each pair by itself)"
        )
    return f"{text}."


def _span(row: SchemeSummary) -> str:
    return NOTHING if row.min is None else f"{percent(row.min)}-{percent(row.max)}"


def _number(value: float | None, form: str) -> str:
    return NOTHING if value is None else form.format(value)


def _percentage(fraction: float) -> str:
    return f"{100 * fraction:.6g}"  # .97 is 97, not 97.00000000000001
