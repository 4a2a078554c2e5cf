"""What others wrote, made harmless to show: text without control characters, and JSON documents of it."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from initbench.results.record import Record

UNPRINTABLE = "\N{REPLACEMENT CHARACTER}"
LONGEST = 4_000  # characters of one text that are shown; the longest of our own is a method of some 200

R = TypeVar("R", bound=Record)


def printable(text: str) -> str:
    """Return `text` on one line: whatever steers a terminal, turns text around or cannot be seen becomes "�".

    What can be seen is what the Unicode database says (`str.isprintable`): no control and format characters (escape
    sequences, bidirectional overrides, zero widths), no surrogates, nothing private or unassigned. White space of any
    kind becomes a space. Beyond LONGEST characters the rest is "…".
    """
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]}…"
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else " " if one.isspace() else UNPRINTABLE for one in text)


def shown(record: R) -> R:
    """Return `record` with every text in it `printable`, however deep: what a view draws."""
    return record.model_copy(update={name: _shown(value) for name, value in record})


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Record):
        return shown(value)
    if isinstance(value, dict):
        return {_shown(key): _shown(inner) for key, inner in value.items()}
    return tuple(map(_shown, value)) if isinstance(value, (list, tuple)) else value


def document(content: Any) -> str:
    r"""Return `content` as JSON: indent 2, a newline at the end. What is not printable is escaped, as \u001b.

    Raises ValueError for NaN and infinity, which JSON does not have.
    """
    text = json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    return "\n".join(line if line.isprintable() else "".join(map(_escaped, line)) for line in text.split("\n"))


def _escaped(one: str) -> str:
    """Return a character of a JSON text as JSON may have it: only within strings is one not printable."""
    return one if one.isprintable() else json.dumps(one)[1:-1]
