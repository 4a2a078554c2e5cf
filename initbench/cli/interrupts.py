"""What Ctrl-C and SIGTERM do: end at once while nothing is at stake; later clean up first, and the second time not."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

CODES = (128 + signal.SIGINT, 128 + signal.SIGTERM)  # 130, 143: what an interrupted program ends with
GOES_ON = ("run", "compare")  # commands that go on where they were interrupted
SHOW_CURSOR = b"\x1b[?25h"  # which a live display hides (ECMA-48's DECTCEM, as xterm has it)


@contextmanager
def obeyed() -> Iterator[None]:
    """End the program at once on a signal: while libraries are imported, some of them swallow exceptions."""
    signal.signal(signal.SIGINT, _end_with_hint)
    signal.signal(signal.SIGTERM, _end_with_hint)
    try:
        yield
    finally:
        with suppress(OSError, ValueError):  # whoever read it is gone
            sys.stdout.flush()  # from here on there is nothing left to clean up
        signal.signal(signal.SIGINT, _end)
        signal.signal(signal.SIGTERM, _end)


def clean_up_first() -> None:
    """From here on, raise KeyboardInterrupt or SystemExit(143) on a signal, so that everything is left in order.

    A second signal ends the program at once, whatever the first one is busy with.
    """
    signal.signal(signal.SIGINT, _raise)
    signal.signal(signal.SIGTERM, _raise)


def hint() -> str:
    """Return what is said to a user whose command was interrupted: how it goes on."""
    words = sys.argv[1:]
    if not words or words[0] not in GOES_ON:
        return "interrupted."
    kept = "interrupted. What is finished is kept, what is not up to its last saved epoch"
    if "--fresh" in words:
        return f"{kept}; --fresh would train all of it again."
    return f"{kept}. The same command goes on from there:\n  {shlex.join(['initbench', *words])}"


def _raise(number: int, frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGINT, _end)
    signal.signal(signal.SIGTERM, _end)
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
