"""What code a run's numbers depend on, as a hash: edited code is never taken for the code of a stored result."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import types
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from initbench.plugins import plugin_revision

PACKAGE = Path(__file__).parent
# `signals` is not among them: what it measures during training changes no number of a run (tests/training hold it).
DETERMINING = (  # of initbench itself
    "training", "schemes", "models", "pretraining", "mean_field",
    "initial.py", "layers.py", "activations.py", "seeds.py", "threads.py",
)  # fmt: skip
PLAIN = (type(None), bool, int, float, complex, str, bytes)


@functools.cache
def package_revision() -> str:
    """Return the SHA-256 over the source files of initbench that determine a run's numbers."""
    digest = hashlib.sha256()
    for name in DETERMINING:
        place = PACKAGE / name
        for file in [place] if place.is_file() else sorted(place.rglob("*.py")):
            digest.update(f"{file.relative_to(PACKAGE).as_posix()}\n".encode() + file.read_bytes())
    return digest.hexdigest()


def function_revision(function: Callable[..., Any]) -> str | None:
    """Return a hash of a user's function: its source, and the values, functions and classes that it refers to.

    Of a plugin the whole file and those beside it count. None for initbench's own functions, which `package_revision`
    covers. Where it refers to an object whose value cannot be told from its text (a tensor, an instance), the hash is
    another one each time: better trained again than taken for another.
    """
    module = getattr(function, "__module__", None) or ""
    if _root(module) == "initbench":
        return None
    of_file = plugin_revision(module)
    return of_file or hashlib.sha256("\n".join(_Parts(_root(module)).of(function)).encode()).hexdigest()


def _root(module: str) -> str:
    return module.partition(".")[0]


class _Parts:
    """Texts that are equal for equal values, and for functions and classes that do the same in the same surroundings.

    `home` is the top-level module of the user's code: other modules' classes count by their names.
    """

    def __init__(self, home: str) -> None:
        self.home = home
        self._seen: set[int] = set()

    def of(self, value: Any) -> Iterator[str]:
        """Yield the texts of one value."""
        if isinstance(value, PLAIN):
            yield repr(value)
        elif id(value) in self._seen:
            yield "again"
        elif isinstance(value, types.ModuleType | types.BuiltinFunctionType):
            yield f"{getattr(value, '__module__', '')} {value.__name__}"
        else:
            self._seen.add(id(value))
            yield from self._of_object(value)

    def _of_object(self, value: Any) -> Iterator[str]:
        if isinstance(value, tuple | list | dict):
            for item in value.items() if isinstance(value, dict) else value:
                yield from self.of(item)
        elif isinstance(value, functools.partial):
            yield from self.of((value.func, value.args, value.keywords))
        elif isinstance(value, types.FunctionType):
            yield from self._of_function(value)
        elif isinstance(value, type):
            yield from self._of_class(value)
        else:
            yield uuid.uuid4().hex

    def _of_function(self, function: types.FunctionType) -> Iterator[str]:
        code = function.__code__
        try:
            yield inspect.getsource(function)
        except (OSError, TypeError):  # typed at a prompt: no source is kept
            yield from (code.co_code.hex(), *self.of(code.co_consts))
        around = inspect.getclosurevars(function)
        yield from self.of((around.nonlocals, around.globals))

    def _of_class(self, value: type) -> Iterator[str]:
        yield f"{value.__module__} {value.__qualname__}"
        if _root(value.__module__) != self.home:
            return
        with contextlib.suppress(OSError, TypeError):
            yield inspect.getsource(value)
        for member in vars(value).values():
            if isinstance(member, types.FunctionType):
                yield from self.of(member)
