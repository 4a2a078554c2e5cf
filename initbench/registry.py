"""A registry: a dict from names and aliases to interchangeable things. A duplicate name raises."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Generic, TypeVar

from initbench.errors import UsageError, unknown

T = TypeVar("T")


class Registry(Generic[T]):
    """Named things of one `kind` ("scheme", "model", ...), found by name or alias."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._items: dict[str, T] = {}
        self._aliases: dict[str, str] = {}

    def add(self, name: str, item: T, aliases: tuple[str, ...] = ()) -> None:
        """Register `item` under `name` and its `aliases`; raises UsageError where one is taken."""
        for taken in (name, *aliases):
            if taken in self._items or taken in self._aliases:
                raise UsageError(f"{self.kind} {taken!r} is registered already; choose another name.")
        self._items[name] = item
        self._aliases.update(dict.fromkeys(aliases, name))

    def resolve(self, name: str) -> str:
        """Return the canonical name of `name`; raises UsageError, with the closest name, where it is unknown."""
        if name in self._items:
            return name
        if name in self._aliases:
            return self._aliases[name]
        raise UsageError(unknown(self.kind, name, (*self._items, *self._aliases)))

    def __getitem__(self, name: str) -> T:
        return self._items[self.resolve(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def aliases_of(self, name: str) -> tuple[str, ...]:
        """Return the other names of the canonical `name`."""
        return tuple(alias for alias, target in self._aliases.items() if target == name)

    def all_names(self) -> tuple[str, ...]:
        """Return every canonical name and alias, in the order of registration."""
        return (*self._items, *self._aliases)


def import_siblings(package: str, path: list[str]) -> None:
    """Import every module of a package, so that each registers what it defines: a new file needs no other change."""
    for module in pkgutil.iter_modules(path):
        importlib.import_module(f"{package}.{module.name}")
