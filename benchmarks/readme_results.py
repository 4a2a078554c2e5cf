"""Train what README shows and write its tables and its picture anew: `make results` (about two hours on 2 cores).

Runs that runs/ holds already are not trained again.
"""

from __future__ import annotations

import argparse
import os
import platform
from pathlib import Path
from typing import NamedTuple

import rbm
import torch
from readme import replace

import initbench
from initbench.atomic import write_atomically
from initbench.environment import cpu_model
from initbench.report import cells, render
from initbench.results import Comparison
from initbench.schemes import parse

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "benchmarks" / "compare.svg"
JOBS = os.cpu_count() or 1
SEEDS = {"xavier": 10, "he": 10, "normal": 10}  # the three that the comparison trains anyway
FEWER_SEEDS = 5


class Experiment(NamedTuple):
    """A comparison on a config that was made for it."""

    config: str
    schemes: tuple[str, ...]
    overrides: tuple[str, ...] = ()
    seeds: int = 10


RECURRENT = ("xavier", "orthogonal_recurrent", "irnn")
EXPERIMENTS = {
    "recurrent relu": Experiment("recurrent.yaml", RECURRENT),
    "recurrent tanh": Experiment("recurrent.yaml", RECURRENT, ("model.activation=tanh",)),
    "recurrent relu, all images": Experiment("recurrent.yaml", RECURRENT, ("data.limit=null",)),
    "recurrent tanh, all images": Experiment("recurrent.yaml", RECURRENT, ("data.limit=null", "model.activation=tanh")),
    "deep cnn": Experiment("deep-cnn.yaml", ("xavier_normal", "delta_orthogonal", "dirac"), seeds=8),
    "dbn": Experiment("dbn.yaml", ("dbn", "normal:std=0.01", "xavier")),
    "deep relu": Experiment("deep-relu.yaml", ("he_normal", "lsuv", "gsm")),
}


def main() -> None:
    """Train, and replace the tables that are asked for, or all: two hours on two cores."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--only", choices=["rbm", "compare", "experiments", "configs"], help="this part of them")
    only = parser.parse_args().only
    os.chdir(ROOT)
    for name, part in {"rbm": boltzmann, "compare": main_table, "experiments": experiments, "configs": configs}.items():
        if only in (None, name):
            part()


def boltzmann() -> None:
    """Replace the timing of the restricted Boltzmann machine."""
    replace("results: rbm", f"```text\n{rbm.report(5, rbm.Budget(iterations=10, images=10_000, batch_size=10))}\n```")


def main_table() -> None:
    """Replace README's first table and its picture."""
    comparison = initbench.compare(["xavier", "he", "normal"], config={"data": {"fallback": "none"}}, jobs=JOBS)
    write_atomically(PICTURE, render(comparison, "svg"))
    replace("results: compare", f"```text\n{render(comparison, 'table').rstrip()}\n```\n\n{machine()}")


def experiments() -> None:
    """Replace the comparisons on configs that were made for them."""
    for name, experiment in EXPERIMENTS.items():
        replace(f"results: {name}", compared(experiment))
    replace("results: machine", machine())


def configs() -> None:
    """Replace the table of the configs."""
    shown_elsewhere = {experiment.config for experiment in EXPERIMENTS.values()}
    paths = sorted((ROOT / "configs").glob("*.yaml"))
    to_train = [path for path in paths if not initbench.load_config(path).inspect.schemes]
    rows = [config_row(path) for path in to_train if path.name not in shown_elsewhere]
    head = "| config | what it is | n | test accuracy, % [95 % interval] | s per run |\n|---|---|---|---|---|"
    replace("results: configs", "\n".join([head, *rows]) + f"\n\n{machine()}")


def compared(experiment: Experiment) -> str:
    """Return the command of one experiment, and the table that it printed."""
    config = initbench.load_config(ROOT / "configs" / experiment.config, [*experiment.overrides, "data.fallback=none"])
    comparison = initbench.compare(experiment.schemes, config=config, seeds=experiment.seeds, jobs=JOBS)
    command = f"initbench compare --config configs/{experiment.config} --schemes {','.join(experiment.schemes)}"
    options = "".join(f" --set {override}" for override in experiment.overrides)
    seeds = "" if experiment.seeds == Experiment._field_defaults["seeds"] else f" --seeds {experiment.seeds}"
    return f"```sh\n{command}{options}{seeds}\n```\n\n```text\n{render(comparison, 'table').rstrip()}\n```"


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


if __name__ == "__main__":
    main()
