"""The rounds of benchmarks/throughput.py: every contestant in a process of its own, A B C ... A B C ..., and the table.

Ratios are taken round by round, between contestants that were measured one after the other.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rivals import CONTESTANTS, Contestant, Precision
from rivals.recipe import Measured, Recipe

TITLE, WORKERS, RATE, SECONDS, RATIO, START = 39, 12, 24, 9, 12, 16  # widths of the columns
Rounds = Mapping[str, Sequence[Measured]]  # by contestant, a measurement a round


class Ratio(NamedTuple):
    """One contestant's rate over the best of some others'; `target` is what initbench is to reach, if anything."""

    over: str
    under: tuple[str, ...]
    words: str
    target: float | None = None


RATIOS = (
    Ratio("compare-2", ("tutorial",), "compare -j 2 / tutorial loop", 8),
    Ratio("compare-2", ("jax", "jax-vmap"), "compare -j 2 / better of JAX scan, vmap", 1.5),
    Ratio("compare-2", ("products-2",), "compare -j 2 / products, 2 processes", 0.65),
    Ratio("compare-2", ("compare-1",), "compare -j 2 / compare -j 1", 1.8),
    Ratio("initbench-bf16", ("initbench",), "initbench bfloat16 / float32", 1.5),
    Ratio("compare-2", ("jax-devices",), "compare -j 2 / JAX, a CPU device a core"),
    Ratio("command-2", ("tutorial",), "compare -j 2, all of it / tutorial loop"),
    Ratio("command-2", ("command-1",), "compare -j 2 / -j 1, all of it"),
    Ratio("initbench", ("memory-1",), "initbench / torch by hand, 1 thread"),
    Ratio("initbench", ("products-1",), "initbench / products, 1 process"),
    Ratio("initbench-bf16", ("products-1-bf16",), "initbench bfloat16 / its products, 1 process"),
    Ratio("stacked", ("initbench",), "initbench stacked / sequential"),
)


def measure(names: Iterable[str], recipe: Recipe, rounds: int, least_accuracy: float) -> Rounds:
    """Measure the contestants, interleaved; raises RuntimeError for one that fails, or that does not learn."""
    found: dict[str, list[Measured]] = {name: [] for name in names}
    for number in range(rounds):
        for name, measured in found.items():
            measured.append(once(name, dataclasses.replace(recipe, seed=recipe.seed + number), least_accuracy))
            told = f"round {number + 1}/{rounds}: {name}: {measured[-1].rate:.3f} replica-epochs/s"
            print(told, file=sys.stderr, flush=True)
    return found


def once(name: str, recipe: Recipe, least_accuracy: float) -> Measured:
    """Measure one contestant in a new process."""
    paths = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    words = [sys.executable, "-m", "rivals", name, json.dumps(dataclasses.asdict(recipe)), repr(time.monotonic())]
    ended = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)  # noqa: S603
    if ended.returncode:
        raise RuntimeError(f"contestant {name!r} failed:\n{ended.stderr}")
    measured = Measured(**json.loads(ended.stdout.splitlines()[-1]))
    if measured.accuracy is not None and not measured.accuracy > least_accuracy:
        raise RuntimeError(
            f"contestant {name!r} does not learn: test accuracy {measured.accuracy:.4f} after {recipe.epochs} epochs,"
            f" expected more than {least_accuracy}. Its throughput means nothing."
        )
    return measured


def available(
    contestants: Mapping[str, Contestant], supports: Callable[[Precision], bool]
) -> tuple[list[str], list[str]]:
    """Return who can be measured here, and a line for each who cannot: a package or the precision is missing."""
    names, missing = [], []
    for name, contestant in contestants.items():
        if importlib.util.find_spec(contestant.package) is None:
            missing.append(f"{contestant.title}: not measured, no package {contestant.package} (extra `bench`)")
        elif not supports(contestant.precision):
            missing.append(f"{contestant.title}: not measured, this processor has no {contestant.precision} products")
        else:
            names.append(name)
    return names, missing


def table(rounds: Rounds) -> list[str]:
    """Return a line for each contestant, under a line that names the columns."""
    head = f"{'median [min, max]':{TITLE}}{'workers':{WORKERS}}{'replica-epochs/s':>{RATE}}{'s each':>{SECONDS}}"
    tutorial = "x tutorial" if "tutorial" in rounds else ""
    lines = [f"{head}{tutorial:>{RATIO}}{'start s':>{START // 2}}{'warm s':>{START // 2}}"]
    for name, measured in rounds.items():
        rates = [one.rate for one in measured]
        ratio = f"{statistics.median(ratios(rounds, name, ('tutorial',))):.2f}" if tutorial else ""
        lines.append(
            f"{CONTESTANTS[name].title:{TITLE}}{CONTESTANTS[name].workers:{WORKERS}}{spread(rates, 3):>{RATE}}"
            f"{1 / statistics.median(rates):>{SECONDS}.3f}{ratio:>{RATIO}}{_apart(measured)}"
        )
    return lines


def _apart(measured: Sequence[Measured]) -> str:
    """Return the medians of what is no part of the rate: the start, and the warm-up; blank where nothing is apart."""
    cells = []
    for values in ([one.start_s for one in measured], [one.warm_up_s for one in measured]):
        known = [value for value in values if value is not None]
        cells.append(f"{statistics.median(known):{START // 2}.1f}" if known else " " * (START // 2 - 1) + "-")
    return "".join(cells)


def targets(rounds: Rounds) -> list[str]:
    """Return a line for each ratio whose contestants were measured, beside its target."""
    lines = []
    for ratio in RATIOS:
        if not {ratio.over, *ratio.under} <= rounds.keys():
            continue
        found = ratios(rounds, ratio.over, ratio.under)
        line = f"{ratio.words:{TITLE + WORKERS}}{spread(found, 2):>{RATE}}"
        lines.append(line + (f"   {verdict(statistics.median(found), ratio.target)}" if ratio.target else ""))
    return lines


def verdict(median: float, target: float) -> str:
    """Return whether the median reaches the target, in words."""
    return f"target {target:g}: {'met' if median >= target else 'not met'}"


def ratios(rounds: Rounds, over: str, under: Sequence[str]) -> list[float]:
    """Return, round by round, the rate of `over` divided by the best of `under`."""
    best = [max(one.rate for one in others) for others in zip(*(rounds[name] for name in under), strict=True)]
    return [one.rate / other for one, other in zip(rounds[over], best, strict=True)]


def spread(values: Sequence[float], digits: int) -> str:
    """Return median, minimum and maximum."""
    return f"{statistics.median(values):.{digits}f} [{min(values):.{digits}f}, {max(values):.{digits}f}]"
