"""Try every promise of reliability as often as README says, print the table, and put it there: `make reliability`.

Nothing is written where a promise was broken.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from readme import README, replace

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "table.md"
        command = [sys.executable, "-m", "pytest", "-n", "2", "--full", f"--table={table}", "tests/reliability"]
        code = subprocess.run(command, check=False, cwd=README.parent).returncode  # noqa: S603 # fixed words
        if code:
            sys.exit(code)
        replace("reliability", table.read_text(encoding="utf-8").rstrip())
