"""`initbench runs show`: one run, its history and its signals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from initbench.cli import arguments
from initbench.cli.run import Format
from initbench.cli.runs.which import Which, readable_run
from initbench.errors import StoreError, UsageError

if TYPE_CHECKING:
    from initbench.results import RunResult
    from initbench.store import Store


def show(
    run: Which,
    runs_dir: arguments.RunsDir = Path("runs"),
    format_: Annotated[Format, typer.Option("--format", help="table, or json: the result.")] = Format.table,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw the recorded signals, epoch by epoch, to this .png, .svg or .pdf."),
    ] = None,
) -> None:
    """Show one run: what it was, its history, how it ended, and its signals where train.signals recorded them."""
    from initbench.cli.consoles import stdout
    from initbench.report.as_json import document
    from initbench.report.run_view import run_view
    from initbench.store import Store

    found = readable_run(run, runs_dir)
    store = Store(runs_dir)
    if plot is not None:
        _draw(found, store, plot)
    if format_ is Format.json:
        typer.echo(document(found), nl=False)
        return
    stdout().print(run_view(found))
    if found.config.get("train", {}).get("signals"):
        _show_signals(found, store)


def _draw(run: RunResult, store: Store, file: Path) -> None:
    """Draw a run's signals over its epochs to `file`; raises UsageError where it has none."""
    from initbench.report.plots.figure import check_format, save

    check_format(file)
    signals = store.signals(run)
    if not signals:
        raise UsageError(
            f"--plot {str(file)!r}: no signals were recorded during run {run.run_id}. Train it with train.signals"
            " set, such as `--set train.signals=1`."
        )
    from initbench.report.plots.epochs import epochs_figure

    save(epochs_figure(signals, f"{run.scheme}, seed {run.seed}"), file)


def _show_signals(run: RunResult, store: Store) -> None:
    """Print a run's signals; where they cannot be read, say why: the run itself was shown."""
    from initbench.cli.consoles import stdout, warn
    from initbench.report.signals_view import signal_rows_view

    try:
        signals = store.signals(run)
    except StoreError as error:
        warn(str(error))
        return
    if signals:
        stdout().print()
        stdout().print(signal_rows_view(signals))
