"""Does each parameter of a scheme do anything? Try other valid values until one changes what the scheme draws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from pydantic.errors import PydanticUserError

from initbench.conformance.draws import Draw, draw, same
from initbench.conformance.findings import SCHEME, Finding
from initbench.conformance.subjects import Subject
from initbench.errors import SchemeError
from initbench.schemes import SchemeSpec, parse

FURTHER = ("0.5", "0.01", "2", "1", "0.9", "0.1", "1.5", "3", "5", "0", "-1")  # tried after those near the value
PAIRS = 60  # how many pairs of values are tried where no value alone has an effect
EFFECT, CLAIM = "effect of {}", "some"


def parameter_findings(spec: SchemeSpec, subjects: Sequence[Subject]) -> list[Finding]:
    """Return a finding for each parameter: whether another value of it changes any of the `subjects`.

    Where none does by itself, other parameters are moved too: a limit may matter only where another is strict.
    """
    return [_finding(spec, key, subjects) for key in spec.params]


def _finding(spec: SchemeSpec, key: str, subjects: Sequence[Subject]) -> Finding:
    checked, others = EFFECT.format(key), list(_alternatives(spec, key))
    if not others:
        return Finding(SCHEME, checked, "", "no other valid value was found", None)
    for subject in subjects:
        before = draw(spec, subject, 0, bias="default")
        for other in others:
            if _differs(other, subject, before):
                return Finding(SCHEME, checked, CLAIM, f"{key}={_text(other.params[key])}: other {subject.name}", True)
    for both, matters in islice(_beside_others(spec, key, subjects[0]), PAIRS):
        if matters:
            return Finding(SCHEME, checked, CLAIM, f"only beside others: {both.label}", True)
    tried = ", ".join(_text(other.params[key]) for other in others)
    return Finding(SCHEME, checked, CLAIM, f"none: tried {tried}", False)


def _differs(other: SchemeSpec, subject: Subject, before: Draw) -> bool:
    """Return whether the scheme with other parameters draws otherwise; not where it cannot."""
    try:
        return not same(before.tensors, draw(other, subject, 0, bias="default").tensors)
    except Exception:  # a value that this subject does not bear
        return False


def _beside_others(spec: SchemeSpec, key: str, subject: Subject) -> Iterator[tuple[SchemeSpec, bool]]:
    """Move another parameter, and with it `key`: does this change what the other alone gives?"""
    for name in spec.params:
        for moved in _alternatives(spec, name) if name != key else ():
            try:
                before = draw(moved, subject, 0, bias="default")
            except SchemeError:
                continue
            for both in _alternatives(moved, key):
                yield both, _differs(both, subject, before)


def _alternatives(spec: SchemeSpec, key: str) -> Iterator[SchemeSpec]:
    """Yield the scheme with each other valid value of one parameter, those near its own first."""
    seen = [spec.params[key]]
    for text in (*_near(spec.params[key]), *_named(spec, key), *FURTHER):
        rest = "".join(f":{name}={_text(value)}" for name, value in spec.params.items() if name != key)
        try:
            other = parse(f"{spec.name}{rest}:{key}={text}")
        except SchemeError:
            continue
        if other.params[key] not in seen:
            seen.append(other.params[key])
            yield other


def _near(value: Any) -> tuple[str, ...]:
    if isinstance(value, bool):
        return (_text(not value),)
    if isinstance(value, int):
        return str(value // 2), str(value * 2), str(value + 1)
    return (str(value / 2), str(value * 2), str(value + 0.25)) if isinstance(value, float) else ()


def _named(spec: SchemeSpec, key: str) -> tuple[str, ...]:
    """Return the names that the parameter's type allows (a Literal, also within a union)."""
    try:
        schema = spec.scheme.parameters[key].adapter.json_schema()
    except PydanticUserError:  # a type that JSON has no word for
        return ()
    parts = [schema, *schema.get("anyOf", ())]
    return tuple(
        str(name) for part in parts for name in (part.get("enum") or ([part["const"]] if "const" in part else ()))
    )


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
