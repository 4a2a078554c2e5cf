"""What the disk refuses, as one error that says what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from initbench.errors import StoreError


@contextmanager
def disk_errors(root: Path) -> Iterator[None]:
    """Raise the block's OSError as a StoreError that names the runs folder `root`."""
    try:
        yield
    except OSError as error:
        remedy = "Free some space, or choose" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "Choose"
        raise StoreError(
            f"runs folder {str(root)!r}: {error.strerror or error}. {remedy} another folder with --runs-dir."
        ) from error
