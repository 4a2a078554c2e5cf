"""JSON: the whole comparison, or the whole run, as one strict document (no NaN, every key always there)."""

from __future__ import annotations

from initbench.report import exporter
from initbench.results import Comparison, RunResult
from initbench.results import document as json_document


@exporter("json")
def as_json(comparison: Comparison) -> str:
    """Return `comparison` as the JSON document that schema/compare-v1.json describes."""
    return document(comparison)


def document(record: RunResult | Comparison) -> str:
    """Return `record` as one strict JSON document, whose schema is shipped in report/schema."""
    return json_document(record.model_dump(mode="json"))
