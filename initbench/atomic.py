"""Write a file whole or not at all."""

from __future__ import annotations

import os
import re
import tempfile
import time
from contextlib import suppress
from pathlib import Path

STALE_S = 3_600  # a temporary file that is older was left by a process that was killed: writing takes a moment


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write `content`, text as UTF-8, to a temporary file beside `path`, flush it and rename it; raises OSError.

    A symbolic link is followed. What exists and is no regular file (a pipe, /dev/stdout) is written to as it is.
    Temporary files that were left of earlier attempts on the same file are removed.
    """
    path = path.resolve()
    data = content.encode() if isinstance(content, str) else content
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    _sweep(path)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _sweep(path: Path) -> None:
    """Remove the stale temporary files of `path`: `.NAME.` and the eight characters of mkstemp."""
    ours = re.compile(rf"\.{re.escape(path.name)}\.[a-z0-9_]{{8}}")
    with suppress(OSError), os.scandir(path.parent) as entries:
        for entry in entries:
            if ours.fullmatch(entry.name) and entry.stat(follow_symlinks=False).st_mtime < time.time() - STALE_S:
                os.unlink(entry.path)  # noqa: PTH108 # a path, not a Path
