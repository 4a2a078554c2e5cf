"""JSON as the standard has it, within bounds: no NaN, no key twice, no number that overflows (RFC 8259)."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

MOST_VALUES = 2_000_000  # of one document: 100,000 epochs, the most that a config has, of 7 numbers and 2 brackets each
MOST_KEYS = 1_000  # of one object: a config's patterns of layers are the most
MOST_DIGITS = 100  # of a number; Python converts 4,300 at most


class NotJSONError(ValueError):
    """Bytes are no JSON document that is read here. The message is a short reason, without a full stop."""


def parse_json(content: bytes) -> Any:
    """Return what the JSON document `content` says; raises NotJSONError, with the reason, for anything else."""
    if sum(map(content.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise NotJSONError(f"more than {MOST_VALUES:,} values")
    try:
        return json.loads(
            content.decode(), object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_int
        )
    except UnicodeDecodeError as error:
        raise NotJSONError(f"byte {error.start + 1} is not UTF-8 text") from None
    except RecursionError:
        raise NotJSONError("nested too deeply") from None
    except json.JSONDecodeError as error:
        at = f"line {error.lineno}, column {error.colno}"
        raise NotJSONError(f"no JSON from {at} on" if content.strip() else "empty") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(pairs) > MOST_KEYS:
        raise NotJSONError(f"an object with more than {MOST_KEYS:,} keys")
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise NotJSONError(f"the key {next(key for key in found if keys.count(key) > 1)!r} twice")
    return found


def _constant(name: str) -> NoReturn:
    raise NotJSONError(f"{name}, which JSON does not have")


def _float(text: str) -> float:
    value = float(text) if len(text) <= MOST_DIGITS else math.inf
    if not math.isfinite(value):
        raise NotJSONError("a number that is too large")
    return value


def _int(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise NotJSONError(f"a number of {len(text):,} digits")
    return int(text)
