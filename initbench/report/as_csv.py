"""CSV: one row a run, with the accuracy in full precision, for other programs to compute on."""

from __future__ import annotations

import csv
import io

from initbench.report import exporter
from initbench.results import Comparison, printable

HEADER = ("scheme", "seed", "status", "test_accuracy", "run_id", "dataset", "stand_in_for", "device")
FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # what begins one; those of full width, too


@exporter("csv")
def as_csv(comparison: Comparison) -> str:
    """Return HEADER and a row for each run; what is not there (the accuracy of a diverged run) is empty."""
    data = comparison.dataset
    of_all = cell(data.name), data.stand_in_for and cell(data.stand_in_for), cell(comparison.device)
    rows = (
        (cell(scheme.scheme), run.seed, run.status, run.test_accuracy, cell(run.run_id), *of_all)
        for scheme in comparison.schemes
        for run in scheme.runs
    )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows(rows)
    return text.getvalue()


def cell(text: str) -> str:
    """Return a text that is no formula to a spreadsheet, on one line: after a "'" where it would begin one.

    Source: OWASP, "CSV Injection" (https://owasp.org/www-community/attacks/CSV_Injection).
    """
    line = printable(text)
    return f"'{line}" if line.lstrip().startswith(FORMULA) else line
