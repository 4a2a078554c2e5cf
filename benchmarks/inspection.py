"""How long `initbench inspect` takes, and how much memory: `python benchmarks/inspection.py`.

Each round is a process of its own; the clock starts after the imports and after torch's first products, and includes
the drawing of the weights, theory and verdicts, not the printing. Memory is the process's largest resident set, imports
included; that of the imports alone is given beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from typing import NamedTuple

import torch

from initbench.environment import cpu_model

SCHEMES = ("xavier", "he", "normal:std=0.01", "orthogonal")


class Case(NamedTuple):
    """A network, and the schemes that are inspected in it, one after the other."""

    depth: int
    schemes: tuple[str, ...]
    width: int = 1000


CASES = {
    "10 layers of 1000, 4 schemes": Case(10, SCHEMES),
    "100 layers of 1000, 2 schemes": Case(100, SCHEMES[:2]),
}
ROUND = """
import json, pathlib, re, resource, sys, time
import initbench.inspection, initbench.mean_field, torch
torch.ones(64, 64) @ torch.ones(64, 64)
status = pathlib.Path("/proc/self/status")  # on Linux ru_maxrss would begin with the parent's

def peak():
    if status.exists():
        return 1024 * int(re.search(r"VmHWM:\\s+(\\d+) kB", status.read_text())[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

imported = peak()
depth, width, schemes = json.loads(sys.argv[1])
config = {"model": {"hidden": {"width": width, "depth": depth}}, "inspect": {"input": "gaussian"}}
begin = time.perf_counter()
initbench.inspection.inspect_schemes(config, schemes=schemes)
print(json.dumps([time.perf_counter() - begin, peak(), imported]))
"""


def once(case: Case) -> tuple[float, float, float]:
    """Return seconds, the largest resident set and that of the imports alone, both in MiB."""
    given = json.dumps([case.depth, case.width, case.schemes])
    ended = subprocess.run([sys.executable, "-c", ROUND, given], capture_output=True, text=True, check=True)  # noqa: S603
    seconds, peak, imported = json.loads(ended.stdout)
    return seconds, peak / 2**20, imported / 2**20


def report(rounds: int) -> str:
    """Return the measurements of `rounds` rounds, the cases alternating, as text."""
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in CASES}
    for _ in range(rounds):
        for name, case in CASES.items():
            found[name].append(once(case))
    lines = [
        f"{cpu_model()}, {os.cpu_count()} cores, Python {platform.python_version()}, torch {torch.__version__};"
        f" 256 inputs N(0, 1), ReLU; n={rounds} rounds"
    ]
    for name, rows in found.items():
        seconds, peaks, imported = zip(*rows, strict=True)
        lines.append(
            f"{name}: {statistics.median(seconds):.2f} s [{min(seconds):.2f}, {max(seconds):.2f}], "
            f"at most {max(peaks):,.0f} MiB, {max(imported):,.0f} of them after the imports"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    print(report(parser.parse_args().rounds))
