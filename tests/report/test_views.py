"""The other views: a list of runs, the catalogue, a verification. What users name is never read as markup."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from report.builders import run_result
from rich.console import Console, RenderableType

from initbench.data import FileCheck
from initbench.report.catalogue import catalogue_json, catalogue_view, scheme_view
from initbench.report.data_view import checks_view
from initbench.report.run_view import pretraining_line, run_view, runs_table
from initbench.results import PretrainingRow
from initbench.schemes import parse, schemes


def shown(view: RenderableType, width: int = 100) -> str:
    page = Console(file=io.StringIO(), record=True, width=width)
    page.print(view)
    return page.export_text()


def test_runs_table_shows_each_run_and_reads_no_markup() -> None:
    text = shown(runs_table([run_result("[red]he", 3, 0.978), run_result("zeros", 4, None, status="diverged")]))
    first, second = text.splitlines()[-2:]
    assert "[red]he" in first
    assert first.split()[-3:] == ["2", "done", "97.80"]
    assert second.split()[-2:] == ["diverged", "-"]


def test_a_run_shows_its_pretraining() -> None:
    machine = PretrainingRow(
        layer="fc1", epoch=10, reconstruction_error=0.05, free_energy=-7.25, pseudo_log_likelihood=-99.9, seconds=1.5
    )
    encoder = PretrainingRow(layer="fc2", epoch=1, reconstruction_error=0.04, seconds=0.5)
    text = shown(run_view(run_result("dbn", 0, pretraining=(machine, encoder))), 80)
    assert ["fc1", "10", "0.05000", "-7.2", "-99.9", "1.5"] in [line.split() for line in text.splitlines()]
    assert ["fc2", "1", "0.04000", "-", "-", "0.5"] in [line.split() for line in text.splitlines()]
    assert all(len(pretraining_line(row)) < 80 for row in (machine, encoder))


def test_the_catalogue_says_what_a_scheme_needs_and_fits() -> None:
    entries = {entry["name"]: entry for entry in json.loads(catalogue_json())}
    assert set(entries) == set(schemes)
    assert entries["dbn"]["needs"] == "the training set"
    assert entries["dirac"]["fits"] == "convolutions"
    assert entries["critical"]["sets_biases"] is True
    assert entries["he_uniform"]["aliases"] == ["he", "kaiming_uniform", "kaiming"]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_catalogue_fits_and_has_every_name(width: int) -> None:
    text = shown(catalogue_view(), width)
    assert max(map(len, text.splitlines())) <= width
    assert all(name in text for name in schemes.all_names())


@pytest.mark.parametrize("name", list(schemes))
def test_each_scheme_is_explained_with_its_formula_and_source(name: str) -> None:
    text = " ".join(shown(scheme_view(parse(name)), 200).split())
    assert schemes[name].formula in text
    assert schemes[name].source in text


def test_a_verification_names_what_is_bad() -> None:
    checks = [FileCheck(Path("[b]") / "a.gz", "MD5", "ok"), FileCheck(Path("[b]") / "b.gz", "MD5", "bad", "MD5 is 0")]
    text = shown(checks_view("mnist", checks))
    assert "mnist in [b]" in text
    assert "bad: MD5 is 0" in text
