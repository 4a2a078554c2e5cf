"""Every promise of reliability, tried: a few times in `make test`, often in `make reliability`, which prints a table.

A test asks `count(short, full)` how often to try, and says by `figure(test, found)` what came of it: a row of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from _pytest.terminal import TerminalReporter
from bench_settings import tiny
from reliability.invoking import Invoke

from initbench.environment import cpu_model

Count = Callable[[int, int], int]
Figure = Callable[[str, str], None]
COLUMN = "reliability"  # the property of a test's report that holds a row of the table


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="try each promise of reliability as often as the table says")
    parser.addoption("--table", metavar="FILE", type=Path, help="write the table of what was found to this file, too")


@pytest.fixture
def full(request: pytest.FixtureRequest) -> bool:
    """Whether this is the long version."""
    return bool(request.config.getoption("--full", default=False))


@pytest.fixture
def count(full: bool) -> Count:
    """Return how often to try: the first number in `make test`, the second in `make reliability`."""
    return lambda short, often: often if full else short


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Figure:
    """Add a row to the table: what was tried, and what was found."""
    return lambda test, found: record_property(COLUMN, (test, found))


@pytest.fixture
def invoke(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Call the program as a user does, in this process."""
    return Invoke(capsys, monkeypatch)


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A config whose training takes milliseconds and records signals."""
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(tiny(train={"epochs": 1, "signals": 1})))
    return "tiny.yaml"


@pytest.fixture
def whole(invoke: Invoke, config: str) -> Path:
    """A run's folder, whole."""
    assert invoke("run", config, "--quiet").code == 0
    [folder] = Path("runs").glob("*-seed0-*")
    return folder.resolve()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give the long versions the time that they need."""
    if config.getoption("--full", default=False):
        for item in items:
            item.add_marker(pytest.mark.timeout(3_600), append=False)


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    """Print the table."""
    if not config.getoption("--full", default=False):
        return
    table = _table(terminalreporter)
    terminalreporter.section("reliability")
    terminalreporter.write_line(table)
    if file := config.getoption("--table", default=None):
        Path(file).write_text(table + "\n", encoding="utf-8")


def _table(reporter: TerminalReporter) -> str:
    reports = [report for of_kind in ("passed", "failed", "skipped") for report in reporter.stats.get(of_kind, [])]
    rows = [
        (*value, {"passed": "yes", "failed": "NO"}.get(report.outcome, report.outcome))
        for report in sorted(reports, key=lambda report: str(report.nodeid))
        for name, value in report.user_properties
        if name == COLUMN and report.when == "call"
    ]
    counts = ", ".join(f"{len(reporter.stats.get(kind, []))} {kind}" for kind in ("passed", "failed", "skipped"))
    lines = [f"| {test} | {found} | {reached} |" for test, found, reached in rows]
    machine = f"{cpu_model()}, {os.cpu_count()} cores; tests: {counts}."
    return "\n".join(["| test | found | reached |", "|---|---|---|", *lines, "", machine])
