"""`initbench conformance` as a user gives it: what it prints where, its exit code, and what bad input gets."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from initbench.cli.app import main
from initbench.schemes import schemes

HONEST = '''
"""A user's own scheme."""
from initbench import register_scheme

@register_scheme("tiny", formula="W ~ N(0, 0.01²)", source="mine", good_for="trying it", std=lambda shape: 0.01)
def tiny(weight, *, generator):
    """Draw small weights."""
    weight.normal_(0, 0.01, generator=generator)
'''
LIAR = (
    HONEST.replace('"tiny"', '"liar"').replace("def tiny", "def liar").replace("lambda shape: 0.01", "lambda shape: 1")
)
NOTHING = '"""Registers nothing."""\n'

Invoke = Callable[..., Any]


@pytest.fixture
def invoke(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Invoke:
    monkeypatch.setattr(schemes, "_items", dict(schemes._items))
    monkeypatch.setattr(schemes, "_aliases", dict(schemes._aliases))

    def invoke(*arguments: str) -> Any:
        monkeypatch.setattr(sys, "argv", ["initbench", "conformance", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return SimpleNamespace(code=ended.value.code or 0, out=printed.out, err=printed.err)

    return invoke


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[[str], str]:
    def plugin(text: str) -> str:
        path = tmp_path / "mine.py"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return plugin


def strict(text: str) -> Any:
    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_a_scheme_is_shown_in_full(invoke: Invoke) -> None:
    ended = invoke("--scheme", "eye")
    assert (ended.code, ended.err) == (0, "")
    for expected in ("Linear 64->256", "65 of 256 differ", "not defined on", "its weight has 5 dimensions"):
        assert expected in ended.out
    assert re.search(r"fills every entry +all finite +all +pass", ended.out)
    assert re.search(r"eye: all \d+ checks passed$", ended.out.strip())


def test_schemes_with_parameters_may_be_several(invoke: Invoke) -> None:
    ended = invoke("--scheme", "constant:val=2", "--scheme", "fixup")
    assert ended.code == 0
    assert "constant:val=2.0" in ended.out
    assert re.search(r"2 schemes: all \d+ checks passed", ended.out)


def test_without_a_scheme_each_has_a_line(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    some = ("zeros", "eye", "normal", "irnn")  # tests/test_conformance.py checks all
    monkeypatch.setattr(schemes, "_items", {name: schemes[name] for name in some})
    monkeypatch.setattr(schemes, "_aliases", {})
    ended = invoke()
    assert ended.code == 0
    assert re.search(r"^eye +6 +\d+ +0$", ended.out, re.MULTILINE)
    assert re.search(r"^irnn +1 +\d+ +0$", ended.out, re.MULTILINE)
    assert "4 schemes: all" in ended.out


def test_a_failure_in_the_short_table_is_shown_below_it(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    liar = replace(schemes["zeros"], std=lambda shape: 1.0)
    monkeypatch.setattr(schemes, "_items", {"zeros": liar, "eye": schemes["eye"]})
    monkeypatch.setattr(schemes, "_aliases", {})
    ended = invoke()
    assert ended.code == 1
    assert re.search(r"^zeros +12 +\d+ +12$", ended.out, re.MULTILINE)
    assert re.search(r"  std +1 ± \S+ +0 +FAIL", ended.out)
    assert re.search(r"2 schemes: 12 of \d+ checks failed", ended.out)


def test_a_plugins_schemes_are_checked(invoke: Invoke, plugin: Callable[[str], str]) -> None:
    ended = invoke("--plugin", plugin(HONEST))
    assert ended.code == 0
    assert re.search(r"tiny: all \d+ checks passed", ended.out)


def test_a_failed_check_ends_with_1(invoke: Invoke, plugin: Callable[[str], str]) -> None:
    ended = invoke("--plugin", plugin(LIAR))
    assert ended.code == 1
    assert re.search(r"  std +1 ± \S+ +0\.01\S* +FAIL", ended.out)
    assert re.search(r"liar: 12 of \d+ checks failed", ended.out)


def test_with_a_plugin_another_scheme_can_be_named(invoke: Invoke, plugin: Callable[[str], str]) -> None:
    ended = invoke("--plugin", plugin(LIAR), "--scheme", "fixup")
    assert ended.code == 0
    assert "liar" not in ended.out


def test_json_is_one_strict_document(invoke: Invoke, plugin: Callable[[str], str]) -> None:
    ended = invoke("--plugin", plugin(LIAR), "--scheme", "liar", "--scheme", "eye", "--format", "json")
    assert ended.code == 1
    liar, eye = strict(ended.out)["schemes"]
    assert (liar["scheme"], liar["failed"], eye["scheme"], eye["failed"]) == ("liar", 12, "eye", 0)
    assert eye["checks"] == sum(finding["passed"] is not None for finding in eye["findings"])
    assert set(eye["findings"][0]) == {"subject", "property", "claimed", "measured", "passed"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scheme", "xaviar"], "unknown scheme 'xaviar'"),
        (["--scheme", "he", "--scheme", "kaiming"], "are the same scheme"),
        (["--plugin", "nosuch.py"], "nosuch.py"),
        (["--format", "yaml"], "yaml"),
    ],
)
def test_wrong_usage(invoke: Invoke, arguments: list[str], message: str) -> None:
    ended = invoke(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err


def test_a_plugin_without_schemes_is_wrong_usage(invoke: Invoke, plugin: Callable[[str], str]) -> None:
    ended = invoke("--plugin", plugin(NOTHING))
    assert ended.code == 2
    assert "registered no scheme" in ended.err


@pytest.mark.parametrize("columns", ["80", "120"])
def test_no_line_is_wider_than_the_terminal(invoke: Invoke, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert max(map(len, invoke("--scheme", "fixup", "--scheme", "eye").out.splitlines())) <= int(columns)
