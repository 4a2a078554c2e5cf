"""Give a command as a user does, in this process, and hold it to what every command promises."""

from __future__ import annotations

import sys
import unicodedata
from dataclasses import dataclass

import pytest

from initbench.cli.app import main


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code and what it printed."""

    code: int
    out: str
    err: str


class Invoke:
    """Runs commands; raises whatever but SystemExit they raise: a crash."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._monkeypatch = capsys, monkeypatch

    def __call__(self, *arguments: str) -> Ended:
        """Return how `initbench ARGUMENTS` ended."""
        self._monkeypatch.setattr(sys, "argv", ["initbench", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = self._capsys.readouterr()
        code = ended.value.code
        return Ended(code if isinstance(code, int) else 0 if code is None else 1, printed.out, printed.err)


HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}  # Unicode's categories of what cannot be seen


def hidden(text: str) -> list[str]:
    """Return the characters that steer a terminal, turn text around or cannot be seen, line feeds apart."""
    return [one for one in set(text) if unicodedata.category(one) in HIDDEN and one != "\n"]
