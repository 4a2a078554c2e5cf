"""Executors by name: what can be asked for, and what importing costs."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys

import pytest

from initbench.errors import UsageError
from initbench.execute import executor_for, executors, register_executor
from initbench.execute.inline import create, inline

HEAVY = ("ray", "torch", "numpy", "multiprocessing.pool", "concurrent.futures.process")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("procesess", 1), "unknown executor 'procesess'. Did you mean 'processes'? Allowed: inline, processes, ray."),
        (("processes", 0), "0 workers asked for; give 1 or more."),
        (("inline", 1, "auto"), "executor 'inline' takes no cluster address ('auto' given); executors that do: ray."),
        (("processes", 1, "a:1"), "executor 'processes' takes no cluster address ('a:1' given)"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_what_cannot_be_had_is_a_usage_error(arguments: tuple[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        executor_for(*arguments)


def test_ray_that_is_not_installed_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'initbench\[ray\]'"):
        executor_for("ray", 1)


def test_inline_is_this_process_however_many_workers() -> None:
    assert executor_for("inline", 1) is executor_for("inline", 8) is inline


def test_a_name_is_registered_once() -> None:
    with pytest.raises(UsageError, match="'inline' is registered already"):
        register_executor("inline")(create)


def test_asking_for_the_names_imports_nothing_heavy() -> None:
    program = f"import sys; from initbench.execute import executors; print([n for n in {HEAVY} if n in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert ended.stdout.strip() == "[]"
    assert len(executors) == 3
