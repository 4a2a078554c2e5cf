"""A config file -> the tree of its settings with their positions, or one error that names the file and the remedy."""

from __future__ import annotations

import os
from pathlib import Path

from initbench.config.errors import Problem, Source, one_line, report, show
from initbench.config.tree import Composed
from initbench.config.yaml_reader import compose, line_and_column
from initbench.errors import ConfigError, did_you_mean

MAX_BYTES = 1 << 18  # 256 KiB, which PyYAML reads within half a second; a config has about one KiB
SUFFIXES = (".yaml", ".yml")
HANDED_OVER = ("/dev/", "/proc/")  # where pipes are that somebody writes to: /dev/stdin, <(command)
MAX_NEIGHBOURS = 1_000  # files that are looked at for a "did you mean"


def read_config_file(path: str | Path) -> Composed:
    """Read the YAML file at `path`, whose root is then a tree; it may have problems that did not stop the reading.

    Raises ConfigError where it cannot be found or read, is larger than 256 KiB, is not UTF-8 text, is empty, or is not
    YAML. The first line and column are 1; a byte order mark is skipped.
    """
    source = Source(str(path))
    text = _decode(_read(Path(path), source), source)
    composed = compose(text, source)
    if composed.root is None or composed.root.value is None:
        empty = Problem(source.at(1, 1), (), "the file is empty. Write a setting, such as 'seed: 0'.")
        raise report(composed.problems or [empty])
    return composed


def _read(path: Path, source: Source) -> bytes:
    """Return the file's bytes; a longer file is not read beyond the limit, so that any device or pipe will do."""
    try:
        if path.is_fifo() and not str(path).startswith(HANDED_OVER):
            raise OSError(0, "a named pipe, which may never say anything")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise _error(source.label, _missing(path)) from None
    except IsADirectoryError:
        raise _error(source.label, "this is a folder. Name a YAML file in it.") from None
    except PermissionError:
        raise _error(source.label, "no permission to read this file. Change its permissions.") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise _error(source.label, f"cannot be read: {reason}.") from None
    if len(content) > MAX_BYTES:
        raise _error(source.label, f"larger than {MAX_BYTES} bytes; a config has about 1,000. Is this the right file?")
    return content


def _missing(path: Path) -> str:
    if not path.parent.is_dir():
        return f"no such file: the folder {show(str(path.parent))} does not exist."
    return f"no such file.{did_you_mean(path.name, _neighbours(path.parent))}"


def _neighbours(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for _, entry in zip(range(MAX_NEIGHBOURS), entries, strict=False)]
    except OSError:
        return []
    return sorted(name for name in names if name.endswith(SUFFIXES))


def _decode(content: bytes, source: Source) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        content = bytes(error.object)  # without the byte order mark
        place = source.at(*line_and_column(content[: error.start].decode("utf-8", "replace")))
        message = f"byte 0x{content[error.start]:02x} is not UTF-8 text. Save the file as UTF-8."
        raise report([Problem(place, (), message)]) from None
    if (at := text.find("\0")) >= 0:
        message = "a NUL byte: this is a binary file or UTF-16. Save the file as UTF-8 text."
        raise report([Problem(source.at(*line_and_column(text[:at])), (), message)])
    return text


def _error(label: str, message: str) -> ConfigError:
    return ConfigError(one_line(f"{label}: {message}"))
