"""The two terminals: stdout for the result, stderr for progress and warnings."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text


def stdout() -> Console:
    """Return the console of the result."""
    return Console(highlight=False)


def stderr() -> Console:
    """Return the console of progress, warnings and errors."""
    return Console(stderr=True, highlight=False)


def warn(message: str) -> None:
    """Print one line that the user should see, to stderr."""
    stderr().print(Text(f"note: {message}", style="yellow"), soft_wrap=True)
