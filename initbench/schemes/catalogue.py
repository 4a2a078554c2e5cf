"""What a scheme is, and the registry that holds them all."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, Protocol, TypeVar

from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError

from initbench.errors import UsageError
from initbench.registry import Registry

Fill = TypeVar("Fill", bound=Callable[..., None])
Check = Callable[..., None]
Level = Literal["weight", "model"]
Needs = Literal["nothing", "a batch", "the training set"]
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
ANY_MATRIX = (2, 3, 4, 5)  # Linear weights and the kernels of 1-, 2- and 3-d convolutions
HANDED = ("generator", "activation", "groups", "data", "report")  # what a rule gets by asking for the keyword


class Distribution(Protocol):
    """What each entry of a weight is drawn from, by itself: scipy's frozen distributions fit, and those of `claims`."""

    def std(self) -> float:
        """Return the standard deviation."""

    def cdf(self, x: Any) -> Any:
        """Return P(entry <= x), elementwise."""

    def support(self) -> tuple[float, float]:
        """Return the smallest and the largest value."""


@dataclass(frozen=True)
class Parameter:
    """One keyword parameter of a scheme: its name, its default and the type that a given value must have."""

    name: str
    default: Any
    adapter: TypeAdapter[Any]


@dataclass(frozen=True)
class Scheme:
    """A named rule for starting values: of one weight tensor, or of a whole model.

    `fill(target, generator=..., **params)` overwrites its target in place: a weight [out, in, *kernel] (level
    "weight") or a torch module (level "model"). Beside its own parameters it is handed what its signature asks for:

    - `generator`, the torch.Generator that every draw comes from;
    - `activation`, the name of the model's activation, or None;
    - `groups`, of the convolution that the weight belongs to (weight rules);
    - `data`, the training images as `Samples` (model rules that need them);
    - `report`, which hears of the progress of a rule that takes long (model rules).

    Claims, which the conformance checks hold it to: `distribution(shape, **params)`, what every entry of a weight of
    that shape is drawn from by itself, or else `std(shape, **params)`, the standard deviation of its entries;
    `gain(**params)`, the value of all singular values; `sets_biases`. `check(**params)` raises SchemeError for values
    that do not go together, `fits(shape, groups, **params)` or `fits(model, activation, **params)` for a target that
    it is not defined on. `dimensions` are the numbers of tensor dimensions that a weight rule is defined on.
    """

    name: str
    fill: Callable[..., None]
    level: Level
    handed: tuple[str, ...]
    parameters: Mapping[str, Parameter]
    formula: str
    source: str
    good_for: str
    needs: Needs
    dimensions: tuple[int, ...]
    sets_biases: bool
    distribution: Callable[..., Distribution] | None
    std: Callable[..., float] | None
    gain: Callable[..., float] | None
    check: Check | None
    fits: Check | None

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
    needs: Needs = "nothing",
    dimensions: tuple[int, ...] = ANY_MATRIX,
    sets_biases: bool = False,
    distribution: Callable[..., Distribution] | None = None,
    std: Callable[..., float] | None = None,
    gain: Callable[..., float] | None = None,
    check: Check | None = None,
    fits: Check | None = None,
) -> Callable[[Fill], Fill]:
    """Register the decorated function as scheme `name`.

    Its first parameter says what it fills in place: one called `model` gets the whole torch module, any other the
    weights [out, in, *kernel] one by one. `generator` is a keyword that it must take, `activation`, `groups`, `data`
    and `report` are keywords that it may take (see `Scheme`); its own parameters are keywords with defaults. Raises
    UsageError for a taken name or a function whose signature does not fit.
    """

    def decorate(fill: Fill) -> Fill:
        level, handed, parameters = _signature(name, fill)
        if needs not in typing.get_args(Needs):
            raise UsageError(f"scheme {name!r}: needs={needs!r}; it may be one of {', '.join(typing.get_args(Needs))}.")
        if ("data" in handed) != (needs != "nothing"):
            raise UsageError(f"scheme {name!r}: the keyword `data` and needs={needs!r} do not go together.")
        scheme = Scheme(
            name=name,
            fill=fill,
            level=level,
            handed=handed,
            parameters=parameters,
            formula=formula,
            source=source,
            good_for=good_for,
            needs=needs,
            dimensions=dimensions,
            sets_biases=sets_biases,
            distribution=distribution,
            std=std,
            gain=gain,
            check=check,
            fits=fits,
        )
        schemes.add(name, scheme, aliases)
        return fill

    return decorate


def _signature(scheme: str, fill: Callable[..., None]) -> tuple[Level, tuple[str, ...], Mapping[str, Parameter]]:
    """Return what the function fills, what it is to be handed, and its own parameters."""
    if not NAME.fullmatch(scheme):
        raise UsageError(f"scheme name {scheme!r}: use letters, digits and '_', starting with a letter.")
    target, *keywords = inspect.signature(fill).parameters.values() or _nothing(scheme)
    handed = tuple(keyword.name for keyword in keywords if keyword.name in HANDED)
    if "generator" not in handed:
        raise UsageError(f"scheme {scheme!r} must take the keyword `generator`: every draw comes from it.")
    level: Level = "model" if target.name == "model" else "weight"
    misplaced = {"groups"} if level == "model" else {"data", "report"}
    if wrong := sorted(misplaced.intersection(handed)):
        raise UsageError(f"scheme {scheme!r} asks for {wrong[0]!r}, which a rule on a {level} is not handed.")
    return level, handed, _parameters(scheme, fill, [one for one in keywords if one.name not in HANDED])


def _nothing(scheme: str) -> NoReturn:
    raise UsageError(f"scheme {scheme!r} takes no argument: it needs the weight, or the model, that it fills.")


def _parameters(scheme: str, fill: Callable[..., None], own: list[inspect.Parameter]) -> Mapping[str, Parameter]:
    module_globals = getattr(fill, "__globals__", {})  # a functools.partial has none
    for keyword in own:
        if keyword.default is inspect.Parameter.empty or keyword.kind is not inspect.Parameter.KEYWORD_ONLY:
            raise UsageError(f"parameter {keyword.name!r} of scheme {scheme!r} must be keyword-only with a default.")
    return types.MappingProxyType({one.name: _parameter(scheme, one, module_globals) for one in own})


def _parameter(scheme: str, keyword: inspect.Parameter, module_globals: dict[str, Any]) -> Parameter:
    """Return the parameter; raises UsageError where its type, or its default, cannot be written as text."""
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(_type(keyword, module_globals))
        if keyword.default is not None:
            adapter.validate_python(value_text(keyword.default))
    except (PydanticSchemaGenerationError, ValidationError):
        raise UsageError(
            f"parameter {keyword.name!r} of scheme {scheme!r}: its default {keyword.default!r} and its type must be"
            " such as a text can give: bool, int, float, str or Literal."
        ) from None
    return Parameter(keyword.name, keyword.default, adapter)


def value_text(value: Any) -> str:
    """Return a parameter's value as a scheme's text has it."""
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


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
