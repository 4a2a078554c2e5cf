"""What a user's model or loss says of a batch that it cannot take: one line, with torch's words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from initbench.errors import InitbenchError, UsageError

BATCH = "the batch cannot be sent through the model and its loss"


@contextmanager
def misfits(what: str = BATCH) -> Iterator[None]:
    """Turn what a user's code raises within the block into one UsageError; the cause is kept."""
    try:
        yield
    except (InitbenchError, RecursionError):
        raise
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UsageError(f"{what}: {reason}") from error
