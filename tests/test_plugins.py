"""`--plugin FILE.py`: schemes and models of a user, by name, in this process and in workers."""

from __future__ import annotations

import json
import re
import sys
import textwrap
from pathlib import Path

import pytest
from bench_settings import tiny
from typer.testing import CliRunner

import initbench
from initbench import plugins
from initbench.cli.app import app
from initbench.conformance import check
from initbench.errors import UsageError
from initbench.models import models
from initbench.plugins import load_plugins, load_same_plugins, loaded_plugins, plugin_revision
from initbench.revision import function_revision
from initbench.schemes import schemes

PLUGIN = '''
from pathlib import Path

import torch
from torch import nn

from initbench import register_model, register_scheme
from initbench.models import ModelOptions


@register_scheme("halves", formula="W = value", source="a test", good_for="testing")
def halves(weight, *, generator, value: float = 0.5):
    """Fill with one value."""
    weight.fill_(value)


class Options(ModelOptions):
    width: int = 8


class Net(nn.Module):
    def __init__(self, pixels, width, classes):
        super().__init__()
        self.first, self.out = nn.Linear(pixels, width), nn.Linear(width, classes)

    def forward(self, images):
        return self.out(torch.relu(self.first(images.flatten(1))))


@register_model("mine", Options)
def mine(options, image_shape, classes):
    channels, height, width = image_shape
    return Net(channels * height * width, options.width, classes)
'''
TINY = ["--set", "data.name=digits", "--limit", "200", "--set", "data.batch_size=20", "--epochs", "1"]


@pytest.fixture(autouse=True)
def registries_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    for registry in (schemes, models):
        monkeypatch.setattr(registry, "_items", dict(registry._items))
        monkeypatch.setattr(registry, "_aliases", dict(registry._aliases))


def plugin(folder: Path, text: str = PLUGIN, name: str = "my_plugin.py") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(text)
    return path


def test_a_plugin_registers_its_schemes_and_models_once(tmp_path: Path) -> None:
    path = plugin(tmp_path)
    load_plugins([path, str(path)])
    load_plugins([path])
    assert "halves" in set(schemes)
    assert "mine" in set(models)
    assert [one.path for one in loaded_plugins()] == [path.resolve()]


def test_two_plugins_of_the_same_name_are_two(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = PLUGIN.replace("halves", "thirds").replace("mine", "yours")
    load_plugins([plugin(tmp_path), plugin(tmp_path / "other", other)])
    assert {"halves", "thirds"} <= set(schemes)


def test_a_plugin_may_import_a_file_beside_it(tmp_path: Path) -> None:
    plugin(tmp_path, "VALUE = 3\n", "beside_my_plugin.py")
    load_plugins([plugin(tmp_path, "from beside_my_plugin import VALUE\nassert VALUE == 3\n")])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\nx = (\n", "line 2: SyntaxError"),
        ("x = 1\n\n1 / 0\n", "line 3: ZeroDivisionError: division by zero"),
        ("import sys\nsys.exit(3)\n", "line 2: SystemExit: 3"),
        ("raise ValueError('one\\ntwo')\n", "line 1: ValueError: one two"),
        (PLUGIN.replace('"halves"', '"a b:c"'), "scheme name 'a b:c': use letters, digits and '_'"),
        (PLUGIN.replace("(weight, *, generator, value: float = 0.5)", "()"), "scheme 'halves' takes no argument"),
        (
            PLUGIN.replace("value: float = 0.5", "value: float = 'big'"),
            "its default 'big' and its type must be such",
        ),
        (PLUGIN.replace("value: float = 0.5", "value: torch.Tensor = 0.5"), "parameter 'value' of scheme 'halves'"),
        (
            PLUGIN.replace('good_for="testing"', 'good_for="x", needs="batch"'),
            "needs='batch'; it may be one of nothing",
        ),
        ("import nosuchmodule\n", "line 1: ModuleNotFoundError: No module named 'nosuchmodule'"),
        (PLUGIN.replace('"halves"', '"he_normal"'), "scheme 'he_normal' is registered already"),
        (PLUGIN.replace("*, generator, ", "*, "), "must take the keyword `generator`"),
    ],
)
def test_a_broken_plugin_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load_plugins([plugin(tmp_path, text)])
    assert message in str(caught.value)
    assert "my_plugin.py" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["nosuch.py", "plugin.txt", "."])
