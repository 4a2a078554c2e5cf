"""A comparison written down for elsewhere: one exporter a file, found by the name of its format.

    @exporter("txt")
    def as_text(comparison: Comparison) -> str: ...

in a new module of this package is all that a new format needs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from initbench.registry import Registry, import_siblings
from initbench.results import Comparison

__all__ = ["Exporter", "exporter", "formats", "render"]

Exporter = Callable[[Comparison], str]

_FORMATS: Registry[Exporter] = Registry("format")


def exporter(name: str, aliases: tuple[str, ...] = ()) -> Callable[[Exporter], Exporter]:
    """Register the decorated function as the exporter `name`; raises UsageError where the name is taken."""

    def register(function: Exporter) -> Exporter:
        _FORMATS.add(name, function, aliases)
        return function

    return register


@functools.cache  # the modules register themselves once; importing them here would make each import all the others
def formats() -> Registry[Exporter]:
    """Return the exporters by the name of their format."""
    import_siblings(__name__, list(__path__))
    return _FORMATS


def render(comparison: Comparison, format: str) -> str:
    """Return `comparison` as a document in `format`, ending with a newline; raises UsageError for an unknown format."""
    return formats()[format](comparison)
