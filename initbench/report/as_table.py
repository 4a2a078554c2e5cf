"""A comparison as the plain text of what the terminal shows, 120 columns wide."""

from __future__ import annotations

import io

from initbench.report import exporter
from initbench.report.page import Page
from initbench.report.terminal import comparison_view
from initbench.results import Comparison

WIDTH = 120


@exporter("table")
def as_table(comparison: Comparison) -> str:
    """Return the table, the verdicts and the warnings without colours."""
    page = Page(file=io.StringIO(), record=True, width=WIDTH, highlight=False)
    page.print(comparison_view(comparison))
    return page.export_text()
