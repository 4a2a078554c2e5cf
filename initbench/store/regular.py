"""Open a file that somebody else may have made: a regular one, and nothing else."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_regular(path: Path) -> BinaryIO:
    """Return the regular file, opened for reading; raises OSError for anything else, a symbolic link included.

    A pipe or a device is refused without waiting for it.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(0, "no regular file", str(path))
    return os.fdopen(descriptor, "rb")
