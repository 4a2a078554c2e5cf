"""A pydantic error -> the problem that a user reads: what was given, what the JSON schema allows, and a hint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from initbench.config.errors import KeyPath, Place, Problem, one_line, shorten, show, show_path
from initbench.config.scalars import plain_scalar
from initbench.config.tree import Entry, Node
from initbench.errors import did_you_mean

Schema = Mapping[str, Any]

EXPLAINED = "initbench"  # the type of errors whose message is ready to be read
OWN_WORDS = (EXPLAINED, "value_error")  # the latter: a validator, such as that of a user's model, raised ValueError
_YES_AND_NO = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}
_TYPE_NAMES = {"integer": "a whole number", "number": "a number", "string": "text", "null": "null"}
_BOUNDS = {"exclusiveMinimum": "above", "minimum": "at least", "exclusiveMaximum": "below", "maximum": "at most"}


def explained(message: str) -> PydanticCustomError:
    """Return the error that a validator raises to say in its own words what is wrong."""
    escaped = one_line(message)  # pydantic cannot carry lone surrogates
    return PydanticCustomError(EXPLAINED, "{message}", {"message": escaped})


def explain(error: ValidationError, root: Node, schema: Schema) -> list[Problem]:
    """Return a problem for each of pydantic's errors, at its place in `root`. `schema` describes the config."""
    return [_problem(dict(details), root, schema) for details in error.errors(include_url=False)]


def _problem(details: dict[str, Any], root: Node, schema: Schema) -> Problem:
    is_unknown_key = details["type"] == "extra_forbidden"
    path, place = _find(root, details["loc"], is_unknown_key)
    if details["type"] in OWN_WORDS:
        return Problem(place, path, details["msg"].removeprefix("Value error, "))
    if is_unknown_key:
        return Problem(place, path, _unknown_key(path, schema))
    if details["type"] == "missing":
        return Problem(place, details["loc"], f"missing; write {describe(_at(schema, details['loc']), schema)}.")
    allowed = _at(schema, path)
    message = f"got {show(details['input'])}, allowed: {describe(allowed, schema)}."
    return Problem(place, path, message + _hint(details["input"], allowed, schema))


def _find(root: Node, loc: KeyPath, wants_key: bool) -> tuple[KeyPath, Place]:
    """Return the part of `loc` that exists in the tree, and its place: the key's or the value's."""
    node, place = root, root.place
    for depth, part in enumerate(loc):
        children = node.value
        if isinstance(children, dict) and part in children:
            entry: Entry = children[str(part)]
            node, place = entry.node, entry.key if wants_key else entry.node.place
        elif isinstance(children, list) and isinstance(part, int) and part < len(children):
            node = children[part]
            place = node.place
        else:
            return loc[:depth], place
    return loc, place


def _resolve(schema: Schema, root: Schema) -> Schema:
    """Follow a reference into the root's definitions."""
    reference = schema.get("$ref")
    return root["$defs"][reference.rpartition("/")[2]] if reference else schema


def _at(root: Schema, path: KeyPath) -> Schema:
    """Return the schema of the setting at `path`, as deep as the schema goes."""
    schema = root
    for part in path:
        schema = _resolve(schema, root)
        if isinstance(part, int):
            items = schema.get("prefixItems", [])
            schema = items[part] if part < len(items) else schema.get("items", schema)
        else:
            schema = schema.get("properties", {}).get(part, schema.get("additionalProperties") or {})
    return _resolve(schema, root)


def describe(schema: Schema, root: Schema) -> str:
    """Return in words what a schema allows: "a number above 0", "sgd, adam or null"."""
    schema = _resolve(schema, root)
    if "allowed" in schema:
        return str(schema["allowed"])
    if "anyOf" in schema:
        return " or ".join(describe(option, root) for option in schema["anyOf"])
    if choices := _choices(schema, root):
        return ", ".join(choices)
    kind = schema.get("type", "")
    if kind == "array":
        return _describe_list(schema, root)
    if kind == "object":
        return f"a mapping of {', '.join(schema.get('properties', {}))}"
    return " ".join([_TYPE_NAMES.get(kind, "another value"), _describe_bounds(schema)]).strip()


def _describe_bounds(schema: Schema) -> str:
    if "minimum" in schema and "maximum" in schema:
        return f"from {_number(schema['minimum'])} to {_number(schema['maximum'])}"
    return " and ".join(f"{word} {_number(schema[bound])}" for bound, word in _BOUNDS.items() if bound in schema)


def _number(bound: float) -> str:
    return str(int(bound)) if bound == int(bound) else str(bound)


def _describe_list(schema: Schema, root: Schema) -> str:
    if "prefixItems" in schema:
        return f"a list of {len(schema['prefixItems'])}: {'; '.join(describe(s, root) for s in schema['prefixItems'])}"
    most = f" (at most {schema['maxItems']})" if "maxItems" in schema else ""
    return f"a list{most}, each {describe(schema.get('items', {}), root)}"


def _choices(schema: Schema, root: Schema) -> list[str]:
    if "anyOf" in schema:
        return [choice for option in schema["anyOf"] for choice in _choices(_resolve(option, root), root)]
    if schema.get("type") == "boolean":
        return ["true", "false"]
    return [str(choice) for choice in schema.get("enum", [schema["const"]] if "const" in schema else [])]


def _hint(value: object, schema: Schema, root: Schema) -> str:
    if not isinstance(value, str):
        return ""
    choices = _choices(schema, root)
    if "true" in choices and value.lower() in _YES_AND_NO:
        return f" Did you mean {_YES_AND_NO[value.lower()]}?"
    kinds = {option.get("type") for option in (schema, *schema.get("anyOf", []))}
    number = plain_scalar(shorten(value.strip().replace("_", "").replace(",", "")))
    if kinds & {"integer", "number"} and type(number) in (int, float):
        return f" Write {number}, without quotes or separators."
    return did_you_mean(shorten(value), choices) if choices else ""


def _unknown_key(path: KeyPath, root: Schema) -> str:
    key, allowed = str(path[-1]), list(_at(root, path[:-1]).get("properties", {}))
    hint = did_you_mean(shorten(key), allowed)
    if not hint and (elsewhere := _elsewhere(key, root)):
        hint = f" Did you mean {show_path(elsewhere)!r}?"
    return f"unknown key.{hint} Allowed: {', '.join(allowed)}."


def _elsewhere(key: str, root: Schema) -> KeyPath | None:
    """Return where a key belongs that was written in the wrong section."""
    for name, schema in root["properties"].items():
        if key == name:
            return (name,)
        if key in _resolve(schema, root).get("properties", {}):
            return (name, key)
    return None
