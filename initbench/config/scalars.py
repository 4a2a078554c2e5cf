"""What an unquoted YAML scalar means: the rules of YAML 1.2, not those of 1.1 that PyYAML follows by itself.

`1e-3` is a float; only `true` and `false` are booleans: `yes`, `no`, `on` and `off` are strings, and so are timestamps,
`1_000` and `1:30`; `010` is ten.
"""

from __future__ import annotations

import re

MAX_NUMBER_CHARACTERS = 100  # Python converts 4,300 digits at most

_NULL = re.compile(r"|~|null|Null|NULL")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def half_a_character(text: str) -> str:
    """Return what is wrong with text that no file can hold, as the escape "\\ud800" makes it; "" if nothing is."""
    found = _SURROGATE.search(text)
    return f"text with {found[0]!r}, which is half of a character. Remove it." if found else ""


def plain_scalar(text: str) -> str | int | float | bool | None:
    """Return what an unquoted scalar means. Raises OverflowError for a number of absurd length."""
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text.lower() == "true"
    is_integer = bool(_INT.fullmatch(text))
    if not is_integer and not _FLOAT.fullmatch(text):
        return text
    if len(text) > MAX_NUMBER_CHARACTERS:
        raise OverflowError(f"a number of {len(text)} characters; write {MAX_NUMBER_CHARACTERS} at most.")
    if is_integer:
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