def test_what_is_no_python_file_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "plugin.txt").write_text("")
    with pytest.raises(UsageError, match="no such Python file"):
        load_plugins([tmp_path / name])


def forget_plugins() -> None:
    """Be as a new process is."""
    plugins._loaded.clear()
    for registry, name in ((schemes, "halves"), (models, "mine")):
        registry._items.pop(name, None)  # type: ignore[attr-defined]


def revision_in_a_new_process(path: Path) -> str | None:
    forget_plugins()
    load_plugins([path])
    return function_revision(models["mine"].build)


def test_the_file_and_those_beside_it_are_part_of_a_runs_identity(tmp_path: Path) -> None:
    path = plugin(tmp_path)
    before = revision_in_a_new_process(path)
    assert before == revision_in_a_new_process(path)
    path.write_text(PLUGIN.replace("torch.relu", "torch.tanh"))
    edited = revision_in_a_new_process(path)
    plugin(tmp_path, "VALUE = 3\n", "beside_my_plugin.py")
    assert len({before, edited, revision_in_a_new_process(path)}) == 3
    assert plugin_revision(schemes["halves"].fill.__module__) is not None
    assert plugin_revision(schemes["he_normal"].fill.__module__) is None


def test_a_plugin_that_is_edited_after_it_was_loaded_is_refused(tmp_path: Path) -> None:
    """Its old code is in use, and must not be stored under the new code's hash; nor may a worker load other code."""
    path = plugin(tmp_path)
    load_plugins([path])
    before, given = function_revision(models["mine"].build), loaded_plugins()
    path.write_text(PLUGIN.replace("torch.relu", "torch.tanh"))
    assert function_revision(models["mine"].build) == before
    with pytest.raises(UsageError, match="was edited after it was loaded"):
        load_plugins([path])
    forget_plugins()
    with pytest.raises(UsageError, match="was edited while runs were executed"):
        load_same_plugins(given)


def test_what_a_plugin_prints_goes_to_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load_plugins([plugin(tmp_path, "print('hello')\n")])
    assert capsys.readouterr() == ("", "hello\n")


def test_a_model_class_beside_its_build_function_is_part_of_the_identity() -> None:
    def revision_of(text: str) -> str | None:
        namespace: dict[str, object] = {"__name__": "own"}
        exec(text, namespace)  # noqa: S102 # no file: what is typed at a prompt
        return function_revision(namespace["build"])  # type: ignore[arg-type]

    text = "class Net:\n    def forward(self, x):\n        return x + 1\ndef build():\n    return Net()\n"
    assert revision_of(text) == revision_of(text)
    assert revision_of(text) != revision_of(text.replace("x + 1", "x + 2"))


@pytest.mark.usefixtures("forked_workers")
def test_compare_finds_a_plugins_scheme_and_model_in_worker_processes_too(tmp_path: Path) -> None:
    command = ["compare", "--plugin", str(plugin(tmp_path)), "--seeds", "2"]
    command += ["--schemes", "halves,halves:value=0.1", "--set", "model.name=mine", "--set", "model.width=5"]
    ended = CliRunner().invoke(app, [*command, *TINY, "-j", "2", "--format", "json"])
    assert ended.exit_code == 0, ended.output
    comparison = json.loads(ended.stdout)
    assert [row["scheme"] for row in comparison["schemes"]] == ["halves", "halves:value=0.1"]
    assert comparison["config"]["model"] == {"name": "mine", "width": 5}


def test_the_examples_of_contributing_work_as_plugins(tmp_path: Path) -> None:
    text = (Path(__file__).parent.parent / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")
    examples = [textwrap.dedent(block) for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL)]
    on_a_weight, on_a_model, model = examples
    on_a_model = "from initbench import register_scheme\n" + on_a_model.replace('"nn.Module"', "object")
    for name, example in {"one.py": on_a_weight, "two.py": on_a_model, "three.py": model}.items():
        load_plugins([plugin(tmp_path / name, example, name)])
    for scheme in ("mine", "mine_too"):
        assert all(finding.passed is not False for finding in check(scheme)), scheme
    config = {**tiny(train={"epochs": 1}), "model": {"name": "two_layers", "width": 5}, "init": {"scheme": "mine"}}
    assert initbench.run(config, runs_dir=None).status == "done"
