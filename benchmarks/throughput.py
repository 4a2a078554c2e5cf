"""Replica-epochs per second of the default recipe: initbench beside what one would use instead, in one run.

The recipe: 784-256-256-10 with ReLU on MNIST, batch 100, Adam 1e-3, float32. A replica-epoch is one epoch of one
network, 600 steps on the 60,000 training images, and its evaluation on the 10,000 test images. Every contestant
(benchmarks/rivals) does this, in a process of its own; rounds are interleaved, A B C ... A B C ...; medians and ratios
are over the rounds. Imports, reading the images, building and a warm-up (a few steps; where something is compiled, the
compilation and an epoch) come before the clock, and are shown apart. Who does not learn is an error.

    python benchmarks/throughput.py [--rounds 3] [--epochs 2] [--only tutorial,jax,compare-2]
    python benchmarks/throughput.py --scaling --tiny [--plot benchmarks/scaling.svg]

`--scaling` measures how the cost of `initbench compare` grows with runs and with epochs, `--tiny` what a run costs
beyond its training in a comparison of 1,000 small ones, and its memory; `--table` adds the table to these. `--quick`
takes few images and one round of everything: it shows that the benchmark works, and measures nothing. Needs the extra
`bench`. Nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import tempfile
from pathlib import Path
from typing import Literal, get_args

import growth
import throughput_rounds
import tiny_runs
import torch
from matplotlib.figure import Figure
from readme import replace
from rivals import CONTESTANTS, CORES, Precision
from rivals.recipe import Recipe, store

from initbench import data
from initbench.environment import cpu_model
from initbench.report.plots.figure import save
from initbench.training.precision import supports

PICTURE = Path(__file__).parent / "scaling.svg"
PACKAGES = ("torch", "torchvision", "jax", "keras", "scikit-learn", "numpy", "initbench")
QUICK_IMAGES, LEAST_ACCURACY, LEAST_QUICK_ACCURACY = 2_000, 0.9, 0.5
QUICK_RUNS = 20  # instead of 1,000

Part = Literal["table", "scaling", "tiny"]


def main() -> None:
    """Measure what was asked for, and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how many (default: 3)")
    parser.add_argument("--epochs", type=int, default=4, help="that are measured in each round (default: 4)")
    parser.add_argument("--seeds", type=int, default=3, help="of each of the two schemes that compare trains")
    parser.add_argument("--only", help=f"comma-separated, of: {', '.join(CONTESTANTS)}")
    parser.add_argument("--dataset", default="mnist", help="mnist, or another one that initbench knows")
    parser.add_argument("--quick", action="store_true", help="check that it works; no measurement")
    for part in get_args(Part):
        parser.add_argument(f"--{part}", action="store_true", help="this part; without any: the table")
    parser.add_argument("--readme", action="store_true", help="put what is measured into README.md")
    parser.add_argument("--plot", type=Path, default=PICTURE, help="where the picture of --scaling and --tiny goes")
    given = parser.parse_args()
    parts: set[Part] = {part for part in get_args(Part) if getattr(given, part)} or {"table"}
    names = chosen(given.only)
    with tempfile.TemporaryDirectory() as folder:
        recipe = Recipe(
            folder=folder,
            dataset=given.dataset,
            limit=QUICK_IMAGES if given.quick else None,
            epochs=given.epochs,
            seeds=1 if given.quick else given.seeds,
            seed=0,
        )
        told = report(recipe, parts, names, 1 if given.quick else given.rounds, given.plot, given.quick)
    print(told)
    if given.readme:
        replace("results: throughput" if "table" in parts else "results: growth", f"```text\n{told}\n```")


def chosen(only: str | None) -> list[str]:
    """Return the contestants that were asked for; ends the program for an unknown one."""
    names = list(CONTESTANTS) if only is None else only.split(",")
    if unknown := [name for name in names if name not in CONTESTANTS]:
        raise SystemExit(f"unknown contestants {', '.join(unknown)}; allowed: {', '.join(CONTESTANTS)}")
    return names


def report(recipe: Recipe, parts: set[Part], names: list[str], rounds: int, picture: Path, quick: bool) -> str:
    """Measure the parts, draw the picture of those that have one, and return all as text."""
    lines = machine(recipe, rounds, quick)
    panels: list[growth.Panel] = []
    if "table" in parts:
        lines += ["", *comparison(recipe, names, rounds, quick)]
    if "scaling" in parts:
        found = growth.measure(recipe, rounds, growth.QUICK if quick else growth.FULL)
        lines += ["", *growth.lines(found)]
        panels += growth.panels(found)
    if "tiny" in parts:
        tiny = [tiny_runs.measure(recipe.dataset, QUICK_RUNS if quick else tiny_runs.RUNS, jobs) for jobs in (1, 2)]
        lines += ["", *tiny_runs.lines(tiny)]
        panels += tiny_runs.panels(tiny)
    if panels:
        save(drawn(panels), picture)
    return "\n".join(line.rstrip() for line in lines)


def machine(recipe: Recipe, rounds: int, quick: bool) -> list[str]:
    """Return what it is measured on, with what, and how often."""
    versions = ", ".join(f"{package} {version}" for package in PACKAGES if (version := version_of(package)))
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    images = f"{recipe.limit:,} images" if recipe.limit else "all images"
    return [
        f"{cpu_model()}, {CORES} cores, torch's default {torch.get_num_threads()} threads; {platform.platform()}",
        f"Python {platform.python_version()}, {versions}",
        f"784-256-256-10, ReLU, {recipe.dataset}, {images}, batch 100, Adam 1e-3; n={rounds} rounds of {recipe.epochs}"
        f" epochs; load average before {load}{'; --quick: the figures mean nothing' if quick else ''}",
    ]


def version_of(package: str) -> str | None:
    """Return the version of an installed package; None for one that is not."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def comparison(recipe: Recipe, names: list[str], rounds: int, quick: bool) -> list[str]:
    """Measure the contestants; return the table and the ratios."""
    store(data.load(recipe.dataset, fallback="none", limit=recipe.limit), Path(recipe.folder))
    here, missing = throughput_rounds.available({name: CONTESTANTS[name] for name in names}, supported)
    least = LEAST_QUICK_ACCURACY if quick else LEAST_ACCURACY
    found = throughput_rounds.measure(here, recipe, rounds, least)
    return [*throughput_rounds.table(found), *missing, "", *throughput_rounds.targets(found)]


def supported(precision: Precision) -> bool:
    """Return whether this processor computes products in `precision`."""
    return supports(precision, torch.device("cpu"))


def drawn(panels: list[growth.Panel]) -> Figure:
    """Return a picture with the panels side by side."""
    figure = Figure(figsize=(4.4 * len(panels), 3.4), layout="constrained")
    for panel, axes in zip(panels, figure.subplots(1, len(panels), squeeze=False)[0], strict=True):
        panel.draw(axes)
    return figure


if __name__ == "__main__":
    main()
