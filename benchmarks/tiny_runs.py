"""A comparison of 1,000 small runs: what each costs beyond its training, and how much memory they take.

The config is that of configs/smoke.yaml with one epoch. The overhead of a run is (wall x workers - the sum of the runs'
train_s) / runs: once from the plan to the last stored run, the start of the workers included, and once from when a
tenth of the runs are stored, as each worker is at work by then. Initialization, which no training can do without, is
part of it, and shown. Memory is read from /proc (Linux only) while it runs: the resident set of the command's process
and of its largest worker; PSS, which counts a shared page once, of all together.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from growth import Panel
from matplotlib.axes import Axes

from initbench.report.plots.figure import colour, quiet

RUNS = 1_000
EPOCHS = 1
PERIOD_S = 0.25  # between two looks at the memory
SMOKE = Path(__file__).parent.parent / "configs" / "smoke.yaml"
SHARES = (0.1, 0.5, 1.0)  # of the runs, at which memory is told
MIB = 1 / 1024  # of the kB of /proc
COMPARE = """
import json, sys, time
import initbench
from initbench.events import Planned, RunDone

def main():
    config, dataset, seeds, epochs, jobs, runs_dir = json.loads(sys.argv[1])
    found = {"planned": 0.0, "ends": [], "train_s": [], "init_s": []}
    def note(event):
        if isinstance(event, Planned):
            found["planned"] = time.monotonic()
        elif isinstance(event, RunDone):
            found["ends"].append(time.monotonic())
            found["train_s"].append(event.result.train_s)
            found["init_s"].append(event.result.init_s)
    overrides = [f"data.name={dataset}", f"train.epochs={epochs}", "device=cpu", "data.fallback=none"]
    loaded = initbench.load_config(config, overrides)
    initbench.compare(["xavier", "he"], config=loaded, seeds=seeds, jobs=jobs, runs_dir=runs_dir, emit=note)
    print(json.dumps(found))

if __name__ == "__main__":
    main()
"""


@dataclass(frozen=True)
class Memory:
    """One look, in MiB: the resident set of the command's process, and of the largest other one; PSS of all."""

    at: float  # of time.monotonic()
    parent: float
    worker: float
    pss: float


