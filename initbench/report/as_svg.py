"""A comparison as a picture of what the terminal shows, for a README or a slide."""

from __future__ import annotations

import io
import re

from initbench.report import exporter
from initbench.report.page import Page
from initbench.report.terminal import comparison_view
from initbench.results import Comparison

WIDTH = 84


@exporter("svg")
def as_svg(comparison: Comparison) -> str:
    """Return the table, the verdicts and the warnings as an SVG image of a terminal window."""
    page = Page(file=io.StringIO(), record=True, width=WIDTH, force_terminal=True, highlight=False)
    page.print(comparison_view(comparison))
    picture = page.export_svg(title="initbench compare", unique_id="initbench")
    return re.sub(r",\s*url\([^)]*\) format\([^)]*\)", "", picture)  # Rich's fonts: a picture fetches nothing
