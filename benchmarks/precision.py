"""What `train.precision: bfloat16` does to accuracy and to speed: `python benchmarks/precision.py [--readme]`.

Accuracy: the default recipe with Xavier on ten seeds in either precision, compared as initbench compares schemes,
paired by seed. Speed: epochs of the default network and of a wide one, one thread, float32 and bfloat16 alternating.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
from collections.abc import Sequence

import torch
from readme import replace

import initbench
from initbench import events
from initbench.environment import cpu_model
from initbench.report import render
from initbench.results import Comparison, RunResult
from initbench.summary import summarize

PRECISIONS = ("float32", "bfloat16")
NETWORKS = {"784-256-256-10": [256, 256], "784-1024-1024-1024-1024-10": [1024] * 4}


def trained(precision: str, seeds: Sequence[int], epochs: int, hidden: Sequence[int]) -> list[RunResult]:
    """Return the runs of these seeds, trained here and now."""
    results: list[RunResult] = []

    def collect(event: events.Event) -> None:
        if isinstance(event, events.RunDone):
            results.append(event.result)

    config = {
        "model": {"hidden": list(hidden)},
        "train": {"precision": precision, "epochs": epochs},
        "data": {"fallback": "none"},
    }
    with tempfile.TemporaryDirectory() as folder:
        jobs = min(len(seeds), os.cpu_count() or 1)
        initbench.compare(["xavier"], config=config, seeds=seeds, jobs=jobs, runs_dir=folder, emit=collect)
    return results


def accuracies(seeds: int) -> Comparison:
    """Return float32 and bfloat16 compared on so many seeds."""
    runs = {precision: trained(precision, range(seeds), 15, (256, 256)) for precision in PRECISIONS}
    return summarize(runs, config=initbench.make_config({}).to_dict(), target_accuracy=0.97)


def speed(name: str, rounds: int) -> str:
    """Return the seconds of an epoch in either precision, and their ratio, round by round."""
    seconds: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
    for _ in range(rounds):
        for precision in PRECISIONS:
            [run] = trained(precision, [0], 2, NETWORKS[name])
            seconds[precision].append(run.history[-1].seconds)
    ratios = [full / low for full, low in zip(seconds["float32"], seconds["bfloat16"], strict=True)]
    full, low = (f"{statistics.median(seconds[precision]):.2f}" for precision in PRECISIONS)
    return (
        f"{name}: {full} s/epoch in float32, {low} in bfloat16: {statistics.median(ratios):.2f} times as fast"
        f" [{min(ratios):.2f}, {max(ratios):.2f}]"
    )


def report(seeds: int, rounds: int) -> str:
    """Return both measurements as text."""
    lines = [
        f"{cpu_model()}, {os.cpu_count()} cores, Python {platform.python_version()}, torch {torch.__version__}",
        *(speed(name, rounds) for name in NETWORKS),
        f"(one thread, n={rounds} rounds, evaluation included)",
        "",
        render(accuracies(seeds), "table").rstrip(),
    ]
    return "\n".join(line.rstrip() for line in "\n".join(lines).splitlines())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--readme", action="store_true", help="put what is measured into README.md")
    given = parser.parse_args()
    told = report(given.seeds, given.rounds)
    print(told)
    if given.readme:
        replace("results: precision", f"```text\n{told}\n```")
