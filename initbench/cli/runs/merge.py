"""`initbench runs merge`: the runs of other folders, put into this one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from initbench.cli import arguments
from initbench.cli.run import Format

if TYPE_CHECKING:
    from initbench.merging import Merged


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
    from initbench.results import document

    content = {
        "runs_dir": str(runs_dir),
        "merged": [run.model_dump(mode="json") for run in merged.runs],
        "present": merged.present,
        "differing": [{"kept": str(one.kept), "other": str(one.other)} for one in merged.differing],
        "broken": [{"folder": str(one.path), "reason": one.reason} for one in merged.broken],
    }
    return document(content)
