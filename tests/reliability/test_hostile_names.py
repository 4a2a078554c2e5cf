"""Names that others chose: no path leaves the runs folder, and what is shown or exported of them is text."""

from __future__ import annotations

import csv
import dataclasses
import html
import io
import itertools
import json
import os
import random
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from reliability.invoking import HIDDEN, Invoke, hidden
from report import signal_builders
from report.builders import comparison, run_result
from rich.cells import cell_len
from rich.console import RenderableType

from initbench import events
from initbench.cli import consoles
from initbench.cli.progress import CompareDisplay, RunDisplay
from initbench.errors import StoreError
from initbench.report import render
from initbench.report.as_latex import escape as latex
from initbench.report.as_markdown import escape as markdown
from initbench.report.catalogue import catalogue_markdown, catalogue_view
from initbench.report.page import Page
from initbench.report.plots.figure import plain
from initbench.report.run_view import outcome, run_view, runs_table
from initbench.report.signals_export import inspection_csv, inspection_document
from initbench.report.signals_view import inspection_view
from initbench.report.terminal import comparison_view
from initbench.report.training_signals import signal_rows_view
from initbench.results import (
    Comparison,
    DatasetInfo,
    Inspection,
    PretrainingRow,
    Record,
    RunResult,
    SignalRow,
    printable,
)
from initbench.schemes import schemes
from initbench.store import Store, folder_name

Count = Callable[[int, int], int]
Figure = Callable[[str, str], None]

ID = "0123456789abcdef"
MOST = 500


# one of each kind: always among the names
EVERYTHING = (
    "=1 [red]x[/blue] <script> | `c` **x** [x](http://e.example) www.e.example $x$ & % # ^ ~ \\x{} \x1b[2J \u202e\n/../"
)

# what each would do where it is not taken as text
ATTACKS = (
    EVERYTHING,
    # paths
    *("../../x", "..", ".", "/etc/passwd", "~/.ssh/id_rsa", "..\\..\\x", "C:\\x", "\\\\host\\share", "a/../../b"),
    *("%2e%2e%2fx", "..\u2215x", "\uff0e\uff0e\uff0fx", "file:///etc/passwd", "a\0b", "-rf", "--help", "-"),
    *("$HOME", "`id`"),
    # reserved names of Windows
    *("CON", "nul", "AUX.txt", "COM1", "LPT9.x", "x.", "x ", "a:b", "a*?", "x::$DATA"),
    # control characters and escape sequences of terminals (ECMA-48): colours, titles, links, the clipboard, C1
    *("\x1b[31mred\x1b[0m", "\x1b]0;title\a", "\x1b]8;;http://e.example\a x\x1b]8;;\a", "\x1b]52;c;eA==\a"),
    *("\x1b[2J",),
    *("\x9b31mred", "\x9d0;t\x9c", "\x1bP+q\x1b\\", "\x1b[1A\x1b[2K", "\x07", "\b\b\b", "\x7f", "a\rb", "a\nb"),
    *("a\r\n+ b",),
    *("a\tb", "\x0b", "\x0c", "\x85", "\u2028", "\u2029", "\x1c", "\x1f"),
    # directions, zero widths, tags, surrogates, private and unassigned characters
    *("a\u202egnp.exe", "\u2066x\u2069", "\u200bx", "x\u200d", "\ufeffx", "\u00adx", "\u061cx", "\U000e0041x"),
    *("\udcff", "\ud800"),
    *("\ue000", "\U0010ffff", "\u0378", "\ufff9x", "\u180ex"),
    # markup of Rich
    *("[red]x[/red]", "[/]", "[/red]", "[link=http://e.example]x[/link]", "[bold", "[[x]]", "\\[red]x"),
    *("[@click=app.quit]x[/]",),
    *("[blink]", ":smile:", "[red]x[/blue]"),
    # HTML, SVG and entities
    *("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", '"><svg onload=alert(1)>', "]]>", "<!--"),
    *("&lt;b&gt;", "&#60;"),
    *("'><b>", "</text></svg>", "<a href='javascript:x'>", "javascript:alert(1)", "<?xml?>"),
    *("<!DOCTYPE x [<!ENTITY a 'b'>]>",),
    # LaTeX
    *("\\input{/etc/passwd}", "\\write18{id}", "$x$", "a & b", "50 %", "#1", "x_y^2", "{", "}", "\\", "\\\\"),
    *("\\end{tabular}", "~", "^^5c"),
    # Markdown
    *("[x](http://e.example)", "![x](http://e.example/a.png)", "a | b", "||", "`code`", "```", "**x**", "_x_"),
    *("# x", "- x", "1. x", "1) x"),
    *("> x", "<http://e.example>", "http://e.example", "www.e.example", "[x]: y", "[^1]", "~~x~~", "***", "---"),
    *("===", "+ x", "* x", "a\\|b"),
    *("    code", "\\`x`", "[x][y]", "&copy;", "<b>x</b>", "!", "x  ", "|---|"),
    # formulas of spreadsheets (OWASP, CSV Injection)
    *("=1+1", "+1", "-1", "@SUM(A1)", "=cmd|' /C calc'!A0", "\t=1", "\r=1", "\n=1", " =1", "\uff1d1", "\uff0b1"),
    *("\uff0d1", "\uff201"),
    *('"=1', "';=1", "=HYPERLINK(\"http://e.example\")", "-2+3", "0x1", "1e999", "NaN", "a,b", 'a"b', "a;b"),
    *("'=1",),
    # Python, formats, matplotlib
    *("{0.__class__}", "%s%n", "${x}", "__import__('os')", "None", "null", "$\\frac{1}{0}$", "$$", "\\$"),
    # lengths and Unicode
    *("", " ", "x" * 300, "x" * 5_000, "x:" * 500, "\u00e9", "e\u0301", "Z\u0351\u036b\u0343", "\u6f22\u5b57"),
    *("\U0001f600", "\u0130", "\ufb01"),
    *("\u3164", "\u2800", "\u00a0x", "\u3000x", "\u0627\u0644\u0639", "\u05d0b\u05d2"),
    *("\U0001f468\u200d\U0001f469",),
)  # fmt: skip


