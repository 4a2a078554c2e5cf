"""Markdown: the scheme table and the verdicts, for a README or an issue."""

from __future__ import annotations

import re

from initbench.report import cells, exporter
from initbench.results import Comparison, printable

# only where Markdown would read markup: "xavier_uniform" and "[97.71, 97.89]" stay readable in the source too
_SPECIAL = re.compile(
    r"[\\`*<>#|~$&]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|\](?=[(\[:])|:(?=//)|(?<=www)\."  # the last two: bare links
)
_START = re.compile(r"\A([0-9]{0,9})([-+.)])(?= )")  # of a list within the list
_ITSELF = r"\1\\\2"


@exporter("md", aliases=("markdown",))
def as_markdown(comparison: Comparison) -> str:
    """Return a pipe table with its caption above, and verdicts, warnings and method below it."""
    columns = cells.columns(comparison)
    table = [
        _row([column.heading for column in columns]),
        "|" + "|".join([" :--- ", *[" ---: "] * (len(columns) - 1)]) + "|",
        *(_row(list(row)) for row in zip(*(column.cells for column in columns), strict=True)),
    ]
    verdicts = [f"- {_START.sub(_ITSELF, escape(pair.verdict))}" for pair in comparison.pairs]
    warnings = [f"- **warning:** {escape(warning)}" for warning in comparison.warnings]
    blocks = [[f"{escape(cells.caption(comparison))}."], table, verdicts, warnings, [escape(cells.method(comparison))]]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def escape(text: str) -> str:
    """Return `text` so that Markdown shows it as it is: on one line, no markup, no cell borders."""
    return _SPECIAL.sub(r"\\\g<0>", " ".join(printable(text).split()))


def _row(texts: list[str]) -> str:
    return "| " + " | ".join(map(escape, texts)) + " |"
