"""A scheme with its parameters, written `name:key=value:key=value`."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from initbench.errors import SchemeError, UsageError, unknown
from initbench.schemes.catalogue import Distribution, Scheme, schemes, value_text
from initbench.schemes.gains import resolve_gain

_KINDS = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "string": "a word"}
_BOUNDS = {"exclusiveMinimum": "above", "minimum": "at least", "exclusiveMaximum": "below", "maximum": "at most"}

FLOAT32_MAX = (2 - 2**-23) * 2.0**127


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

    def resolved(self, activation: str | None) -> Mapping[str, Any]:
        """Return the parameters with gain=auto replaced by the gain of `activation`; raises SchemeError without one."""
        if "gain" not in self.params:
            return self.params
        return {**self.params, "gain": resolve_gain(self.params["gain"], activation)}

    def std(self, shape: tuple[int, ...], activation: str | None = None, groups: int = 1) -> float | None:
        """Return the standard deviation that the formula promises for a weight [out, in, *kernel], if there is one."""
        if self.scheme.std:
            return float(self._claim(self.scheme.std, shape, activation, groups))
        distribution = self.distribution(shape, activation, groups)
        return None if distribution is None else distribution.std()

    def distribution(
        self, shape: tuple[int, ...], activation: str | None = None, groups: int = 1
    ) -> Distribution | None:
        """Return what each entry of a weight [out, in, *kernel] is drawn from by itself, if the scheme says so."""
        claimed: Distribution | None = None
        if self.scheme.distribution:
            claimed = self._claim(self.scheme.distribution, shape, activation, groups)
        return claimed

    def _claim(self, rule: Callable[..., Any], shape: tuple[int, ...], activation: str | None, groups: int) -> Any:
        """Return what a claim says of a weight; it is told the groups if it asks for them, as a rule is."""
        asked = {"groups": groups} if "groups" in inspect.signature(rule).parameters else {}
        return rule(shape, **asked, **self.resolved(activation))

    def __str__(self) -> str:
        return _join(self.name, self.params)

    def __hash__(self) -> int:
        return hash(str(self))


def _join(name: str, params: Mapping[str, Any]) -> str:
    return ":".join([name, *(f"{key}={value_text(value)}" for key, value in params.items())])


def parse(text: str) -> SchemeSpec:
    """Parse `name:key=value:...`; aliases and defaults are resolved.

    Raises SchemeError for an unknown name or parameter, one given twice, or a value of the wrong type or range.
    """
    name, *settings = text.strip().split(":")
    if "=" in name:
        raise SchemeError(
            f"{name!r} is not a scheme. Separate a scheme's parameters with ':', as in normal:mean=0:std=0.1."
        )
    try:
        scheme = schemes[name]
    except UsageError as error:
        raise SchemeError(str(error)) from None
    given = _settings(scheme, settings)
    params = {key: given.get(key, parameter.default) for key, parameter in scheme.parameters.items()}
    if scheme.check:
        scheme.check(**params)
    return SchemeSpec(scheme.name, types.MappingProxyType(params))


def distinct(texts: Iterable[str]) -> list[str]:
    """Return the texts, all of which parse; raises SchemeError for none, or for two that mean the same scheme."""
    meanings: dict[str, str] = {}
    for text in texts:
        meaning = str(parse(text))
        if meaning in meanings:
            raise SchemeError(f"schemes {meanings[meaning]!r} and {text!r} are the same scheme; name each once.")
        meanings[meaning] = text
    if not meanings:
        raise SchemeError("no schemes given; name at least one, for example --schemes xavier,he.")
    return list(meanings.values())


def _settings(scheme: Scheme, settings: Iterable[str]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise SchemeError(f"scheme {scheme.name!r}: {setting!r} is not a parameter; write name:key=value.")
        if not scheme.parameters:
            raise SchemeError(f"scheme {scheme.name!r} has no parameters; {setting!r} was given.")
        if key not in scheme.parameters:
            raise SchemeError(f"scheme {scheme.name!r}: {unknown('parameter', key, scheme.parameters)}")
        if key in given:
            raise SchemeError(f"scheme {scheme.name!r}: parameter {key!r} is given twice.")
        given[key] = _value(scheme, key, value)
    return given


def _value(scheme: Scheme, key: str, text: str) -> Any:
    if text == value_text(None) and scheme.parameters[key].default is None:
        return None
    where = f"scheme {scheme.name!r}: {key}={text}"
    try:
        value = scheme.parameters[key].adapter.validate_python(text)
    except ValidationError:
        hint = " Separate parameters with ':'." if "," in text else ""
        allowed = _allowed(scheme.parameters[key].adapter.json_schema())
        raise SchemeError(f"{where}: allowed is {allowed}.{hint}") from None
    if isinstance(value, float) and not abs(value) <= FLOAT32_MAX:
        raise SchemeError(f"{where}: not a finite number that float32 can hold.")
    return value


def _allowed(schema: Mapping[str, Any]) -> str:
    """Return in words what a parameter's JSON schema allows: "a number above 0 and at most 1 or auto"."""
    if "anyOf" in schema:
        return " or ".join(_allowed(option) for option in schema["anyOf"])
    if choices := schema.get("enum", [schema["const"]] if "const" in schema else []):
        return ", ".join(map(str, choices))
    bounds = " and ".join(f"{word} {schema[bound]:g}" for bound, word in _BOUNDS.items() if bound in schema)
    return f"{_KINDS.get(schema.get('type', ''), 'another value')} {bounds}".rstrip()
