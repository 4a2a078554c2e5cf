from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from report import signal_builders as built

from initbench.report.schemas import shipped_path
from initbench.report.signals_export import HEADER, inspection_csv, inspection_document
from initbench.results import Inspection, SignalReport

CASES = list(built.INSPECTIONS)
LEFT_OUT = ("scheme", "schema_version")  # in every row; of the format


def rows_of(inspection: Inspection) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(inspection_csv(inspection))))


def numbers(node: Any) -> Iterator[float]:
    """Every number in a record, however deep."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from () if key in LEFT_OUT else numbers(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from numbers(value)
    elif isinstance(node, (int, float)) and not isinstance(node, bool):
        yield node


def read(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


@pytest.mark.parametrize("case", CASES)
def test_the_document_is_strict_valid_and_reads_back_equal(case: str) -> None:
    inspection = built.INSPECTIONS[case]()
    text = inspection_document(inspection)
    assert text.endswith("}\n")
    assert "NaN" not in text
    assert "Infinity" not in text
    schema = json.loads(shipped_path("inspect").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(json.loads(text))
    assert Inspection.model_validate_json(text) == inspection


@pytest.mark.parametrize("case", CASES)
def test_the_csv_has_every_number_exactly(case: str) -> None:
    inspection = built.INSPECTIONS[case]()
    shared = [*numbers(inspection.dataset.model_dump() if inspection.dataset else None), inspection.parameters]
    expected = Counter(number for report in inspection.reports for number in (*numbers(report.model_dump()), *shared))
    found = Counter(number for row in rows_of(inspection) if (number := read(row["value"])) is not None)
    assert found == expected


def test_the_csv_is_tidy() -> None:
    inspection = built.sigmoid()
    text = inspection_csv(inspection)
    assert text.splitlines()[0] == ",".join(HEADER)
    rows = rows_of(inspection)
    keys = [tuple(row[key] for key in HEADER[:-1]) for row in rows]
    assert len(set(keys)) == len(keys)
    assert {row["part"] for row in rows} == {"layer", "weight", "network", "theory", "verdict"}
    assert {row["scheme"] for row in rows} == {report.scheme for report in inspection.reports}


def cell(rows: list[dict[str, str]], scheme: str, part: str, name: str, quantity: str, index: str = "") -> str:
    wanted = {"scheme": scheme, "part": part, "name": name, "quantity": quantity, "index": index}
    (found,) = [row["value"] for row in rows if wanted.items() <= row.items()]
    return found


def test_a_number_is_found_by_its_names() -> None:
    rows, report = rows_of(built.sigmoid()), built.sigmoid().reports[0]
    layer = report.layers[1]
    assert layer.histogram is not None
    assert layer.theory is not None
    own = (report.scheme or "", "layer", "fc2")
    assert float(cell(rows, *own, "std")) == layer.std
    assert float(cell(rows, *own, "theory.pre_rms")) == layer.theory.pre_rms
    assert float(cell(rows, *own, "histogram.low")) == layer.histogram.low
    assert [int(cell(rows, *own, "histogram.counts", str(i))) for i in range(60)] == list(layer.histogram.counts)
    assert [float(cell(rows, *own, "jacobian.percentiles", p)) for p in ("5", "25", "50", "75", "95")] == [
        0.01, 0.1, 0.2, 0.31, 0.4,
    ]  # fmt: skip
    assert cell(rows, *own, "dead") == ""
    assert cell(rows, "normal:std=1", "weight", "fc1.weight", "used") == "true"
    assert cell(rows, "normal:std=1", "theory", "", "chi1") == "0.0679"
    assert cell(rows, "normal:std=1", "theory", "", "q") == ""
    assert cell(rows, "normal:std=1", "verdict", "", "kind", "1") == "gradient vanishes"
    assert cell(rows, "normal:std=1", "network", "", "loss") == "2.4121"


def test_stand_in_data_is_named_beside_the_numbers() -> None:
    assert cell(rows_of(built.relu()), "he_normal", "network", "", "dataset.stand_in_for") == "mnist"


@pytest.mark.parametrize(
    ("name", "read_back"),
    [
        (built.EVIL, built.EVIL),
        ('a "quoted", name', 'a "quoted", name'),
        ("two\nlines", "two lines"),
        ("=1+1", "'=1+1"),  # no formula
    ],
)
def test_any_name_reads_back(name: str, read_back: str) -> None:
    report: SignalReport = built.report(name, [built.layer(name, std=0.1)], [])
    rows = rows_of(built.inspection(report))
    assert cell(rows, read_back, "layer", read_back, "std") == "0.1"
