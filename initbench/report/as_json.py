"""JSON: the whole comparison, or the whole run, as one strict document (no NaN, every key always there)."""

from __future__ import annotations

import json

from initbench.report import exporter
from initbench.results import Comparison, RunResult


@exporter("json")
def as_json(comparison: Comparison) -> str:
    """Return `comparison` as the JSON document that schema/compare-v1.json describes."""
    return document(comparison)


def document(record: RunResult | Comparison) -> str:
    """Return `record` as JSON: indent 2, no NaN, a newline at the end. Its schema is shipped in report/schema."""
    return json.dumps(record.model_dump(mode="json"), indent=2, allow_nan=False, ensure_ascii=False) + "\n"
