"""What a verification of runs found: a row for each run, and under it what is damaged and what was not checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from initbench.report.cells import NOTHING
from initbench.report.compact import counted
from initbench.report.terminal import Line
from initbench.results import document, printable

if TYPE_CHECKING:
    from initbench.provenance import Verified

CELLS = {"ok": ("ok", "green"), "failed": ("FAILED", "bold red"), "not checked": (NOTHING, "dim")}


def verification_view(verified: Sequence[Verified]) -> RenderableType:
    """Return the table, a line for each failed check, one for each reason for a check not made, and the sum."""
    parts: list[RenderableType] = [_table(verified), Text()]
    parts += [Line(line, "bold red") for line in _damages(verified)]
    parts += [Line(line, "dim") for line in _remarks(verified)]
    return Group(*parts, Line(summary(verified), "bold"))


def _table(verified: Sequence[Verified]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("run", no_wrap=True)
    table.add_column("scheme", overflow="fold")
    for check in verified[0].checks:
        table.add_column(check.name, no_wrap=True)
    for one in verified:
        scheme = printable(one.result.scheme) if one.result else NOTHING
        names = Text(printable(one.folder.name[-16:][:8])), Text(scheme)
        table.add_row(*names, *(Text(*CELLS[check.outcome]) for check in one.checks))
    return table


def _damages(verified: Sequence[Verified]) -> Iterator[str]:
    for one in verified:
        for check in one.checks:
            if check.outcome == "failed":
                yield f"{printable(one.folder.name)}: {check.name}: {check.reason}"


def _remarks(verified: Sequence[Verified]) -> Iterator[str]:
    """Yield each reason once, and of how many runs it is true."""
    reasons = Counter(
        (check.name, check.outcome, check.reason)
        for one in verified
        for check in one.checks
        if check.reason and check.outcome != "failed"
    )
    for (name, outcome, reason), count in reasons.items():
        runs = "" if len(verified) == 1 else f" ({counted(count, 'run')})"
        yield f"{name}{' not checked' if outcome == 'not checked' else ''}: {reason}{runs}"


def summary(verified: Sequence[Verified]) -> str:
    """Return what was found, in one sentence."""
    damaged = sum(one.failed for one in verified)
    if not damaged:
        return f"{counted(len(verified), 'run')} verified: no damage found"
    return f"{counted(len(verified), 'run')} verified: {damaged} {'is' if damaged == 1 else 'are'} damaged"


def verification_document(verified: Sequence[Verified], runs_dir: Path) -> str:
    """Return the same as one JSON document."""
    content = {
        "runs_dir": str(runs_dir),
        "failed": sum(one.failed for one in verified),
        "runs": [_of_run(one) for one in verified],
    }
    return document(content)


def _of_run(one: Verified) -> dict[str, Any]:
    checks = {check.name: {"outcome": check.outcome, "reason": check.reason or None} for check in one.checks}
    run_id = one.result.run_id if one.result else None
    return {"folder": str(one.folder), "run_id": run_id, "failed": one.failed, "checks": checks}
