"""A scheme with its parameters, written `name:key=value:key=value`."""

from __future__ import annotations

import math
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from initbench.errors import SchemeError, UsageError, unknown
from initbench.schemes.catalogue import Scheme, schemes


@dataclass(frozen=True)
class SchemeSpec:
    """A registered scheme and a value for each parameter. `str()` gives the full text, `label` the short one."""

    name: str
    params: Mapping[str, Any]

    @property
    def scheme(self) -> Scheme:
        """Return the catalogue's entry."""
        return schemes[self.name]

    @property
    def label(self) -> str:
        """Return the name with those parameters only that differ from their defaults."""
        defaults = self.scheme.parameters
        return _join(self.name, {key: value for key, value in self.params.items() if value != defaults[key].default})

    def std(self, shape: tuple[int, ...]) -> float | None:
        """Return the standard deviation that the formula promises for a weight [out, in, *kernel], if there is one."""
        return self.scheme.std(shape, **self.params) if self.scheme.std else None

    def __str__(self) -> str:
        return _join(self.name, self.params)

    def __hash__(self) -> int:
        return hash(str(self))


def _join(name: str, params: Mapping[str, Any]) -> str:
    return ":".join([name, *(f"{key}={value}" for key, value in params.items())])


def parse(text: str) -> SchemeSpec:
    """Parse `name:key=value:...`; aliases and defaults are resolved.

    Raises SchemeError for an unknown name or parameter, one given twice, or a value of the wrong type or range.
    """
    name, *settings = text.strip().split(":")
    try:
        scheme = schemes[name]
    except UsageError as error:
        raise SchemeError(str(error)) from None
    given = _settings(scheme, settings)
    params = {key: given.get(key, parameter.default) for key, parameter in scheme.parameters.items()}
    return SchemeSpec(scheme.name, types.MappingProxyType(params))


def _settings(scheme: Scheme, settings: Iterable[str]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise SchemeError(f"scheme {scheme.name!r}: {setting!r} is not a parameter; write name:key=value.")
        if key not in scheme.parameters:
            raise SchemeError(f"scheme {scheme.name!r}: {unknown('parameter', key, scheme.parameters)}")
        if key in given:
            raise SchemeError(f"scheme {scheme.name!r}: parameter {key!r} is given twice.")
        given[key] = _value(scheme, key, value)
    return given


def _value(scheme: Scheme, key: str, text: str) -> Any:
    where = f"scheme {scheme.name!r}: {key}={text}"
    try:
        value = scheme.parameters[key].adapter.validate_python(text)
    except ValidationError as error:
        raise SchemeError(f"{where}: {'; or '.join(e['msg'] for e in error.errors())}.") from None
    if isinstance(value, float) and not math.isfinite(value):
        raise SchemeError(f"{where}: not a finite number.")
    return value
