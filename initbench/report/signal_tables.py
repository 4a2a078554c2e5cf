"""The numbers of one scheme in the terminal: a table of its layers, one of its weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from rich.console import RenderableType

from initbench.report.cells import NOTHING
from initbench.report.compact import beside, compact, compact_percent
from initbench.report.terminal import Line
from initbench.report.wide_table import NumberColumn, WideTable
from initbench.results import LayerSignal, SignalReport, WeightSignal

MOST_NAMES = 3  # of weights listed by name
SUFFIX = ".weight"  # left out where every name ends with it
Row = TypeVar("Row", LayerSignal, WeightSignal)


def layer_table(rows: Sequence[LayerSignal], *, details: bool) -> WideTable:
    """Return a row for each layer: the signal forward, and the gradient coming back, measured beside theory.

    The mean, which the histograms say too, is one of the `details`.
    """
    theory = any(row.theory for row in rows)
    heading = "\n(theory)" if theory else ""
    columns = (
        _column(f"pre-act. rms{heading}", rows, _pre_activation),
        *_where(details, "mean", rows, lambda row: compact(row.mean)),
        _column("std", rows, lambda row: compact(row.std)),
        _column("between\ninputs", rows, lambda row: compact(row.sample_std)),
        *_where(
            any(row.saturated is not None for row in rows), "satur.\n%", rows, lambda r: compact_percent(r.saturated)
        ),
        *_where(any(row.dead is not None for row in rows), "dead\n%", rows, lambda row: compact_percent(row.dead)),
        *_where(any(row.finite < 1 for row in rows), "finite\n%", rows, lambda row: compact_percent(row.finite)),
        _column("effective\nrank", rows, _rank),
        _column(f"gradient rms{heading}", rows, lambda row: _gradient(row)),
        *_where(
            any(row.jacobian for row in rows),
            "Jacobian,\nmean s",
            rows,
            lambda r: compact(r.jacobian.mean if r.jacobian else None),
        ),
    )
    return WideTable("layer", tuple(row.label for row in rows), columns)


def weight_table(rows: Sequence[WeightSignal]) -> WideTable:
    """Return a row for each weight: its size beside the scheme's formula, its symmetry, the gradient reaching it."""
    columns = (
        *_where(any(len(row.shape) != 2 for row in rows), "shape", rows, lambda row: "x".join(map(str, row.shape))),
        _column("fan in/out", rows, lambda row: f"{row.fan_in}/{row.fan_out}"),
        *_where(any(row.finite < 1 for row in rows), "finite\n%", rows, lambda row: compact_percent(row.finite)),
        _column("std\n(formula)", rows, lambda row: beside(row.std, row.target_std)),
        _column("symmetry", rows, lambda row: compact(row.symmetry)),
        _column("grad.\nnorm", rows, lambda row: compact(row.grad_norm)),
        _column("grad.\nstd", rows, lambda row: compact(row.grad_std)),
        _column("grad.\nsymm.", rows, lambda row: compact(row.grad_symmetry)),
        _column("update\nratio", rows, lambda row: compact(row.update_ratio)),
    )
    plain = all(row.name.endswith(SUFFIX) for row in rows)
    names = (row.name.removesuffix(SUFFIX) if plain else row.name for row in rows)
    marked = (name if row.used else f"{name} (unused)" for name, row in zip(names, rows, strict=True))
    return WideTable("weight of" if plain else "weight", tuple(marked), columns)


def formulas(report: SignalReport) -> list[RenderableType]:
    """Return a line for each rule that filled weights: scheme, formula, gain; and which weights if there are more."""
    filled: dict[tuple[str | None, str | None, float | None], list[str]] = {}
    for row in report.weights:
        filled.setdefault((row.scheme, row.formula, row.gain), []).append(row.name)
    return [Line(_rule(*rule, names if len(filled) > 1 else [], report)) for rule, names in filled.items()]


def _rule(
    scheme: str | None, formula: str | None, gain: float | None, names: Sequence[str], report: SignalReport
) -> str:
    shown = "; ".join(names[:MOST_NAMES]) + (f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else "")
    if scheme is None:
        return f"{shown or 'weights'}: as they are"
    where = f"{shown}: " if shown else "weights: "
    named = f"{scheme}, " if scheme != report.scheme else ""
    return f"{where}{named}{formula or 'no formula'}" + (f", gain {compact(gain)}" if gain is not None else "")


def _column(heading: str, rows: Sequence[Row], cell: Callable[[Row], str]) -> NumberColumn:
    return NumberColumn(heading, tuple(cell(row) for row in rows))


def _where(there: bool, heading: str, rows: Sequence[Row], cell: Callable[[Row], str]) -> tuple[NumberColumn, ...]:
    """Return the column where some row has a value for it, nothing elsewhere."""
    return (_column(heading, rows, cell),) if there else ()


def _pre_activation(row: LayerSignal) -> str:
    if row.theory is None:
        return compact(row.pre_rms)
    return beside(row.pre_rms, row.theory.pre_rms, row.theory.pre_rms_error)


def _gradient(row: LayerSignal) -> str:
    return beside(row.delta_rms, row.theory.delta_rms if row.theory else None)


def _rank(row: LayerSignal) -> str:
    return NOTHING if row.effective_rank is None else f"{compact(row.effective_rank)} of {row.max_rank or NOTHING}"
