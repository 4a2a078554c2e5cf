"""A job that sleeps for a minute, in a module of its own: worker processes import it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from initbench.events import Emit
from initbench.results import RunResult


@dataclass(frozen=True)
class Sleep:
    """Leave a file named after the process in `folder`, then sleep."""

    folder: str


def sleep(job: Sleep, emit: Emit) -> RunResult:
    """Do it; the test ends the parent long before it is over."""
    Path(job.folder, str(os.getpid())).touch()
    time.sleep(60)
    raise TimeoutError
