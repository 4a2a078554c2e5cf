"""What a scheme is, and the registry that holds them all."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import TypeAdapter

from initbench.errors import UsageError
from initbench.registry import Registry

Fill = TypeVar("Fill", bound=Callable[..., None])
Std = Callable[..., float]
Check = Callable[..., None]
ANY_MATRIX = (2, 3, 4, 5)  # Linear weights and the kernels of 1-, 2- and 3-d convolutions


@dataclass(frozen=True)
class Parameter:
    """One keyword parameter of a scheme: its name, its default and the type that a given value must have."""

    name: str
    default: Any
    adapter: TypeAdapter[Any]


@dataclass(frozen=True)
class Scheme:
    """A named rule for the starting values of one weight tensor.

    `fill(weight, generator=..., **params)` overwrites `weight` in place. `std(shape, **params)` is the standard
    deviation of its entries that the formula promises for a weight of that shape (None where no formula exists).
    `check(**params)` raises SchemeError for values that do not go together. `dimensions` are the numbers of tensor
    dimensions that it is defined on.
    """

    name: str
    fill: Callable[..., None]
    parameters: Mapping[str, Parameter]
    formula: str
    source: str
    good_for: str
    std: Std | None
    check: Check | None
    dimensions: tuple[int, ...]

    @property
    def summary(self) -> str:
        """Return the first line of the rule's docstring."""
        return (inspect.getdoc(self.fill) or self.formula).splitlines()[0]


schemes: Registry[Scheme] = Registry("scheme")


def register_scheme(
    name: str,
    *,
    formula: str,
    source: str,
    good_for: str,
    aliases: tuple[str, ...] = (),
    std: Std | None = None,
    check: Check | None = None,
    dimensions: tuple[int, ...] = ANY_MATRIX,
) -> Callable[[Fill], Fill]:
    """Register the decorated function as scheme `name`.

    The function takes the weight [out, in, *kernel] first, `generator` as a keyword, and its own parameters as
    keywords with defaults; it fills the weight in place. Raises UsageError for a taken name or a function whose
    signature does not fit.
    """

    def decorate(fill: Fill) -> Fill:
        parameters = _parameters(name, fill)
        schemes.add(name, Scheme(name, fill, parameters, formula, source, good_for, std, check, dimensions), aliases)
        return fill

    return decorate


def _parameters(scheme: str, fill: Callable[..., None]) -> Mapping[str, Parameter]:
    keywords = list(inspect.signature(fill).parameters.values())[1:]
    if "generator" not in (keyword.name for keyword in keywords):
        raise UsageError(f"scheme {scheme!r} must take the keyword `generator`: every draw comes from it.")
    own = [keyword for keyword in keywords if keyword.name != "generator"]
    module_globals = getattr(fill, "__globals__", {})  # a functools.partial has none
    for keyword in own:
        if keyword.default is inspect.Parameter.empty or keyword.kind is not inspect.Parameter.KEYWORD_ONLY:
            raise UsageError(f"parameter {keyword.name!r} of scheme {scheme!r} must be keyword-only with a default.")
    return types.MappingProxyType(
        {one.name: Parameter(one.name, one.default, TypeAdapter(_type(one, module_globals))) for one in own}
    )


def _type(keyword: inspect.Parameter, module_globals: dict[str, Any]) -> Any:
    """Return the annotation, resolved where it is postponed (a string); the default's type where there is none."""
    if keyword.annotation is inspect.Parameter.empty:
        return type(keyword.default)
    if not isinstance(keyword.annotation, str):
        return keyword.annotation
    holder = types.SimpleNamespace(__annotations__={keyword.name: keyword.annotation})
    try:
        return typing.get_type_hints(holder, module_globals, include_extras=True)[keyword.name]
    except NameError:  # a name that is imported for type checkers only
        return type(keyword.default)
