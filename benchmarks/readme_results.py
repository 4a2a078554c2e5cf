"""Train what README shows and write its tables and its picture anew: `make results` (about half an hour on 2 cores).

Runs that runs/ holds already are not trained again. A table of README stands between two comment lines,
<!-- results: NAME --> and <!-- end -->; this replaces what is between them.
"""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

import torch
import training_loop

import initbench
from initbench.atomic import write_atomically
from initbench.environment import cpu_model
from initbench.report import cells, render
from initbench.results import Comparison
from initbench.schemes import parse

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PICTURE = ROOT / "benchmarks" / "compare.svg"
JOBS = os.cpu_count() or 1
SEEDS = {"xavier": 10, "he": 10, "normal": 10}  # the three that the comparison trains anyway
FEWER_SEEDS = 5


def main() -> None:
    """Train, and replace the tables."""
    os.chdir(ROOT)
    replace("benchmark", f"```text\n{training_loop.report(rounds=9)}\n```")
    comparison = initbench.compare(["xavier", "he", "normal"], config={"data": {"fallback": "none"}}, jobs=JOBS)
    write_atomically(PICTURE, render(comparison, "svg"))
    replace("compare", f"```text\n{render(comparison, 'table').rstrip()}\n```\n\n{machine()}")
    rows = [config_row(path) for path in sorted((ROOT / "configs").glob("*.yaml"))]
    head = "| config | what it is | n | test accuracy, % [95 % interval] | s per run |\n|---|---|---|---|---|"
    replace("configs", "\n".join([head, *rows]) + f"\n\n{machine()}")


def config_row(path: Path) -> str:
    """Return the row of one config: its first comment line, and what its runs came to."""
    config = initbench.load_config(path, ["data.fallback=none"])
    label = parse(config.init.scheme).label
    comparison = initbench.compare([label], config=config, seeds=SEEDS.get(path.stem, FEWER_SEEDS), jobs=JOBS)
    return f"| `{path.name}` | {first_comment(path)} | {measured(comparison)} |"


def first_comment(path: Path) -> str:
    """Return the first line of the config's comment."""
    return path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")


def measured(comparison: Comparison) -> str:
    """Return n, mean with interval, and seconds, as cells."""
    [row] = comparison.schemes
    return f"{row.n} | {cells.percent(row.mean)} {cells.interval(row)} | {row.seconds:.1f}"


def machine() -> str:
    """Return what it was measured on."""
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, initbench {initbench.__version__}"
    where = f"{cpu_model()}, {os.cpu_count()} cores, {JOBS} worker processes of one thread"
    return f"Measured on: {where}; {versions}. Times include the machine's other load: read them as rough ratios."


def replace(name: str, content: str) -> None:
    """Put `content` between the markers of table `name`; raises ValueError where README has no such markers."""
    text = README.read_text(encoding="utf-8")
    pattern = re.compile(rf"(<!-- results: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    changed, count = pattern.subn(lambda found: f"{found[1]}{content}\n{found[2]}", text)
    if count != 1:
        raise ValueError(f"README.md has {count} places for the table {name!r}, not one")
    write_atomically(README, changed)


if __name__ == "__main__":
    main()
