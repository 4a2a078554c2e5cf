"""initbench: how should this network's weights start?

The public API. Importing it does not import torch; the first use of a name that needs torch does.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from initbench.bench import compare, run
    from initbench.config import Config, load_config, make_config
    from initbench.errors import (
        ConfigError,
        DataError,
        DeviceError,
        InitbenchError,
        SchemeError,
        StoreError,
        UsageError,
    )
    from initbench.inspection import inspect
    from initbench.models import register_model
    from initbench.results import Comparison, RunResult, SignalReport
    from initbench.schemes import register_scheme
    from initbench.schemes.apply import initialize

__version__ = "0.1.0"

_HOMES = {
    "Comparison": "initbench.results",
    "Config": "initbench.config",
    "ConfigError": "initbench.errors",
    "DataError": "initbench.errors",
    "DeviceError": "initbench.errors",
    "InitbenchError": "initbench.errors",
    "RunResult": "initbench.results",
    "SchemeError": "initbench.errors",
    "SignalReport": "initbench.results",
    "StoreError": "initbench.errors",
    "UsageError": "initbench.errors",
    "compare": "initbench.bench",
    "initialize": "initbench.schemes.apply",
    "inspect": "initbench.inspection",
    "load_config": "initbench.config",
    "make_config": "initbench.config",
    "register_model": "initbench.models",
    "register_scheme": "initbench.schemes",
    "run": "initbench.bench",
}

__all__ = [
    "Comparison",
    "Config",
    "ConfigError",
    "DataError",
    "DeviceError",
    "InitbenchError",
    "RunResult",
    "SchemeError",
    "SignalReport",
    "StoreError",
    "UsageError",
    "__version__",
    "compare",
    "initialize",
    "inspect",
    "load_config",
    "make_config",
    "register_model",
    "register_scheme",
    "run",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its home on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """List the public names, imported yet or not."""
    return sorted(__all__)
