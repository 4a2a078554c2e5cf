"""What can be wrong with a config, and where: places, problems, and the one message that reports them all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from initbench.errors import ConfigError

KeyPath = tuple[str | int, ...]

SHOWN_CHARACTERS = 60  # of a value in a message
SHOWN_ITEMS = 6  # of a list or mapping
SHOWN_PROBLEMS = 100  # of one file; a binary blob that happens to be YAML must not fill the terminal
LONGEST_INTEGER_BITS = 256  # Python refuses to print integers of more than 4,300 digits
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]{1,60}")


class Place(NamedTuple):
    """A place that a message can point to. Places sort in file order, overrides after the file."""

    rank: int = 0
    line: int = 0
    column: int = 0
    where: str = ""


@dataclass(frozen=True)
class Source:
    """Where text came from: a file (rank 0) or the override number `rank`, which has no lines to point to."""

    label: str
    rank: int = 0
    has_lines: bool = True

    def at(self, line: int, column: int) -> Place:
        """Return the place at `line` and `column`, both from 1."""
        where = f"{self.label}:{line}:{column}" if self.has_lines else self.label
        return Place(self.rank, line, column, where)


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong: its place, the setting (() for the whole file), and what to do about it."""

    place: Place
    path: KeyPath = field(compare=False)
    message: str = field(compare=False)

    def __str__(self) -> str:
        parts = (self.place.where, show_path(self.path), self.message)
        return one_line(": ".join(part for part in parts if part))


def report(problems: Iterable[Problem]) -> ConfigError:
    """Return the error whose message has one line for each problem, in file order."""
    lines = list(dict.fromkeys(str(problem) for problem in sorted(problems)))
    left_out = len(lines) - SHOWN_PROBLEMS
    if left_out > 0:
        lines[SHOWN_PROBLEMS:] = [f"{sorted(problems)[0].place.where}: and {left_out} more problems."]
    return ConfigError("\n".join(lines))


def one_line(text: str) -> str:
    """Return `text` with line breaks, terminal escapes and other unprintable characters escaped."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def shorten(text: str) -> str:
    """Return `text`, cut where it is too long for a message."""
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."


def show(value: object) -> str:
    """Return a value as a user would write it in YAML, strings quoted and escaped, cut to a readable length."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return repr(shorten(str(value)))
    if isinstance(value, int) and value.bit_length() > LONGEST_INTEGER_BITS:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, (list, tuple, Mapping)):
        return shorten(_show_items(value))
    if isinstance(value, (int, float)):  # numpy's own float64 is a float with another repr
        return shorten(repr(float(value) if isinstance(value, float) else int(value)))
    return f"a {type(value).__name__}"


def _show_items(value: list[Any] | tuple[Any, ...] | Mapping[Any, Any]) -> str:
    more = ["..."] if len(value) > SHOWN_ITEMS else []
    if isinstance(value, Mapping):
        items = [f"{shorten(str(key))}: {_show_item(value[key])}" for key in list(value)[:SHOWN_ITEMS]]
        return "{" + ", ".join(items + more) + "}"
    return "[" + ", ".join([_show_item(item) for item in value[:SHOWN_ITEMS]] + more) + "]"


def _show_item(value: object) -> str:
    if isinstance(value, (list, tuple)) and value:
        return "[...]"
    return "{...}" if isinstance(value, Mapping) and value else show(value)


def show_path(path: KeyPath) -> str:
    """Return a path as `model.hidden[1]`; a key that is no plain word is quoted."""
    shown = ""
    for part in path:
        if isinstance(part, int):
            shown += f"[{part}]"
        else:
            shown += ("." if shown else "") + (part if _PLAIN_KEY.fullmatch(part) else show(part))
    return shown
