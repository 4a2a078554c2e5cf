"""The tree of a config's settings before they are validated: every key and value knows its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from initbench.config.errors import Place, Problem

MAX_DEPTH = 20  # a config nests three levels; Python's recursion limit is 1,000
MAX_NODES = 5_000  # after aliases are expanded; a config has a few dozen


class Entry(NamedTuple):
    """A key of a mapping: where it stands, and its value."""

    key: Place
    node: Node


@dataclass(frozen=True)
class Node:
    """A value and its place. `value` is a scalar, a list of nodes, or a dict from key to Entry."""

    value: Any
    place: Place = Place()  # noqa: RUF009 -- an immutable tuple

    def plain(self) -> Any:
        """Return the value without places: scalars, dicts, and tuples in place of lists."""
        if isinstance(self.value, dict):
            return {key: entry.node.plain() for key, entry in self.value.items()}
        if isinstance(self.value, list):
            return tuple(node.plain() for node in self.value)
        return self.value


@dataclass(frozen=True)
class Composed:
    """The tree of a text (None where it is empty or cannot be read to its end) and everything that is wrong with it."""

    root: Node | None
    problems: list[Problem]
