"""The JSON schemas that are shipped with initbench, made from the records: `python -m initbench.report.schemas`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from initbench.atomic import write_atomically
from initbench.results import SCHEMA_VERSION, Comparison, Inspection, Record, RunResult

FOLDER = Path(__file__).parent / "schema"
DIALECT = "https://json-schema.org/draft/2020-12/schema"

RECORDS: dict[str, tuple[type[Record], str]] = {
    "run": (RunResult, "initbench: one run"),
    "compare": (Comparison, "initbench: a comparison"),
    "inspect": (Inspection, "initbench: an inspection"),
}


def schema_text(record: type[Record]) -> str:
    """Return the JSON Schema (2020-12) of the documents that `record`, one of RECORDS, is written as.

    Every key is required, because a document always has them all; no other key is allowed.
    """
    name, title = next((name, title) for name, (known, title) in RECORDS.items() if known is record)
    schema = record.model_json_schema(mode="serialization")
    head = {"$schema": DIALECT, "$id": f"urn:initbench:schema:{name}:{SCHEMA_VERSION}", "title": title}
    return json.dumps(head | _all_required({**schema, "title": title}), indent=2) + "\n"


def shipped_path(name: str) -> Path:
    """Return where the schema "run", "compare" or "inspect" of this version is shipped."""
    return FOLDER / f"{name}-v{SCHEMA_VERSION}.json"


def rewrite() -> None:
    """Write the shipped schema files anew from the records."""
    for name, (record, _) in RECORDS.items():
        write_atomically(shipped_path(name), schema_text(record))


def _all_required(node: Any) -> Any:
    """Return the schema `node` with every property of every object in it required."""
    if isinstance(node, list):
        return [_all_required(item) for item in node]
    if not isinstance(node, dict):
        return node
    inner = {key: _all_required(value) for key, value in node.items()}
    return {**inner, "required": list(inner["properties"])} if "properties" in inner else inner


if __name__ == "__main__":
    rewrite()
