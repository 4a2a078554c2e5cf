"""`initbench inspect` from the outside: what stdout and files hold, and one line for everything that is wrong."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from initbench.cli.app import app
from initbench.errors import InitbenchError

SMALL = ["--input", "gaussian", "--set", "inspect.shape=[1,1,12]", "--samples", "40", "--set", "model.hidden=[16,8]"]
NO_BIAS = ["--set", "init.bias=zeros"]
CONFIGS = Path(__file__).parent.parent.parent / "configs"


def call(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["inspect", *arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def error(*arguments: str) -> str:
    """Return what an error says: the program prints it as one line (app.main)."""
    result = CliRunner().invoke(app, ["inspect", *arguments])
    assert isinstance(result.exception, InitbenchError), (result.output, result.exception)
    assert result.exception.exit_code == 2
    assert result.stdout == ""
    return str(result.exception)


@pytest.mark.parametrize("columns", [80, 120])
def test_the_table_has_every_scheme_layer_and_verdict(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = call(*SMALL, "--schemes", "he,zeros,normal:std=0.01").stdout
    for text in ("he", "zeros", "normal:std=0.01", "fc1", "fc2", "out", "healthy", "█", "40 inputs N(0, 1)"):
        assert text in shown
    assert max(map(len, shown.splitlines())) <= columns
    assert "nan" not in shown.lower()


def test_json_is_one_strict_document_with_every_number() -> None:
    document = json.loads(call(*SMALL, "--schemes", "he,xavier", "--format", "json").stdout, parse_constant=pytest.fail)
    assert [report["scheme"] for report in document["reports"]] == ["he", "xavier"]
    layer = document["reports"][0]["layers"][0]
    assert sum(layer["histogram"]["counts"]) == 40 * 16
    assert layer["theory"]["pre_rms"] > 0
    assert document["config"]["inspect"]["input"] == "gaussian"


def test_csv_has_the_same_numbers() -> None:
    rows = list(csv.DictReader(io.StringIO(call(*SMALL, "--schemes", "he", "--format", "csv").stdout)))
    document = json.loads(call(*SMALL, "--schemes", "he", "--format", "json").stdout)
    [found] = [row for row in rows if (row["part"], row["name"], row["quantity"]) == ("layer", "fc1", "pre_rms")]
    assert float(found["value"]) == document["reports"][0]["layers"][0]["pre_rms"]


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    """What each suffix gives: tests/report/test_plots.py."""
    picture = tmp_path / "signals.svg"
    call(*SMALL, "--schemes", "he,xavier", "--plot", str(picture))
    assert picture.read_bytes().startswith(b"<?xml")


def test_the_result_goes_to_a_file(tmp_path: Path) -> None:
    for name in ("table", "json", "csv"):
        out = tmp_path / name
        assert call(*SMALL, "--format", name, "--out", str(out)).stdout == ""
        assert out.read_text()


def test_the_sources_experiment_is_one_command() -> None:
    document = json.loads(call(str(CONFIGS / "sigmoid-histograms.yaml"), "--format", "json").stdout)
    kinds = {report["scheme"]: [one["kind"] for one in report["verdicts"]] for report in document["reports"]}
    assert list(kinds) == ["normal", "normal:std=0.01", "xavier_normal", "he_normal"]
    assert "saturates" in kinds["normal"]
    assert "collapses" in kinds["normal:std=0.01"]
    assert "keeps a spread" in kinds["xavier_normal"]
    for report in document["reports"]:
        assert report["samples"] == 1000
        assert [layer["units"] for layer in report["layers"]] == [100] * 5 + [10]


@pytest.mark.parametrize("format_", ["table", "json", "csv"])
def test_phases_need_no_network(format_: str) -> None:
    shown = call("--phase", "tanh", "--schemes", "xavier,normal:std=0.1", "--format", format_).stdout
    assert "ordered" in shown
    assert "chaotic" in shown


def test_phases_are_drawn(tmp_path: Path) -> None:
    call("--phase", "relu", "--schemes", "he", "--plot", str(tmp_path / "phases.png"))
    assert (tmp_path / "phases.png").read_bytes().startswith(b"\x89PNG")


def test_schemes_lie_where_their_formula_says() -> None:
    document = json.loads(
        call("--phase", "tanh", "--schemes", "xavier,normal:std=0.1", *NO_BIAS, "--format", "json").stdout
    )
    found = {point["name"]: point for point in document["points"]}
    assert found["xavier_uniform"]["sigma_w"] == pytest.approx(1)
    assert found["normal:std=0.1"]["sigma_w"] == pytest.approx(0.1 * 256**0.5)
    assert found["normal:std=0.1"]["sigma_b"] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([*SMALL, "--schemes", "hee"], "Did you mean 'he'"),
        ([*SMALL, "--schemes", "he,kaiming"], "same scheme"),
        ([*SMALL, "--schemes", ","], "name at least one"),
        ([*SMALL, "--schemes", "dirac"], "fills tensors with"),
        ([*SMALL, "--layers", "fc7"], "matches no layer of this model. Its layers: fc1, fc2, out."),
        (["--input", "gausian"], "--input gausian: unknown input"),
        (["--samples", "0"], "--samples 0"),
        ([*SMALL, "--set", "inspect.shape=[1,12]"], "inspect.shape"),
        ([*SMALL, "--set", "init.layers={fc9: zeros}"], "matches no weight"),
        ([*SMALL, "--plot", "picture.bmp"], ".png, .svg"),
        ([*SMALL, "--plot", "nowhere/picture.png"], "cannot be written"),
        ([*SMALL, "--out", "nowhere/file"], "cannot be written"),
        (["--phase", "tanhh"], "Did you mean 'tanh'"),
        (["--phase", "tanh", "--schemes", "zeros"], "has no place among the phases"),
        (["--phase", "tanh", "--schemes", "lsuv"], "has no place among the phases"),
        (["--phase", "tanh", "--schemes", "xavier", "--set", "init.bias=1"], "init.bias 1"),
        (["nosuch.yaml"], "nosuch.yaml"),
        (["--input", "gaussian", "--samples", "1000000", "--set", "inspect.shape=[1,1000,1000]"], "more than"),
        (["--device", "cuda:7", *SMALL], "cuda:7"),
    ],
    ids=lambda value: " ".join(value[-2:]) if isinstance(value, list) else "",
)
def test_what_is_wrong_is_one_line(arguments: list[str], said: str) -> None:
    message = error(*arguments)
    assert said in message
    assert re.fullmatch(r"[^\n]+", message)


def test_a_users_model_and_scheme(tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "import torch\n"
        "from torch import nn\n"
        "from initbench import register_model, register_scheme\n"
        "from initbench.models import ModelOptions\n"
        "@register_scheme('tiny_weights', formula='W = 1e-3 z', source='me', good_for='a test')\n"
        "def tiny_weights(weight, *, generator):\n"
        "    '''Draw tiny weights.'''\n"
        "    weight.normal_(0, 1e-3, generator=generator)\n"
        "class Net(nn.Module):\n"
        "    def __init__(self, inputs, classes):\n"
        "        super().__init__()\n"
        "        self.a, self.b, self.spare = nn.Linear(inputs, 6), nn.Linear(6, classes), nn.Linear(2, 2)\n"
        "    def forward(self, x):\n"
        "        return self.b(torch.relu(self.a(x.flatten(1))))\n"
        "@register_model('of_mine', ModelOptions)\n"
        "def of_mine(options, image_shape, classes):\n"
        "    return Net(image_shape[0] * image_shape[1] * image_shape[2], classes)\n"
    )
    from initbench.models import models
    from initbench.schemes import schemes

    try:
        shown = call(
            "--plugin", str(plugin), "--schemes", "tiny_weights", "--set", "model.name=of_mine", "--input", "gaussian",
            "--samples", "20",
        ).stdout  # fmt: skip
    finally:
        models._items.pop("of_mine", None)
        schemes._items.pop("tiny_weights", None)
    assert "a relu" in shown
    assert "the loss does not depend on spare.weight" in shown.replace("\n", " ").replace("  ", " ")
