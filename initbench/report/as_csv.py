"""CSV: one row a run, with the accuracy in full precision, for other programs to compute on."""

from __future__ import annotations

import csv
import io

from initbench.report import exporter
from initbench.results import Comparison

HEADER = ("scheme", "seed", "status", "test_accuracy", "run_id", "dataset", "stand_in_for", "device")


@exporter("csv")
def as_csv(comparison: Comparison) -> str:
    """Return HEADER and a row for each run; what is not there (the accuracy of a diverged run) is empty."""
    data = comparison.dataset
    rows = (
        (scheme.scheme, run.seed, run.status, run.test_accuracy, run.run_id, data.name, data.stand_in_for)
        for scheme in comparison.schemes
        for run in scheme.runs
    )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows((*row, comparison.device) for row in rows)
    return text.getvalue()
