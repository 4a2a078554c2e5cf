"""Options that are given layer by layer: widths, with a shorthand for depth, and numbers of which the last repeats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    Strict,
    WithJsonSchema,
)

MAX_WIDTH = 100_000
MAX_DEPTH = 10_000
MAX_SIZE = 1_000
LONGEST_WRITTEN_OUT = 8  # more equal widths than these are written in the short form

Width = Annotated[int, Strict(), Field(ge=1, le=MAX_WIDTH)]
Size = Annotated[int, Strict(), Field(ge=1, le=MAX_SIZE)]


class _Repeated(BaseModel):
    model_config = ConfigDict(extra="forbid")

    width: Width
    depth: Annotated[int, Strict(), Field(ge=1, le=MAX_DEPTH)]


def _written_out(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    repeated = _Repeated.model_validate(dict(value))
    return (repeated.width,) * repeated.depth


def _written_short(widths: tuple[int, ...]) -> list[int] | dict[str, int]:
    if len(widths) > LONGEST_WRITTEN_OUT and len(set(widths)) == 1:
        return {"width": widths[0], "depth": len(widths)}
    return list(widths)


def _listed(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else (value,)


def _without_repeats(sizes: tuple[int, ...]) -> tuple[int, ...]:
    while len(sizes) > 1 and sizes[-1] == sizes[-2]:
        sizes = sizes[:-1]
    return sizes


def _one_or_list(sizes: tuple[int, ...]) -> int | list[int]:
    return sizes[0] if len(sizes) == 1 else list(sizes)


def of_layer(sizes: tuple[int, ...], layer: int) -> int:
    """Return the size of `layer` (from 0), the last one where the list is shorter."""
    return sizes[min(layer, len(sizes) - 1)]


# The JSON schemas have no "type", so that one says both what a list and what a mapping may hold: the config's messages
# are made from them, down to an item or a key.
Widths = Annotated[
    tuple[Width, ...],
    BeforeValidator(_written_out),
    Strict(False),
    Field(max_length=MAX_DEPTH),
    PlainSerializer(_written_short, when_used="json"),
    WithJsonSchema(
        {
            "allowed": f"a list (at most {MAX_DEPTH}) of whole numbers from 1 to {MAX_WIDTH}, or a mapping such as "
            "{width: 300, depth: 50}",
            "items": {"type": "integer", "minimum": 1, "maximum": MAX_WIDTH},
            "properties": _Repeated.model_json_schema()["properties"],
        }
    ),
]
"""The widths of layers, one each: `[300, 200]`, or `{width: 300, depth: 50}` for 50 times 300."""

Sizes = Annotated[
    tuple[Size, ...],
    BeforeValidator(_listed),
    Strict(False),
    Field(min_length=1, max_length=MAX_DEPTH),
    AfterValidator(_without_repeats),
    PlainSerializer(_one_or_list, when_used="json"),
    WithJsonSchema(
        {
            "allowed": f"a whole number from 1 to {MAX_SIZE}, or a list of one or more, the last of which repeats",
            "items": {"type": "integer", "minimum": 1, "maximum": MAX_SIZE},
        }
    ),
]
"""A size for each layer: one number for all, or a list of which the last repeats: `[2, 2, 1]` is 2, 2, 1, 1, ..."""
