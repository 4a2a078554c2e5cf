"""The section `inspect` of a config: what `initbench inspect` sends through the model, and which schemes it tries."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import AfterValidator, Field, Strict, ValidationError
from pydantic_core import InitErrorDetails

from initbench.config.errors import shorten, show
from initbench.config.explain import explained
from initbench.config.sections import SchemeText, Section
from initbench.data import datasets
from initbench.errors import unknown

GAUSSIAN = "gaussian"
MAX_SCHEMES = 100  # a report that anybody reads has about five
MAX_VALUES = 10_000_000  # of one sample

Size = Annotated[int, Field(ge=1, le=100_000)]


def _distinct(schemes: tuple[str, ...]) -> tuple[str, ...]:
    for index, scheme in enumerate(schemes):
        if (first := schemes.index(scheme)) < index:
            message = f"the same scheme as inspect.schemes[{first}]: {shorten(scheme)}. Remove one."
            details = InitErrorDetails(type=explained(message), loc=(index,), input=scheme)
            raise ValidationError.from_exception_data("schemes", [details])
    return schemes


def _known_input(name: str) -> str:
    short = shorten(name)
    if short == GAUSSIAN:
        return GAUSSIAN
    if short in datasets.all_names():
        return datasets.resolve(short)
    raise explained(unknown("input", short, (GAUSSIAN, *datasets.all_names())))


def _fits(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    if (values := math.prod(shape)) > MAX_VALUES:
        raise explained(f"got {show(shape)}, {values} values a sample, allowed: at most {MAX_VALUES}. Make it smaller.")
    return shape


class InspectConfig(Section):
    """What `initbench inspect` looks at; no part of a run's identity, as no run depends on it.

    `schemes` are those shown side by side (none: the config's own `init.scheme`). `input` is a dataset (None:
    `data.name`) or gaussian: independent values from N(0, 1), each sample [C, H, W] of the given `shape`, which counts
    for random input only. `samples` is how many are sent through; of a dataset at most as many as it has.
    """

    schemes: Annotated[tuple[SchemeText, ...], Strict(False), AfterValidator(_distinct)] = Field(
        (),
        max_length=MAX_SCHEMES,
        json_schema_extra={"allowed": f"a list of at most {MAX_SCHEMES} schemes, such as [xavier, he, normal:std=1]"},
    )
    input: Annotated[str, AfterValidator(_known_input)] | None = Field(
        None, json_schema_extra=lambda schema: schema.update(allowed=", ".join(["null", GAUSSIAN, *datasets]))
    )
    shape: Annotated[tuple[Size, Size, Size], Strict(False), AfterValidator(_fits)] = (1, 28, 28)
    samples: int = Field(256, ge=1, le=1_000_000)
