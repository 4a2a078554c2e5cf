"""What a worker sends back, as bytes: events, and at last the result or the exception.

Plain pickle, as torch would send the tensors of multiprocessing's own messages through /dev/shm.
"""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from initbench.errors import InitbenchError
from initbench.events import Emit, Event
from initbench.execute import Work


@dataclass(frozen=True)
class Ready:
    """The worker has started, and waits for its first task."""


@dataclass(frozen=True)
class Told:
    """Something happened."""

    event: Event


@dataclass(frozen=True)
class Done:
    """The task's result."""

    result: Any


@dataclass(frozen=True)
class Raised:
    """What `work` raised instead."""

    error: Exception


Message = Ready | Told | Done | Raised
Dumps = Callable[[Any], bytes]


def pack(message: Any) -> bytes:
    """Return it as bytes."""
    return pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)


def unpack(message: bytes) -> Any:
    """Return what was packed."""
    return pickle.loads(message)  # noqa: S301 # written by our own worker


def outcome(work: Work[Any, Any, Any], task: bytes, shared: Any, emit: Emit, dumps: Dumps = pack) -> bytes:
    """Do the packed task, and return its packed Done or Raised."""
    try:
        return dumps(Done(work(unpack(task), shared, emit)))
    except Exception as error:
        return raised(error, dumps)


def raised(error: Exception, dumps: Dumps = pack) -> bytes:
    """Return the packed Raised, with the traceback as a note, as tracebacks themselves cannot be pickled.

    An exception that does not survive pickling (a constructor with arguments of its own) arrives as an InitbenchError,
    where it is one, or else as a RuntimeError.
    """
    error.add_note("In a worker process:\n" + "".join(traceback.format_exception(error)).rstrip())
    try:
        packed = dumps(Raised(error))
        unpack(packed)
    except Exception:
        stand_in: Exception = RuntimeError(f"{type(error).__name__}: {error}")
        if isinstance(error, InitbenchError):
            stand_in = InitbenchError(str(error))
            stand_in.exit_code = error.exit_code
        stand_in.add_note(error.__notes__[-1])
        return dumps(Raised(stand_in))
    return packed