def hostile_names(most: int) -> list[str]:
    """Return `most` different names: every attack by itself, then attacks within and behind others."""
    chance = random.Random(0)  # noqa: S311 # which of them, the same each time
    alone = list(dict.fromkeys(ATTACKS))
    if most < len(alone):
        return [EVERYTHING, *chance.sample(alone[1:], most - 1)]
    joined: Iterator[str] = (
        chance.choice(("{0}{1}", "he{0}", "{0}he", "{0} {1}", "normal:std={0}")).format(*chance.sample(alone, 2))
        for _ in itertools.count()
    )
    names = dict.fromkeys(alone)
    while len(names) < most:
        names[next(joined)] = None
    return list(names)


def without_surrogates(names: Sequence[str]) -> list[str]:
    """Return the names as a file in UTF-8 can hold them."""
    return list(dict.fromkeys(name.encode(errors="backslashreplace").decode() for name in names))


def as_name(record: Any, old: str, name: str) -> Any:
    """Return `record` with `name` in the place of every text that is `old`."""
    if isinstance(record, str):
        return record.replace(old, name)
    if isinstance(record, Record):
        return record.model_copy(update={key: as_name(value, old, name) for key, value in record})
    if isinstance(record, dict):
        return {as_name(key, old, name): as_name(value, old, name) for key, value in record.items()}
    return tuple(as_name(value, old, name) for value in record) if isinstance(record, (list, tuple)) else record


