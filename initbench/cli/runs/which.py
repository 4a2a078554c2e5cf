"""Which run a command is about: the argument, and the run that it names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from initbench.errors import UsageError

if TYPE_CHECKING:
    from initbench.results import RunResult
    from initbench.store import Broken

Which = Annotated[str, typer.Argument(metavar="RUN", help="A run's folder name, or four or more digits of its id.")]


def one_run(text: str, runs_dir: Path) -> RunResult | Broken:
    """Return the one run that `text` names; raises UsageError where none or several do."""
    from initbench.store import Store

    store = Store(runs_dir)
    matches = store.match(text)
    if len(matches) == 1:
        return matches[0]
    if not matches and store.match_unfinished(text):
        raise UsageError(
            f"run {text} is unfinished: there is nothing to look at yet. Its command goes on with it;"
            f" `initbench runs remove {text}` forgets it."
        )
    count = "several runs match" if matches else "no run matches"
    raise UsageError(f"{count} {text!r} in {runs_dir}. `initbench runs list` shows them with their ids.")


def readable_run(text: str, runs_dir: Path) -> RunResult:
    """Return the one run that `text` names; raises UsageError where none or several do, StoreError for a broken one."""
    from initbench.errors import StoreError
    from initbench.store import Broken

    found = one_run(text, runs_dir)
    if isinstance(found, Broken):
        raise StoreError(f"run {found.path.name} cannot be read: {found.reason}. `initbench runs remove` deletes it.")
    return found


def folder_of(found: RunResult | Broken) -> Path:
    """Return the folder of a run that was read from a store."""
    from initbench.store import Broken

    return found.path if isinstance(found, Broken) else Path(found.run_dir or "")
