"""What code a run's numbers depend on, as a hash: edited code is never taken for the code of a stored result."""

from __future__ import annotations

import functools
import hashlib
import inspect
import types
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parent
DETERMINING = ("training", "schemes", "models", "layers.py", "seeds.py", "work.py")  # of initbench itself
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
    """Return a hash of a user's function: its source, and the values and functions that it refers to.

    None for initbench's own functions, which `package_revision` covers. Where it refers to an object whose value
    cannot be told from its text (a tensor, an instance), the hash is another one each time: better trained again than
    taken for another.
    """
    if getattr(function, "__module__", "").split(".")[0] == "initbench":
        return None
    return hashlib.sha256("\n".join(_parts(function, set())).encode()).hexdigest()


def _parts(value: Any, seen: set[int]) -> Iterator[str]:
    """Yield texts that are equal for equal values, and for functions that do the same in the same surroundings."""
    if isinstance(value, PLAIN):
        yield repr(value)
    elif id(value) in seen:
        yield "again"
    elif isinstance(value, types.ModuleType | types.BuiltinFunctionType | type):
        yield f"{getattr(value, '__module__', '')} {value.__name__}"
    else:
        seen.add(id(value))
        yield from _parts_of_many(value, seen)


def _parts_of_many(value: Any, seen: set[int]) -> Iterator[str]:
    if isinstance(value, tuple | list | dict):
        for item in value.items() if isinstance(value, dict) else value:
            yield from _parts(item, seen)
    elif isinstance(value, functools.partial):
        yield from _parts((value.func, value.args, value.keywords), seen)
    elif isinstance(value, types.FunctionType):
        yield from _function_parts(value, seen)
    else:
        yield uuid.uuid4().hex


def _function_parts(function: types.FunctionType, seen: set[int]) -> Iterator[str]:
    code = function.__code__
    try:
        yield inspect.getsource(function)
    except (OSError, TypeError):  # typed at a prompt: no source is kept
        yield from (code.co_code.hex(), *_parts(code.co_consts, seen))
    around = inspect.getclosurevars(function)
    yield from _parts((around.nonlocals, around.globals), seen)
