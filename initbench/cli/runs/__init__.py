"""`initbench runs list|show|verify|replay|remove|merge`: what the runs folder holds. One file per command."""

from __future__ import annotations

import typer

from initbench.cli.runs.list import list_runs
from initbench.cli.runs.merge import merge
from initbench.cli.runs.remove import remove
from initbench.cli.runs.replay import replay
from initbench.cli.runs.show import show
from initbench.cli.runs.verify import verify

app = typer.Typer(help="What the runs folder holds.", no_args_is_help=True)
app.command("list")(list_runs)
app.command("show")(show)
app.command("verify")(verify)
app.command("replay")(replay)
app.command("remove")(remove)
app.command("merge")(merge)
