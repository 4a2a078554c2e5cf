"""The errors that a user can cause or meet: one root, few children. Each says what is wrong and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InitbenchError(Exception):
    """Anything that initbench reports as one clear line; `exit_code` is what the command line ends with."""

    exit_code = 1


class UsageError(InitbenchError):
    """The command line, a name or an argument is wrong."""

    exit_code = 2


class ConfigError(UsageError):
    """A config file or an override is wrong. The message has one line for each problem."""


class SchemeError(UsageError):
    """A scheme is unknown, has wrong parameters, or does not fit the layer it is asked to fill."""


class DeviceError(UsageError):
    """The device that was asked for is not on this machine."""


class DataError(InitbenchError):
    """A dataset cannot be found, fetched or trusted."""


class StoreError(InitbenchError):
    """The runs folder cannot be written or read."""


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the closest allowed name, or "" where none is close."""
    close = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""


def unknown(kind: str, name: str, allowed: Iterable[str]) -> str:
    """Return the message for an unknown name: what was given, what it may be, and the closest one."""
    names = sorted(allowed)
    return f"unknown {kind} {name!r}.{did_you_mean(name, names)} Allowed: {', '.join(names)}."
