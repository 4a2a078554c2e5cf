"""Writing to the disk for good, and what it refuses, as one error that says what to do."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from initbench.errors import StoreError


def write_flushed(file: Path, content: bytes) -> None:
    """Write a new file; it is on the disk when this returns. Raises OSError."""
    with file.open("xb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())


def flush_folder(folder: Path) -> None:
    """See to it that what was renamed in this folder is so on the disk, too. Raises OSError."""
    if os.name == "nt":  # which knows no such thing
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def disk_errors(root: Path) -> Iterator[None]:
    """Raise the block's OSError as a StoreError that names the runs folder `root`."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"runs folder {str(root)!r}: {error.strerror or error}. {_remedy(root, error)}") from error


def _remedy(root: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "Free some space and give the command again, or choose another folder with --runs-dir."
    if error.errno == errno.ENOENT and not root.exists():
        return "It was removed while initbench was at work in it; what was in it is lost."
    return "Make it writable, or choose another folder with --runs-dir."
