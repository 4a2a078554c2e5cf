"""An inspection for other programs: one strict JSON document, or CSV with one number a row."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from initbench.report.as_csv import cell
from initbench.results import Inspection, SignalReport, document

HEADER = ("scheme", "part", "name", "quantity", "index", "value")
PERCENTS = (5, 25, 50, 75, 95)  # of Spectrum.percentiles: their index

Row = tuple[str, str, str, str, int | str, str]


def inspection_document(inspection: Inspection) -> str:
    """Return the JSON that schema/inspect-v1.json describes: indent 2, no NaN, a newline at the end."""
    return document(inspection.model_dump(mode="json"))


def inspection_csv(inspection: Inspection) -> str:
    """Return HEADER and a row for each number and text of the reports; the config is in the JSON document only.

    `part` is layer, weight, network, theory or verdict; `name` the layer's or the weight's. A quantity within another
    is written histogram.counts; `index` is a position, from 0 (of jacobian.percentiles: the percent). Floats have all
    their digits, so that they read back the same; what is None is empty; texts are `cell`s. A report without theory
    has no theory rows.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for report in inspection.reports:
        writer.writerows(_rows(inspection, report))
    return text.getvalue()


def _rows(inspection: Inspection, report: SignalReport) -> Iterator[Row]:
    facts = report.model_dump(
        mode="json", exclude={"schema_version", "scheme", "layers", "weights", "theory", "verdicts"}
    )
    whole = inspection.model_dump(mode="json", include={"device", "dataset", "parameters"})
    parts: list[tuple[str, str, dict[str, Any]]] = [
        ("network", "", whole | facts),
        *(("layer", row.name, row.model_dump(mode="json", exclude={"name"})) for row in report.layers),
        *(("weight", row.name, row.model_dump(mode="json", exclude={"name"})) for row in report.weights),
        *([("theory", "", report.theory.model_dump(mode="json"))] if report.theory else []),
    ]
    for part, name, record in parts:
        for quantity, index, value in _values(record):
            yield cell(report.scheme or ""), part, cell(name), quantity, index, value
    for index, verdict in enumerate(report.verdicts):
        yield cell(report.scheme or ""), "verdict", "", "kind", index, verdict.kind
        yield cell(report.scheme or ""), "verdict", "", "text", index, cell(verdict.text)


def _values(record: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, int | str, str]]:
    """Yield the quantity, index and value of everything in `record`."""
    for key, value in record.items():
        if isinstance(value, dict):
            yield from _values(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            places = PERCENTS if key == "percentiles" else range(len(value))
            yield from ((prefix + key, place, _text(item)) for place, item in zip(places, value, strict=True))
        else:
            yield prefix + key, "", _text(value)


def _text(value: object) -> str:
    """Return a value as JSON writes it, text without quotes and as a `cell`, nothing for None."""
    if value is None:
        return ""
    return cell(value) if isinstance(value, str) else json.dumps(value, allow_nan=False)
