"""Plugins: Python files of a user, named on the command line, that register schemes and models by being imported."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from initbench.errors import InitbenchError, UsageError

PREFIX = "initbench_plugin_"


@dataclass(frozen=True)
class Plugin:
    """A loaded file, the name of its module, and the hash of its code and of the Python files that it may import."""

    path: Path
    module: str
    revision: str


_loaded: dict[Path, Plugin] = {}


def load_plugins(paths: Iterable[str | Path]) -> None:
    """Import each file once, so that what it registers is found by name. What it prints goes to stderr.

    Raises UsageError for a file that is not there, is no Python file, or cannot be imported (it says at which line),
    and for one that was edited after it was loaded: its old code is still in use.
    """
    for path in map(Path, paths):
        resolved = path.resolve()
        if not resolved.is_file() or resolved.suffix != ".py":
            raise UsageError(f"--plugin {str(path)!r}: no such Python file (FILE.py).")
        if resolved not in _loaded:
            _loaded[resolved] = _imported(path, resolved)
        elif _loaded[resolved].revision != _revision(resolved):
            raise UsageError(f"--plugin {str(path)!r} was edited after it was loaded; start Python anew.")


def load_same_plugins(plugins: Iterable[Plugin]) -> None:
    """Load in a worker what its parent has loaded; raises UsageError where a file is another one by now."""
    for plugin in plugins:
        load_plugins([plugin.path])
        if _loaded[plugin.path] != plugin:
            raise UsageError(
                f"--plugin {str(plugin.path)!r} was edited while runs were executed; give the command again."
            )


def loaded_plugins() -> tuple[Plugin, ...]:
    """Return what is loaded: what a worker process has to load, too."""
    return tuple(_loaded.values())


def plugin_revision(module_name: str) -> str | None:
    """Return the revision of the plugin that is imported as `module_name`, or that has it beside it; None if none."""
    for plugin in _loaded.values():
        if module_name == plugin.module or _is_beside(module_name, plugin.path):
            return plugin.revision
    return None


def _is_beside(module_name: str, path: Path) -> bool:
    file = getattr(sys.modules.get(module_name), "__file__", None)
    return file is not None and Path(file).parent == path.parent


def _revision(path: Path) -> str:
    """Return the SHA-256 over the plugin and the Python files beside it, any of which it may import at any time."""
    digest = hashlib.sha256(path.read_bytes())
    for file in sorted(path.parent.glob("*.py")):
        with contextlib.suppress(OSError):
            digest.update(f"{file.name}\n".encode() + file.read_bytes())
    return digest.hexdigest()


def _imported(path: Path, resolved: Path) -> Plugin:
    name = PREFIX + hashlib.sha256(str(resolved).encode()).hexdigest()[:16]  # two files may have one name
    plugin = Plugin(resolved, name, _revision(resolved))
    spec = importlib.util.spec_from_file_location(name, resolved)
    if spec is None or spec.loader is None:
        raise UsageError(f"--plugin {str(path)!r}: no such Python file (FILE.py).")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(resolved.parent))  # a plugin may import the files beside it, also later on
    try:
        with contextlib.redirect_stdout(sys.stderr):
            spec.loader.exec_module(module)
    except InitbenchError as error:
        raise UsageError(f"--plugin {str(path)!r}: {error}") from error
    except (Exception, SystemExit) as error:
        reason = re.sub(r"\s+", " ", f"{type(error).__name__}: {error}")
        raise UsageError(f"--plugin {str(path)!r}{_line(error, resolved)}: {reason}") from error
    return plugin


def _line(error: BaseException, resolved: Path) -> str:
    """Return ", line N", where the plugin itself went wrong."""
    if isinstance(error, SyntaxError):
        return f", line {error.lineno}"
    line, traceback = None, error.__traceback__
    while traceback:
        if traceback.tb_frame.f_code.co_filename == str(resolved):
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return "" if line is None else f", line {line}"
