"""What Ctrl-C and SIGTERM do: end at once while nothing is at stake; later clean up first, and the second time not."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))
CODES = tuple(128 + number for number in SIGNALS)  # 130, 143, 129: what an interrupted program ends with
GOES_ON = ("run", "compare")  # commands that go on where they were interrupted
SHOW_CURSOR = b"\x1b[?25h"  # which a live display hides (ECMA-48's DECTCEM, as xterm has it)


@contextmanager
def obeyed() -> Iterator[None]:
    """End the program at once on a signal: while libraries are imported, some of them swallow exceptions."""
    _obey(_end_with_hint)
    try:
        yield
    finally:
        with suppress(OSError, ValueError):  # whoever read it is gone
            sys.stdout.flush()  # from here on there is nothing left to clean up
        _obey(_end)


def clean_up_first() -> None:
    """From here on, raise KeyboardInterrupt or SystemExit(143 or 129) on a signal, so that all is left in order.

    A second signal ends the program at once, whatever the first one is busy with.
    """
    _obey(_raise)


def hint() -> str:
    """Return what is said to a user whose command was interrupted: how it goes on."""
    words = sys.argv[1:]
    if not words or words[0] not in GOES_ON or "--dry-run" in words:
        return "interrupted."
    command = shlex.join(["initbench", *(word for word in words if word != "--fresh")])
    return (
        f"interrupted. Finished runs are kept, others up to their last saved epoch. To go on from there:\n  {command}"
    )


def _obey(handler: Callable[[int, FrameType | None], NoReturn]) -> None:
    """Let `handler` answer the signals; SIGHUP not where the program was started to ignore it, by nohup."""
    for number in SIGNALS:
        if number in (signal.SIGINT, signal.SIGTERM) or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _raise(number: int, frame: FrameType | None) -> NoReturn:
    _obey(_end)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    if os.isatty(2):
        os.write(2, SHOW_CURSOR)
    os._exit(128 + number)


def _end_with_hint(number: int, frame: FrameType | None) -> NoReturn:
    os.write(2, f"{hint()}\n".encode(errors="replace"))
    os._exit(128 + number)
