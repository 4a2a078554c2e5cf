"""Read one file of a run's folder, whoever made it: a regular file of bounded size, and nothing behind a link."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path

from initbench.store.regular import open_regular

MIB = 1 << 20
LARGEST: Mapping[str, int] = {
    "result.json": 32 * MIB,  # 100,000 epochs, the most that a config has, of 200 bytes each; and half as much again
    "metrics.jsonl": 256 * MIB,  # 1,000 times the signals of 50 layers, of 5 KB each
    "weights.safetensors": 1024 * MIB,  # 270 million parameters in float32: a thousand times the default model
}
LARGEST_OTHER = 16 * MIB  # the config, the environment, a traceback; notes and pictures that a reader put there
MOST_FILES = 100  # a run has fewer than ten; the others are a reader's
WORDS = {errno.ELOOP: "a symbolic link, which is not followed", errno.ENXIO: "no regular file"}  # ENXIO: a socket


def read_file(file: Path) -> bytes:
    """Return the bytes of `file`; raises OSError where it is no regular file, or larger than a run's file of its name.

    A symbolic link is not followed, a pipe or a device not waited for.
    """
    most = LARGEST.get(file.name, LARGEST_OTHER)
    try:
        with open_regular(file) as opened:
            size = os.fstat(opened.fileno()).st_size
            content = b"" if size > most else opened.read(most + 1)
    except OSError as error:
        raise OSError(error.errno, WORDS.get(error.errno or 0, error.strerror), str(file)) from error
    if max(size, len(content)) > most:
        raise OSError(errno.EFBIG, f"larger than {most // MIB:,} MiB", str(file))
    return content


def read_files(folder: Path) -> dict[str, bytes]:
    """Return the files of a run's folder by their names; raises OSError where one cannot be read, or they are many."""
    with os.scandir(folder) as entries:
        names = [entry.name for _, entry in zip(range(MOST_FILES + 1), entries, strict=False)]
    if len(names) > MOST_FILES:
        raise OSError(errno.EFBIG, f"more than {MOST_FILES} files", str(folder))
    if unprintable := [name for name in names if not name.isprintable()]:
        raise OSError(errno.EILSEQ, "not a name that can be shown", str(folder / unprintable[0]))
    return {name: read_file(folder / name) for name in sorted(names)}
