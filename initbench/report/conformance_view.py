"""What the conformance checks found, in the terminal and as JSON: one scheme in full, or a line for each of many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from initbench.conformance import DEFINED, Checked, Finding
from initbench.report.terminal import Line, SchemeName
from initbench.results import document as json_document

VERDICTS: dict[bool | None, tuple[str, str]] = {True: ("pass", "green"), False: ("FAIL", "bold red"), None: ("", "dim")}
NOTE = "Lines without a verdict are for information: nothing is claimed there."


def summary_view(checked: Sequence[Checked]) -> RenderableType:
    """Return a line for each scheme, the findings that failed, and the result."""
    table = _table("scheme", "tried on", "checks", "failed")
    for column in table.columns[1:]:
        column.justify, column.no_wrap = "right", True
    for one in checked:
        style = "bold red" if one.failed else ""
        table.add_row(SchemeName(one.scheme), str(one.subjects), str(one.checks), str(len(one.failed)), style=style)
    failures = [_failures(one) for one in checked if one.failed]
    return Group(table, *failures, Text(), _result(checked))


def full_view(checked: Sequence[Checked]) -> RenderableType:
    """Return all findings of each scheme, and the result."""
    parts: list[RenderableType] = []
    for one in checked:
        parts += [Text(one.scheme, "bold cyan"), _findings(one.findings), Text()]
    return Group(*parts, Line(NOTE, "dim", indent=""), _result(checked))


def document(checked: Sequence[Checked]) -> str:
    """Return everything as one strict JSON document."""
    schemes = [
        {
            "scheme": one.scheme,
            "subjects": one.subjects,
            "checks": one.checks,
            "failed": len(one.failed),
            "findings": [asdict(finding) for finding in one.findings],
        }
        for one in checked
    ]
    return json_document({"schemes": schemes})


def _failures(one: Checked) -> RenderableType:
    return Group(Text(), Text(one.scheme, "bold cyan"), _findings(one.failed))


def _findings(findings: Sequence[Finding]) -> Table:
    """Return a block for each subject, a row for each of its properties; last those that it is not defined on."""
    table = _table("checked", "claimed", "measured", "")
    table.columns[0].no_wrap = table.columns[3].no_wrap = True
    left_out = [finding for finding in findings if finding.property == DEFINED and finding.passed is None]
    tried = [finding for finding in findings if finding not in left_out]
    for subject in dict.fromkeys(finding.subject for finding in tried):
        table.add_row(Text(subject, "bold"))
        for finding in tried:
            if finding.subject == subject:
                table.add_row(*_cells(finding))
    if left_out:
        table.add_row(Text("not defined on", "bold"))
    for finding in left_out:
        table.add_row(*_cells(replace(finding, property=finding.subject)))
    return table


def _cells(finding: Finding) -> tuple[Text, ...]:
    verdict, style = VERDICTS[finding.passed]
    inner = "" if finding.passed else style
    return (
        Text(f"  {finding.property}", inner),
        Text(finding.claimed, inner, overflow="fold"),
        Text(finding.measured, inner, overflow="fold"),
        Text(verdict, style),
    )


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading)
    return table


def _result(checked: Sequence[Checked]) -> Text:
    checks, failed = sum(one.checks for one in checked), sum(len(one.failed) for one in checked)
    what = checked[0].scheme if len(checked) == 1 else f"{len(checked)} schemes"
    if failed:
        return Text(f"{what}: {failed:,} of {checks:,} checks failed", "bold red")
    return Text(f"{what}: all {checks:,} checks passed", "bold green")
