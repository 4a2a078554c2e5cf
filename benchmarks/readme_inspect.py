"""Inspect what README shows, and write its tables and its picture anew: `make inspections` (about two minutes)."""

from __future__ import annotations

import io
import os
from pathlib import Path

import inspection
from readme import replace
from rich.console import Console

from initbench.inspection import inspect_schemes
from initbench.report.plots.figure import save
from initbench.report.plots.inspection import inspection_figure
from initbench.report.signals_export import inspection_csv
from initbench.report.signals_view import inspection_view
from initbench.results import Inspection

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "benchmarks" / "sigmoid-histograms.svg"
WIDTH = 100
GLOROT = {
    "model": {"hidden": {"width": 1000, "depth": 5}, "activation": "tanh"},
    "init": {"bias": "zeros"},
    "data": {"fallback": "none"},
}
GLOROT_COMMAND = (
    "initbench inspect --schemes default,xavier --set model.activation=tanh"
    " --set 'model.hidden={width: 1000, depth: 5}' --set init.bias=zeros --format csv | grep jacobian_mean"
)


def main() -> None:
    """Inspect, and replace the tables."""
    os.chdir(ROOT)
    sigmoid = inspect_schemes("configs/sigmoid-histograms.yaml")
    save(inspection_figure(sigmoid), PICTURE)
    replace("inspect: sigmoid", f"```text\n{shortened(sigmoid)}\n```")
    replace("inspect: glorot", glorot())
    replace("inspect: cost", f"```text\n{inspection.report(rounds=5)}\n```")


def shortened(found: Inspection) -> str:
    """Return the terminal's view: the histograms, the table of one scheme, the verdicts."""
    page = Console(file=io.StringIO(), width=WIDTH, highlight=False, color_system=None)
    page.print(inspection_view(found))
    text = page.file.getvalue()  # type: ignore[attr-defined] # it is a StringIO
    sections = [text.index(f"\n{report.scheme}\n") for report in found.reports]
    verdicts = text.index(f"\n{found.reports[0].scheme}: ")
    lines = f"{text[: sections[0]]}{text[sections[2] : sections[3]]}\n[...]\n{text[verdicts:]}".splitlines()
    return "\n".join(line.rstrip() for line in lines).rstrip()


def glorot() -> str:
    """Return the command and the mean singular values."""
    found = inspect_schemes(GLOROT, schemes=["default", "xavier"])
    means = "\n".join(line for line in inspection_csv(found).splitlines() if "jacobian_mean" in line)
    return f"```sh\n{GLOROT_COMMAND}\n```\n\n```text\n{means}\n```"


if __name__ == "__main__":
    main()
