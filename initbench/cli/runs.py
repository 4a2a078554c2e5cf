"""`initbench runs list|show|remove|merge`: what the runs folder holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from initbench.cli import arguments
from initbench.cli.run import Format
from initbench.errors import StoreError, UsageError

if TYPE_CHECKING:
    from initbench.merging import Merged
    from initbench.results import RunResult
    from initbench.store import Broken, Store

app = typer.Typer(help="What the runs folder holds.", no_args_is_help=True)

Which = Annotated[str, typer.Argument(metavar="RUN", help="A run's folder name, or four or more digits of its id.")]


@app.command("list")
def list_runs(
    runs_dir: arguments.RunsDir = Path("runs"),
    format_: Annotated[Format, typer.Option("--format", help="table, or json: a list of results.")] = Format.table,
) -> None:
    """List the finished runs. One that cannot be read is named on stderr and skipped."""
    from initbench.cli.consoles import stdout, warn
    from initbench.report.run_view import runs_table
    from initbench.store import Broken, Store

    found = list(Store(runs_dir).runs())
    results = [run for run in found if not isinstance(run, Broken)]
    if format_ is Format.json:
        typer.echo(json.dumps([run.model_dump(mode="json") for run in results], indent=2, allow_nan=False))
    elif results:
        stdout().print(runs_table(results))
    else:
        typer.echo(f"no runs in {runs_dir}")
    for run in found:
        if isinstance(run, Broken):
            warn(f"skipped {run.path.name}: {run.reason}")


@app.command()
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
    from initbench.store import Broken, Store

    found = _one(run, runs_dir)
    if isinstance(found, Broken):
        raise StoreError(f"run {found.path.name} cannot be read: {found.reason}. `initbench runs remove` deletes it.")
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


@app.command()
def remove(run: Which, runs_dir: arguments.RunsDir = Path("runs")) -> None:
    """Delete one run's folder."""
    from initbench.store import Broken, Store

    found = _one(run, runs_dir)
    path = found.path if isinstance(found, Broken) else Path(found.run_dir or "")
    Store(runs_dir).remove(path)
    typer.echo(f"removed {path}")


@app.command()
def merge(
    sources: Annotated[list[Path], typer.Argument(metavar="SOURCE...", help="Other runs folders, such as of shards.")],
    runs_dir: arguments.RunsDir = Path("runs"),
    format_: Annotated[Format, typer.Option("--format", help="table, or json: what was done.")] = Format.table,
) -> None:
    """Copy the runs of other runs folders into this one; those that are there already stay as they are."""
    from initbench.cli.consoles import warn
    from initbench.merging import merge as merge_runs
    from initbench.report.compact import counted
    from initbench.store import Store

    merged = merge_runs(sources, Store(runs_dir))
    if format_ is Format.json:
        typer.echo(_merged_document(merged, runs_dir), nl=False)
    else:
        were = "was" if merged.present == 1 else "were"
        typer.echo(f"merged {counted(len(merged.runs), 'run')} into {runs_dir}, {merged.present} {were} there already")
    if not merged.runs and not merged.present and not merged.broken:
        warn(f"no runs in {', '.join(map(str, sources))}: name the folders that hold runs themselves.")
    for one in merged.differing:
        warn(f"{one.other} has other numbers than {one.kept}, which was kept: was it trained on another machine?")
    for broken in merged.broken:
        warn(f"skipped {broken.path}: {broken.reason}")
    if merged.broken:
        raise typer.Exit(1)


def _merged_document(merged: Merged, runs_dir: Path) -> str:
    document = {
        "runs_dir": str(runs_dir),
        "merged": [run.model_dump(mode="json") for run in merged.runs],
        "present": merged.present,
        "differing": [{"kept": str(one.kept), "other": str(one.other)} for one in merged.differing],
        "broken": [{"folder": str(one.path), "reason": one.reason} for one in merged.broken],
    }
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def _one(text: str, runs_dir: Path) -> RunResult | Broken:
    """Return the one run that `text` names; raises UsageError where none or several do."""
    from initbench.store import Store

    matches = Store(runs_dir).match(text)
    if len(matches) == 1:
        return matches[0]
    count = "several runs match" if matches else "no run matches"
    raise UsageError(f"{count} {text!r} in {runs_dir}. `initbench runs list` shows them with their ids.")
