"""Give one object to many processes without a copy for each: large buffers lie in a file that all of them map.

The object is pickled with protocol 5, its buffers out-of-band (PEP 574; A. Pitrou, 2018). The file has no name, so
nothing is left of it however the processes end, and it lies where temporary files lie: containers often have as little
as 64 MB in /dev/shm. Its descriptor travels to a worker as that is spawned.
"""

from __future__ import annotations

import mmap
import os
import pickle
import tempfile
from collections.abc import Sequence
from multiprocessing import reduction
from types import TracebackType
from typing import IO, Any, Generic, Protocol, TypeVar, cast

from initbench.errors import InitbenchError

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
ALIGNMENT_BYTES = 64  # a cache line, and the widest vector registers
Span = tuple[int, int]  # where a part begins in the file, and its length, in bytes


class Shared(Protocol[T_co]):
    """An object on its way: an argument of a process that is spawned, which calls `open` once."""

    def open(self) -> T_co:
        """Return the object, in the process that it was sent to."""

    def __enter__(self) -> Shared[T_co]: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Let go of it here; those who have opened it keep it."""


def share(value: T) -> Shared[T]:
    """Return `value` as what may be sent to processes that are spawned within a `with` block.

    Raises InitbenchError where the folder for temporary files has no room.
    """
    if not hasattr(reduction, "DupFd"):  # Windows: descriptors cannot be inherited
        return InBand(value)
    buffers: list[pickle.PickleBuffer] = []
    stream = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    return _written([stream, *(buffer.raw() for buffer in buffers)])


class InFile(Generic[T]):
    """The pickle stream and then the buffers, at these places of one file."""

    def __init__(self, file: IO[bytes], spans: Sequence[Span]) -> None:
        self._file = file
        self._spans = spans

    def open(self) -> T:
        """Map the file, and unpickle over it. What is written into the buffers stays in this process (copy-on-write).

        Private and writable, as torch warns of arrays that are read-only.
        """
        with self._file:
            whole = memoryview(mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_COPY))
        stream, *buffers = (whole[start : start + size] for start, size in self._spans)
        return cast(T, pickle.loads(stream, buffers=buffers))  # noqa: S301 # written by our parent

    def __enter__(self) -> InFile[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (reduction.DupFd(self._file.fileno()), self._spans)


class InBand(Generic[T]):
    """The object itself, copied into every process: where files cannot be passed on."""

    def __init__(self, value: T) -> None:
        self._stream = pickle.dumps(value, protocol=5)

    def open(self) -> T:
        """Return a copy."""
        return cast(T, pickle.loads(self._stream))  # noqa: S301 # written by our parent

    def __enter__(self) -> InBand[T]:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: there is nothing to close."""


def _written(parts: Sequence[bytes | memoryview]) -> InFile[Any]:
    file = cast(IO[bytes], tempfile.TemporaryFile(prefix="initbench-"))  # noqa: SIM115 # closed by what is returned
    spans = list[Span]()
    try:
        for part in parts:
            file.seek(-file.tell() % ALIGNMENT_BYTES, os.SEEK_CUR)
            spans.append((file.tell(), len(part)))
            file.write(part)
        file.flush()
    except BaseException as error:
        file.close()
        if isinstance(error, OSError):
            raise InitbenchError(
                f"{tempfile.gettempdir()}: no room for the data that worker processes share ({error.strerror});"
                " set TMPDIR to a folder that has some."
            ) from error
        raise
    return InFile(file, spans)


def _received(descriptor: Any, spans: Sequence[Span]) -> InFile[Any]:
    return InFile(os.fdopen(descriptor.detach(), "rb"), spans)
