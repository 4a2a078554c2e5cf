"""Plugins: Python files of a user, named on the command line, that register schemes and models by being imported."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from initbench.errors import InitbenchError, UsageError

PREFIX = "initbench_plugin_"
_loaded: dict[Path, ModuleType] = {}


def load_plugins(paths: Iterable[str | Path]) -> None:
    """Import each file once, so that what it registers is found by name.

    Raises UsageError for a file that is not there, is no Python file, or cannot be imported; it says at which line.
    """
    for path in map(Path, paths):
        resolved = path.resolve()
        if resolved in _loaded:
            continue
        if not resolved.is_file() or resolved.suffix != ".py":
            raise UsageError(f"--plugin {str(path)!r}: no such Python file (FILE.py).")
        _loaded[resolved] = _imported(path, resolved)


def loaded_plugins() -> tuple[Path, ...]:
    """Return the files loaded so far: what a worker process has to load, too."""
    return tuple(_loaded)


def plugin_revision(module_name: str | None) -> str | None:
    """Return the SHA-256 of the plugin file that is imported as `module_name`, None where that is no plugin."""
    for path, module in _loaded.items():
        if module.__name__ == module_name:
            return hashlib.sha256(path.read_bytes()).hexdigest()
    return None


def _imported(path: Path, resolved: Path) -> ModuleType:
    name = PREFIX + hashlib.sha256(str(resolved).encode()).hexdigest()[:16]  # two files may have one name
    spec = importlib.util.spec_from_file_location(name, resolved)
    if spec is None or spec.loader is None:
        raise UsageError(f"--plugin {str(path)!r}: no such Python file (FILE.py).")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(resolved.parent))  # a plugin may import the files beside it
    try:
        spec.loader.exec_module(module)
    except InitbenchError as error:
        raise UsageError(f"--plugin {str(path)!r}: {error}") from error
    except Exception as error:
        raise UsageError(f"--plugin {str(path)!r}{_line(error, resolved)}: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(resolved.parent))
    return module


def _line(error: Exception, resolved: Path) -> str:
    """Return ", line N", where the plugin itself went wrong."""
    if isinstance(error, SyntaxError):
        return f", line {error.lineno}"
    line, traceback = None, error.__traceback__
    while traceback:
        if traceback.tb_frame.f_code.co_filename == str(resolved):
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return "" if line is None else f", line {line}"
