"""The two terminals: stdout for the result, stderr for progress and warnings."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from initbench.report.page import Page
from initbench.results import printable


def stdout() -> Console:
    """Return the console of the result."""
    return Page(highlight=False)


def stderr() -> Console:
    """Return the console of progress, warnings and errors."""
    return Page(stderr=True, highlight=False)


def warn(message: str) -> None:
    """Print one line that the user should see, to stderr."""
    stderr().print(Text(f"note: {printable(message)}", style="yellow"), soft_wrap=True)