MARK = "@@"  # stands where a name is to be put
DATA = DatasetInfo(name=MARK, stand_in_for=MARK, train_size=10, test_size=10, sha256="0" * 64)
COMPARED = comparison(
    {MARK: [0.9, 0.8, None], "he": [0.9, 0.7, 0.8]}, dataset=DATA, device=MARK, lost="failed", error=MARK,
    warnings=(MARK,),
)  # fmt: skip
ROW = PretrainingRow(layer=MARK, epoch=1, reconstruction_error=0.5, seconds=1.0)
RUN = run_result(
    MARK, dataset=DATA, device=MARK, run_dir=f"runs/{MARK}", pretraining=(ROW,), run_id=ID,
    config={"train": {"epochs": MARK, MARK: MARK}, "model": {"name": MARK}},
)  # fmt: skip
FAILED = RUN.model_copy(update={"status": "failed", "test_accuracy": None, "error": MARK})
LAYER = signal_builders.layer(MARK, kind=MARK, activation=MARK, std=0.1)
WEIGHT = signal_builders.weight(MARK, scheme=MARK, formula=MARK)
REPORT = signal_builders.report(MARK, [LAYER], [WEIGHT])
INSPECTED = signal_builders.inspection(REPORT, config={"model": {"name": MARK, MARK: MARK}}, device=MARK, dataset=DATA)
SIGNALS = (
    SignalRow(epoch=0, layers=(LAYER,), weights=(WEIGHT,)),
    SignalRow(epoch=1, problem=MARK, layers=(), weights=()),
)


def on_page(view: RenderableType, width: int) -> str:
    page = Page(file=io.StringIO(), record=True, width=width, highlight=False, force_terminal=True)
    page.print(view)
    return page.export_text()


def words(text: str) -> str:
    """Return a text without its spaces and breaks."""
    return "".join(text.split())


def check_text(text: str) -> None:
    assert text.isprintable() or hidden(text) == [], ascii(hidden(text))


def check_csv(text: str, cells: int) -> None:
    check_text(text)
    for row in csv.reader(io.StringIO(text)):
        assert len(row) == cells
        for found in row:
            is_number = re.fullmatch(r"-?[0-9.]+(e[-+]?[0-9]+)?", found)
            assert is_number or not found.lstrip().startswith(
                ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
            )


MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
PLAIN = {"text", "text_special", "softbreak", "strong_open", "strong_close"}  # strong: "**warning:**"


def inline(tokens: Sequence[Token]) -> Iterator[Token]:
    for token in tokens:
        yield from token.children or ()


def check_markdown(text: str, name: str, found: Comparison) -> None:
    check_text(text)
    tokens = MARKDOWN.parse(text)
    blocks = {token.type.removesuffix("_open").removesuffix("_close") for token in tokens}
    assert blocks <= {"paragraph", "inline", "table", "thead", "tbody", "tr", "th", "td", "bullet_list", "list_item"}
    assert {token.type for token in inline(tokens)} <= PLAIN
    assert [token.type for token in tokens].count("tr_open") == 1 + len(found.schemes)
    columns = [token.type for token in tokens].count("th_open")
    assert [token.type for token in tokens].count("td_open") == columns * len(found.schemes)
    first = next(token for before, token in itertools.pairwise(tokens) if before.type == "td_open")
    assert words("".join(part.content for part in first.children or ())) == words(printable(name))
    assert not re.search(r"(?<!\\)://|www\.", text)  # bare links, which GitHub would make links of


LATEX_OWN = re.compile(r"\\(?:text(?:backslash|asciitilde|asciicircum|less|greater|bar)\{\}|[&%$#_{}])|\{[\[\]*]\}")


def check_latex(text: str, name: str, found: Comparison) -> None:
    check_text(text)
    assert not re.search(r"[\\{}$&#%_^~<>|\[\]*]", LATEX_OWN.sub("", latex(name)))
    rows = [line for line in text.splitlines() if line.endswith(r" \\")]
    assert len(rows) == 1 + len(found.schemes)
    assert len({len(re.findall(r"(?<!\\)&", row)) for row in rows}) == 1
    assert text.count(r"\begin{") == text.count(r"\end{") == 2


def check_svg(text: str) -> None:
    check_text(text)
    drawn = ElementTree.fromstring(text)  # noqa: S314 # our own
    tags = {element.tag.rpartition("}")[2] for element in drawn.iter()}
    assert tags <= {"svg", "style", "defs", "clipPath", "rect", "g", "text", "circle"}
    assert not any(key.startswith("on") or key.endswith("href") for element in drawn.iter() for key in element.attrib)