@dataclass(frozen=True)
class Tiny:
    """What was found: when the plan was there and each run ended, what each run says of itself, and the memory."""

    jobs: int
    planned: float
    ends: Sequence[float]
    train_s: Sequence[float]
    init_s: Sequence[float]
    memory: Sequence[Memory] = field(repr=False)

    @property
    def overhead_ms(self) -> float:
        """Return the milliseconds a run beyond its training, the start of the workers included."""
        wall = self.ends[-1] - self.planned
        return 1000 * (wall * self.jobs - sum(self.train_s)) / len(self.ends)

    @property
    def tenth(self) -> int:
        """Return a tenth of the runs, one at least."""
        return max(1, len(self.ends) // 10)

    @property
    def later_overhead_ms(self) -> float:
        """Return the same of the runs that ended after the first tenth."""
        wall, later = self.ends[-1] - self.ends[self.tenth - 1], self.train_s[self.tenth :]
        return 1000 * (wall * self.jobs - sum(later)) / len(later)

    @property
    def init_ms(self) -> float:
        """Return the milliseconds of a run's initialization, after the first tenth."""
        return 1000 * _mean(self.init_s[self.tenth :])

    def memory_at(self, share: float) -> Memory:
        """Return the last look at the memory before this share of the runs had ended."""
        moment = self.ends[max(0, round(share * len(self.ends)) - 1)]
        return next(look for look in reversed(self.memory) if look.at <= moment)


def measure(dataset: str, runs: int, jobs: int) -> Tiny:
    """Make the comparison in a process of its own, with a runs folder that is new, and watch its memory."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "compare.py"  # a file: workers import the main module
        script.write_text(COMPARE, encoding="utf-8")
        given = json.dumps([str(SMOKE), dataset, runs // 2, EPOCHS, jobs, str(Path(folder) / "runs")])
        words = [sys.executable, str(script), given]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603
            looks: list[Memory] = []
            watcher = threading.Thread(target=_watch, args=(process, looks), daemon=True)
            watcher.start()
            out, err = process.communicate()
            watcher.join()
    if process.returncode:
        raise RuntimeError(f"the comparison of {runs} small runs ended with {process.returncode}:\n{err}")
    found = json.loads(out)
    print(f"{runs} small runs, -j {jobs}: {found['ends'][-1] - found['planned']:.1f} s", file=sys.stderr, flush=True)
    return Tiny(jobs, found["planned"], found["ends"], found["train_s"], found["init_s"], looks)


def _watch(process: subprocess.Popen[str], looks: list[Memory]) -> None:
    """Look at the memory every PERIOD_S while `process` lives."""
    while process.poll() is None:
        with contextlib.suppress(OSError):  # it, or a worker, ended while it was looked at
            looks.append(look(process.pid))
        time.sleep(PERIOD_S)


def look(parent: int) -> Memory:
    """Return the memory of a process and its children now; raises OSError where /proc has none."""
    own, children = _kilobytes(parent), [_kilobytes(child) for child in descendants(parent)]
    return Memory(
        at=time.monotonic(),
        parent=MIB * own["Rss"],
        worker=MIB * max((child["Rss"] for child in children), default=0),
        pss=MIB * sum(one["Pss"] for one in (own, *children)),
    )


def descendants(parent: int) -> list[int]:
    """Return the processes that `parent`, and its children, started and that live."""
    found: list[int] = []
    for task in Path(f"/proc/{parent}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found += [child, *descendants(child)]
    return found


def _kilobytes(pid: int) -> dict[str, int]:
    """Return Rss and Pss of a process."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = {name: int(size) for name, size in re.findall(r"^(Rss|Pss):\s+(\d+) kB", text, re.MULTILINE)}
    return {"Rss": 0, "Pss": 0} | found  # of a process that has just ended it says nothing


def lines(found: Sequence[Tiny]) -> list[str]:
    """Return overhead and memory of each comparison."""
    shown = []
    for tiny in found:
        shown.append(
            f"{len(tiny.ends):,} small runs, -j {tiny.jobs}: {1000 * _mean(tiny.train_s):.1f} ms of training a run;"
            f" beyond it {tiny.overhead_ms:.1f} ms a run, after the first tenth {tiny.later_overhead_ms:.1f} ms,"
            f" of which {tiny.init_ms:.1f} ms initialization"
        )
        for share in SHARES:
            at = tiny.memory_at(share)
            shown.append(
                f"  at {100 * share:3.0f} % of the runs: the command {at.parent:,.0f} MiB"
                + (f", its largest worker {at.worker:,.0f} MiB" if at.worker else "")
                + f", together {at.pss:,.0f} MiB (PSS)"
            )
    return shown


def panels(found: Sequence[Tiny]) -> list[Panel]:
    """Return the memory of the command and of its workers, by runs that ended."""
    return [Panel(_drawer(found))]


def _drawer(found: Sequence[Tiny]) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        quiet(axes)
        for index, tiny in enumerate(found):
            looks = [one for one in tiny.memory if tiny.planned <= one.at <= tiny.ends[-1]]
            done = [sum(end <= one.at for end in tiny.ends) for one in looks]
            axes.plot(done, [one.parent for one in looks], color=colour(index), label=f"-j {tiny.jobs}, the command")
            if any(one.worker for one in looks):
                label = f"-j {tiny.jobs}, its largest worker"
                axes.plot(done, [one.worker for one in looks], color=colour(index), linestyle="--", label=label)
        axes.set_ylim(bottom=0)
        axes.set_title("resident memory", fontsize=10)
        axes.set_xlabel("runs that ended", fontsize=8)
        axes.set_ylabel("MiB", fontsize=8)
        axes.legend(fontsize=7, frameon=False)

    return draw


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
