"""README says what is: its config is the default one, its commands and options exist, its tables are filled."""

from __future__ import annotations

import functools
import re
import shlex
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from initbench import make_config
from initbench.cli.app import app
from initbench.report.catalogue import catalogue_markdown

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.partition("#")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("initbench ")
]


def test_the_config_that_it_prints_is_the_default_one() -> None:
    block = re.search(r"```yaml\n(name: null.*?)```", README, re.DOTALL)
    assert block is not None
    shown = yaml.safe_load(block[1])
    defaults = make_config({}).to_dict()
    shown["init"]["scheme"] = make_config(shown).init.scheme
    assert shown == defaults


@functools.cache
def help_of(*command: str) -> str:
    told = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert told.exit_code == 0
    return told.output


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_that_it_uses_exists(command: str) -> None:
    words = shlex.split(command)[1:]
    commands = words[:2] if words[0] in ("data", "runs") else words[:1]
    told = help_of(*commands)
    for word in words:
        if word.startswith("-"):
            assert word in told


@pytest.mark.parametrize("path", sorted(set(re.findall(r"(?:configs|benchmarks|\.github)/[\w./-]+\.\w+", README))))
def test_every_file_that_it_names_exists(path: str) -> None:
    assert (ROOT / path).is_file()


def test_the_catalogue_is_the_registry() -> None:
    shown = re.search(r"<!-- catalogue -->\n(.*?)\n<!-- end -->", README, re.DOTALL)
    assert shown is not None
    assert shown[1] == catalogue_markdown(), "stale: give `make catalogue`"


@pytest.mark.parametrize("model", ["cnn", "rnn"])
def test_the_models_options_that_it_prints_are_the_default_ones(model: str) -> None:
    block = re.search(rf"```yaml\n(model:\n  name: {model} .*?)```", README, re.DOTALL)
    assert block is not None
    assert yaml.safe_load(block[1]) == {"model": make_config({"model": model}).to_dict()["model"]}


@pytest.mark.parametrize(
    "name",
    [
        *(
            "results: compare",
            "results: configs",
            "results: throughput",
            "results: growth",
            "results: precision",
            "reliability",
            "results: rbm",
            "results: recurrent relu",
        ),
        *("results: recurrent tanh", "results: deep cnn", "results: dbn", "results: deep relu"),
        *("inspect: sigmoid", "inspect: glorot", "inspect: cost"),
    ],
)
def test_its_tables_are_filled(name: str) -> None:
    table = re.search(rf"<!-- {name} -->\n(.*?)<!-- end -->", README, re.DOTALL)
    assert table is not None
    assert len(table[1].splitlines()) > 3
