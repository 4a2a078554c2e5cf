"""An edited function, or one that refers to other values, is never taken for the one whose result is stored."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from initbench import revision
from initbench.revision import function_revision, package_revision
from initbench.schemes.variance_scaling import he_normal

SCALE = 1.0
STATE: Any = object()


def make(scale: float) -> Callable[..., None]:
    def scheme(weight: Any, *, generator: Any) -> None:
        weight.fill_(scale)

    return scheme


def uses_a_global(weight: Any, *, generator: Any) -> None:
    weight.fill_(SCALE)


def helper() -> float:
    return SCALE


def uses_a_helper(weight: Any, *, generator: Any) -> None:
    weight.fill_(helper())


def uses_an_object(weight: Any, *, generator: Any) -> None:
    weight.fill_(STATE)


def typed_at_a_prompt(scale: float) -> Callable[..., None]:
    namespace: dict[str, Any] = {"__name__": "prompt"}
    exec(f"def scheme(weight, *, generator):\n    weight.fill_({scale})\n", namespace)  # noqa: S102 # no source file
    return namespace["scheme"]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "one", [make(1.0), uses_a_global, uses_a_helper, typed_at_a_prompt(1.0), functools.partial(make(1.0), 2)]
)
def test_the_same_function_has_the_same_revision(one: Callable[..., None]) -> None:
    assert function_revision(one) == function_revision(one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (make(1.0), make(2.0)),
        (typed_at_a_prompt(1.0), typed_at_a_prompt(2.0)),
        (functools.partial(make(1.0), 1), functools.partial(make(1.0), 2)),
        (uses_a_global, uses_a_helper),
    ],
)
def test_another_function_or_closure_has_another(one: Callable[..., None], other: Callable[..., None]) -> None:
    assert function_revision(one) != function_revision(other)


@pytest.mark.parametrize("function", [uses_a_global, uses_a_helper])
def test_another_value_of_a_global_has_another(function: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    before = function_revision(function)
    monkeypatch.setitem(globals(), "SCALE", 2.0)
    assert function_revision(function) != before


def test_what_cannot_be_told_from_its_text_is_never_the_same() -> None:
    assert function_revision(uses_an_object) != function_revision(uses_an_object)


def test_our_own_functions_are_covered_by_the_packages_revision() -> None:
    assert function_revision(he_normal) is None
    assert package_revision() == package_revision()


def test_the_packages_revision_follows_its_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    seen = set()
    for text in ("a = 1", "a = 2"):
        (tmp_path / "seeds.py").write_text(text)
        monkeypatch.setattr(revision, "PACKAGE", tmp_path)
        monkeypatch.setattr(revision, "DETERMINING", ("seeds.py",))
        package_revision.cache_clear()
        seen.add(package_revision())
    package_revision.cache_clear()
    assert len(seen) == 2


def test_every_place_that_determines_numbers_is_there() -> None:
    """One that was moved would drop out of the hash without a word."""
    assert [name for name in revision.DETERMINING if not (revision.PACKAGE / name).exists()] == []
