from __future__ import annotations

import csv
import io
import json
import re

import pytest
from report.builders import DIGITS, comparison, run_result

from initbench.errors import UsageError
from initbench.report import exporter, formats, render
from initbench.report.as_csv import HEADER, cell
from initbench.report.as_json import document
from initbench.report.as_latex import escape as latex_escape
from initbench.report.as_markdown import escape as markdown_escape
from initbench.results import Comparison, printable
from initbench.results import document as json_document
from initbench.results.printable import LONGEST

EVIL = "he|_x_*[red]\\&%$#{}^~<script>"
IN_WORDS = ("md", "latex")  # the formats for readers; json and csv are for programs


def unescaped(format_name: str, text: str) -> str:
    """What a reader of the rendered document sees, as far as our own texts need it."""
    return text.replace("{[}", "[").replace("{]}", "]").replace("\\_", "_") if format_name == "latex" else text


@pytest.mark.parametrize("name", ["json", "csv", "md", "latex"])
def test_every_format_is_found_and_ends_with_one_newline(name: str) -> None:
    assert name in formats()
    text = render(comparison(), name)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    assert "\x1b" not in text


@pytest.mark.parametrize(("alias", "name"), [("markdown", "md"), ("tex", "latex")])
def test_aliases(alias: str, name: str) -> None:
    assert render(comparison(), alias) == render(comparison(), name)


def test_an_unknown_format_names_the_closest() -> None:
    with pytest.raises(UsageError, match=r"unknown format 'jsn'\. Did you mean 'json'"):
        render(comparison(), "jsn")


def test_a_format_is_registered_once() -> None:
    formats()
    with pytest.raises(UsageError, match="'json' is registered already"):
        exporter("json")(lambda _: "")


def test_json_is_the_comparison_and_can_be_read_back() -> None:
    original = comparison({"he": [0.97, None, 0.98], "xavier": [0.96, 0.97, 0.99]}, dataset=DIGITS)
    text = render(original, "json")
    assert Comparison.model_validate_json(text) == original
    read = json.loads(text)
    assert read["dataset"]["stand_in_for"] == "mnist"
    assert read["schemes"][0]["runs"][1] == {"seed": 1, "status": "diverged", "test_accuracy": None, "run_id": "he-1"}
    assert text.splitlines()[1].startswith('  "schema_version"')


def test_json_refuses_nan() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        document(run_result(config={"train": {"lr": float("nan")}}))


def test_csv_has_a_row_for_each_run_in_full_precision() -> None:
    text = render(comparison({"he": [0.9771234567890123, None], "a,b": [0.1, 0.2]}, dataset=DIGITS), "csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert (
        text.splitlines()[0]
        == ",".join(HEADER)
        == "scheme,seed,status,test_accuracy,run_id,dataset,stand_in_for,device"
    )
    assert [(row["scheme"], row["seed"], row["status"]) for row in rows] == [
        ("he", "0", "done"),
        ("he", "1", "diverged"),
        ("a,b", "0", "done"),
        ("a,b", "1", "done"),
    ]
    assert float(rows[0]["test_accuracy"]) == 0.9771234567890123
    assert rows[1]["test_accuracy"] == ""
    assert {(row["dataset"], row["stand_in_for"], row["device"]) for row in rows} == {("digits", "mnist", "cpu")}
    assert "\r" not in text


@pytest.mark.parametrize("name", IN_WORDS)
def test_tables_for_readers_have_n_interval_verdicts_and_dataset(name: str) -> None:
    found = comparison()
    text = unescaped(name, render(found, name))
    for scheme in found.schemes:
        assert scheme.mean is not None
        assert scheme.ci_low is not None
        assert scheme.ci_high is not None
        line = next(line for line in text.splitlines() if re.match(rf"\W*{scheme.scheme}\b.*[|&]", line))
        cells = [cell.strip(" \\") for cell in re.split(r"[|&]", line) if cell.strip()]
        assert cells[1:4] == [
            "10",
            f"{100 * scheme.mean:.2f}",
            f"[{100 * scheme.ci_low:.2f}, {100 * scheme.ci_high:.2f}]",
        ]
    for pair in found.pairs:
        assert pair.verdict in text
    assert "on mnist, 60,000 training and 10,000 test images, cpu, 10 seeds" in text
    assert "BCa bootstrap" in text
    assert "stand-in" not in text