def check_json(text: str, record: Comparison | Inspection) -> None:
    check_text(text)
    assert json.loads(text, parse_constant=pytest.fail) == json.loads(json.dumps(record.model_dump(mode="json")))


def check_exports(name: str) -> int:
    """Check every export of a comparison and of an inspection with this name in every place; return how many."""
    compared, inspected = as_name(COMPARED, MARK, name), as_name(INSPECTED, MARK, name)
    check_json(render(compared, "json"), compared)
    check_csv(render(compared, "csv"), 8)
    check_markdown(render(compared, "md"), name, compared)
    check_latex(render(compared, "latex"), name, compared)
    check_svg(render(compared, "svg"))
    check_text(render(compared, "table"))
    check_csv(inspection_csv(inspected), 6)
    check_json(inspection_document(inspected), inspected)
    assert hidden(plain(name, 30)) == []
    return 9


def check_views(name: str) -> int:
    """Check every view with this name in every place, at 80 and 120 columns and wider; return how many."""
    run, failed = as_name(RUN, MARK, name), as_name(FAILED, MARK, name)
    views: list[RenderableType] = [
        comparison_view(as_name(COMPARED, MARK, name)),
        run_view(run),
        outcome(failed),
        runs_table([run, failed]),
        inspection_view(as_name(INSPECTED, MARK, name), details=True),
        signal_rows_view(as_name(SIGNALS, MARK, name)),
    ]
    for view in views:
        for width in (80, 120):
            text = on_page(view, width)
            check_text(text)
            assert max(map(cell_len, text.splitlines())) <= width
    if len(name) < 200 and printable(name).isascii():
        for view in views[:4]:
            assert words(printable(name)) in words(on_page(view, 10_000))  # as it is: nothing in it was read as markup
    return 2 * len(views) + 4


def test_names_are_shown_and_exported_as_text(count: Count, figure: Figure) -> None:
    names = without_surrogates(hostile_names(count(15, MOST)))
    checked = sum(check_exports(name) + check_views(name) for name in names)
    places = json.dumps([one.model_dump(mode="json") for one in (COMPARED, RUN, FAILED, INSPECTED, *SIGNALS)]).count(
        MARK
    )
    figure(
        "hostile names, shown and exported",
        f"{len(names)} names x {places} places of results, {checked:,} documents: 0 control characters, 0 markup read,"
        " 0 tags, 0 formulas, every table whole",
    )


def test_every_attack_is_one_of_the_names() -> None:
    names = hostile_names(MOST)
    assert len(set(names)) == MOST
    assert set(ATTACKS) <= set(names)
    categories = {unicodedata.category(one) for name in names for one in name}
    assert categories >= HIDDEN


def test_progress_and_notices_are_text(
    capsys: pytest.CaptureFixture[str], count: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "")
    for name in hostile_names(count(15, MOST)):
        run, failed = (as_name(one, MARK, *without_surrogates([name])) for one in (RUN, FAILED))
        consoles.warn(name)
        assert capsys.readouterr().err.count("\n") == 1
        row = ROW.model_copy(update={"layer": name})
        step = events.InitStep(name, 1, 2, row)
        for display in (RunDisplay(quiet=False), CompareDisplay(quiet=False)):
            display.emit(events.Notice(name))
            display.emit(events.Initializing(ID, name, 0, step))
            display.emit(events.RunDone(name, run, reused=True))
            display.emit(events.RunDone(name, failed, reused=False))
            display.console.print(display.live())
        printed = capsys.readouterr()
        check_text(printed.out + printed.err)


def outside(root: Path) -> dict[str, bytes]:
    """Return every file that is not in one of the three runs folders."""
    files = (path for path in root.rglob("*") if path.is_file())
    return {
        str(path): path.read_bytes()
        for path in files
        if path.relative_to(root).parts[0] not in ("runs", "theirs", "merged")
    }


def on_disk(name: str) -> list[str]:
    """Return the name, where a file can have it."""
    possible = 0 < len(os.fsencode(name)) < 200 if "\ud800" not in name else False
    return [name] if possible and not set(name) & {"/", "\0"} else []


