from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from report import signal_builders as signals
from report.builders import DIGITS, comparison, run_result

from initbench.report import render, schemas
from initbench.report.as_json import document
from initbench.report.signals_export import inspection_document

DOCUMENTS = {
    "run": [
        document(run_result()),
        document(run_result(dataset=DIGITS, run_dir="runs/he-0")),
        document(run_result(accuracy=None, status="diverged")),
        document(run_result(accuracy=None, status="failed")),
    ],
    "compare": [
        render(comparison(), "json"),
        render(comparison({"he": [0.97]}), "json"),
        render(comparison({"he": [None, 0.9], "zeros": [0.1135, None]}, dataset=DIGITS, warnings=("slow",)), "json"),
    ],
    "inspect": [
        inspection_document(signals.inspection(signals.simulated("he_normal", "relu", 0.14, depth=1), dataset=DIGITS)),
        inspection_document(signals.broken()),
    ],
}
CASES = [(name, text) for name, texts in DOCUMENTS.items() for text in texts]


def refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(schemas.shipped_path(name).read_text(encoding="utf-8")))


def objects(node: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The paths of all objects in a document, but for the free-form config."""
    if isinstance(node, list):
        return [found for index, item in enumerate(node) for found in objects(item, (*path, index))]
    if not isinstance(node, dict):
        return []
    inner = [found for key, item in node.items() if key != "config" for found in objects(item, (*path, key))]
    return [path, *inner]


def at(node: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        node = node[step]
    return node


@pytest.mark.parametrize("name", schemas.RECORDS)
def test_the_shipped_schema_is_current(name: str) -> None:
    shipped = schemas.shipped_path(name).read_text(encoding="utf-8")
    assert shipped == schemas.schema_text(schemas.RECORDS[name][0]), "run: python -m initbench.report.schemas"


@pytest.mark.parametrize("name", schemas.RECORDS)
def test_the_shipped_schema_is_a_schema_with_a_name_and_a_version(name: str) -> None:
    schema = json.loads(schemas.shipped_path(name).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"urn:initbench:schema:{name}:1"
    assert schema["properties"]["schema_version"]["const"] == 1


@pytest.mark.parametrize(("name", "text"), CASES)
def test_our_documents_are_valid(name: str, text: str) -> None:
    validator(name).validate(json.loads(text, parse_constant=refuse_constant))


@pytest.mark.parametrize(("name", "text"), CASES)
def test_a_key_too_many_or_too_few_is_refused_in_every_object(name: str, text: str) -> None:
    checks = validator(name)
    for path in objects(json.loads(text)):
        extra, missing = json.loads(text), json.loads(text)
        at(extra, path)["surprise"] = 1
        at(missing, path).popitem()
        assert not checks.is_valid(extra), path
        assert not checks.is_valid(missing), path


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_a_document_with_nan_is_refused(constant: str) -> None:
    text = document(run_result()).replace('"init_s": 0.01', f'"init_s": {constant}')
    assert constant in text
    with pytest.raises(ValueError, match="is not JSON"):
        json.loads(text, parse_constant=refuse_constant)
    with pytest.raises(ValueError, match="init_s"):
        run_result(init_s=float(constant))


@pytest.mark.parametrize(
    ("key", "value"), [("status", "done?"), ("seed", "1"), ("schema_version", 2), ("history", None)]
)
def test_wrong_values_are_refused(key: str, value: object) -> None:
    assert not validator("run").is_valid(json.loads(document(run_result())) | {key: value})


def test_rewrite_restores_a_changed_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = {name: schemas.shipped_path(name).read_text(encoding="utf-8") for name in schemas.RECORDS}
    monkeypatch.setattr(schemas, "FOLDER", tmp_path)
    schemas.shipped_path("run").write_text("{}", encoding="utf-8")
    schemas.rewrite()
    assert {name: schemas.shipped_path(name).read_text(encoding="utf-8") for name in schemas.RECORDS} == shipped
    assert len(list(tmp_path.iterdir())) == len(schemas.RECORDS)