@pytest.mark.parametrize("name", IN_WORDS)
def test_tables_for_readers_name_the_stand_in_the_warnings_and_the_percentile(name: str) -> None:
    found = comparison({"zeros": [0.1135] * 5, "he": [0.9, 0.8, 0.85, None, 0.95]}, dataset=DIGITS, warnings=("slow",))
    text = unescaped(name, render(found, name))
    assert "digits (stand-in for mnist)" in text
    assert "slow" in text
    assert "5 seeds the pair cannot reach" in text
    assert "he diverged in 1 of 5" in text
    assert "percentile bootstrap, where BCa is undefined" in text
    assert re.search(r"\*\W?\[11\.35, 11\.35\]", text)


@pytest.mark.parametrize("name", IN_WORDS)
def test_the_column_of_failed_runs_is_there_when_there_are_any(name: str) -> None:
    assert "failed" not in render(comparison(), name)
    failing = comparison({"he": [0.9, None]}, lost="failed")
    assert "failed" in render(failing, name)


def test_a_markdown_table_has_as_many_cells_in_each_row_whatever_the_names() -> None:
    text = render(comparison({EVIL: [0.9, 0.8], "he": [0.9, 0.7]}), "md")
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 4
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("xavier_uniform", "xavier_uniform"),  # no emphasis within a word
        ("[-0.11, +0.03]", "[-0.11, +0.03]"),
        ("_x_", r"\_x\_"),
        ("a|b", r"a\|b"),
        ("p < .05", r"p \< .05"),
        ("[a](b)", r"[a\](b)"),
        ("a\nb", "a b"),
        ("\\", "\\\\"),
        ("https://x", r"https\://x"),  # no link
        ("www.x", r"www\.x"),
    ],
)
def test_markdown_escapes_what_would_be_markup_only(text: str, escaped: str) -> None:
    assert markdown_escape(text) == escaped


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("trunc_normal", r"trunc\_normal"),
        ("95 %", r"95 \%"),
        ("a & b", r"a \& b"),
        ("$#{}", r"\$\#\{\}"),
        ("\\x", r"\textbackslash{}x"),
        ("~^", r"\textasciitilde{}\textasciicircum{}"),
        ("p < .05", r"p \textless{} .05"),
        ("*[1, 2]", "{*}{[}1, 2{]}"),
        ("a\nb", "a b"),
    ],
)
def test_latex_escapes(text: str, escaped: str) -> None:
    assert latex_escape(text) == escaped


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("normal:std=0.01", "normal:std=0.01"),
        ("a\tb\r\nc", "a b  c"),
        ("\x1b[31mred", "\N{REPLACEMENT CHARACTER}[31mred"),
        ("a\N{RIGHT-TO-LEFT OVERRIDE}b\N{ZERO WIDTH SPACE}", "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}"),
        ("\udcff\x9b", "\N{REPLACEMENT CHARACTER}" * 2),
        ("ü漢\N{GRINNING FACE}", "ü漢\N{GRINNING FACE}"),
        ("x" * (LONGEST + 1), "x" * LONGEST + "…"),
    ],
    ids=ascii,
)
def test_text_is_made_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("text", "written"),
    [("he", "he"), ("=1+1", "'=1+1"), ("-1", "'-1"), ("@x", "'@x"), (" +1", "' +1"), ("\t=1", "' =1"), ("a=1", "a=1")],
)
def test_no_text_of_a_csv_begins_a_formula(text: str, written: str) -> None:
    assert cell(text) == written


def test_negative_numbers_of_ours_stay_numbers() -> None:
    found = comparison({"he": [0.9, 0.8]})
    runs = tuple(run.model_copy(update={"seed": -run.seed}) for run in found.schemes[0].runs)
    changed = found.model_copy(update={"schemes": (found.schemes[0].model_copy(update={"runs": runs}),)})
    assert [row["seed"] for row in csv.DictReader(io.StringIO(render(changed, "csv")))] == ["0", "-1"]


def test_json_escapes_what_cannot_be_seen_and_nothing_else() -> None:
    text = json_document({"ü": "\x1b\x7f\u202e\U000e0041 é"})
    assert text == '{\n  "ü": "\\u001b\\u007f\\u202e\\udb40\\udc41 é"\n}\n'
    assert json.loads(text) == {"ü": "\x1b\x7f\u202e\U000e0041 é"}


def test_latex_is_balanced_whatever_the_names() -> None:
    text = render(comparison({EVIL: [0.9, 0.8], "he": [0.9, 0.7]}), "latex")
    bare = re.sub(r"\\[{}&]", "", text)
    assert bare.count("{") == bare.count("}")
    rows = [line for line in bare.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 3
    assert {row.count("&") for row in rows} == {7}
    for environment in ("table", "tabular"):
        assert text.count(rf"\begin{{{environment}}}") == text.count(rf"\end{{{environment}}}") == 1