@pytest.mark.skipif("sys.platform == 'win32'")
def test_no_path_leaves_the_runs_folder(invoke: Invoke, count: Count, figure: Figure, tmp_path: Path) -> None:
    names = hostile_names(count(8, MOST))
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / f"run-{ID}").write_text("precious")
    before = outside(tmp_path)
    paths = commands = 0
    for number, batch in enumerate(batched(names, 25)):
        store = Store(tmp_path / "runs")
        for name in batch:
            paths += check_paths(store, name)
        commands += check_disk(invoke, tmp_path / "theirs" / str(number), tmp_path / "merged", batch)
    assert outside(tmp_path) == before
    figure(
        "hostile names, on the disk",
        f"{len(names)} names, {paths:,} paths and {commands:,} commands: 0 left the runs folder, 0 control characters",
    )


def batched(names: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (names[start : start + size] for start in range(0, len(names), size))


def check_paths(store: Store, name: str) -> int:
    """Check the paths that a name can be made part of; return how many."""
    folder = folder_name(name, 0, ID)
    assert (store.root / folder).resolve().parent == store.root
    assert re.fullmatch(r"[A-Za-z0-9_+][A-Za-z0-9._+-]*", folder)
    for wrong in (store.root / name, store.root / f"{name}-{ID}", store.root / name / f"x-{ID}"):
        with pytest.raises((StoreError, ValueError, OSError)):
            store.remove(wrong)
    assert store.match(name) == []
    return 5


def check_disk(invoke: Invoke, root: Path, target: Path, names: Sequence[str]) -> int:
    """Merge, list, show and remove folders that are named so, and hold files that are; return the commands."""
    for number, name in enumerate(names):
        run_id = f"{number:016x}"
        plant(root, [f"x-{run_id}", *(f"{one}-{run_id}" for one in on_disk(name))], name, run_id)
    merged = invoke("runs", "merge", str(root), "--runs-dir", str(target))
    check_text(merged.out + merged.err)
    for path in target.iterdir():
        assert re.fullmatch(r"[A-Za-z0-9_+][A-Za-z0-9._+-]*-[0-9a-f]{16}|\.[a-z]+", path.name)
    listed = invoke("runs", "list", "--runs-dir", str(root))
    assert listed.code == 0
    check_text(listed.out + listed.err)
    folders = sorted(root.iterdir())
    for path in folders:
        for options in (["show"], ["show", "--format", "json"], ["remove"]):
            ended = invoke("runs", *options, "--runs-dir", str(root), "--", path.name)
            assert ended.code in (0, 1, 2)
            check_text(ended.out + ended.err)
    assert [run for run in Store(root).runs() if isinstance(run, RunResult)] == []
    return 2 + 3 * len(folders)


def plant(root: Path, folders: Sequence[str], name: str, run_id: str) -> None:
    """Make folders of one run of another's making, that name `name` wherever a text can be."""
    run: RunResult = as_name(RUN, MARK, *without_surrogates([name]))
    placed = run.model_copy(update={"run_id": run_id, "run_dir": f"../precious/run-{ID}"})
    for folder in folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / "result.json").write_text(json.dumps(placed.model_dump(mode="json")))
    for inner in on_disk(name):
        if inner not in (".", ".."):
            (root / folders[-1] / inner).touch()


def test_the_catalogue_of_plugins_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    evil = "\x1b[31m<script>|`x`\n# y"
    scheme = dataclasses.replace(schemes["zeros"], name=evil, formula=evil, good_for=evil, source=evil)
    monkeypatch.setitem(schemes._items, evil, scheme)
    text = catalogue_markdown()
    check_text(text)
    assert "<script>" not in re.sub(r"`[^`\n]*`|\\<", "", text)
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines() if "script" in line}) == 1
    check_text(on_page(catalogue_view(), 100))


def test_markup_of_ours_is_still_drawn() -> None:
    """The checks above would hold of an empty page, too."""
    name = "[red]he[/red]<b>|"
    text = render(as_name(COMPARED, MARK, name), "svg")
    assert html.escape(name).replace(" ", "&#160;") in text
    assert markdown(name) == r"[red]he[/red]\<b\>\|"
