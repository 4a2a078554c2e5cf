"""`--out FILE`: refuse early what cannot be written, and lose nothing where writing fails late."""

from __future__ import annotations

import os
from pathlib import Path

import typer

from initbench.atomic import write_atomically
from initbench.errors import InitbenchError, UsageError


def check_writable(out: Path, option: str = "--out") -> None:
    """Raise UsageError now, rather than after the work, where `out` cannot be written."""
    target = out.resolve()
    beside = target if target.exists() and not target.is_file() else target.parent  # where the writing will happen
    if out.is_dir() or not target.parent.is_dir() or not os.access(beside, os.W_OK):
        raise UsageError(
            f"{option} {str(out)!r} cannot be written: name a file in a folder that exists and is writable."
        )


def write(out: Path, text: str) -> None:
    """Write `text` to `out`; where that fails, print it rather than lose it, and raise InitbenchError."""
    try:
        write_atomically(out, text)
    except OSError as error:
        typer.echo(text, nl=False)
        raise InitbenchError(f"--out {str(out)!r}: {error.strerror or error}; printed instead.") from error
