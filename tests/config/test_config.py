"""The config: its defaults, every rule with the line that breaks it, overrides, the round trip, and fuzzing."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import typer
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import field_validator, model_validator
from typer.testing import CliRunner

from initbench.cli.validate import validate
from initbench.config import Config, load_config, make_config
from initbench.errors import ConfigError

DEFAULTS = """\
name: null
model:
  name: mlp
  hidden: [256, 256]
  activation: relu
  dropout: 0.0
  norm: none
  residual: false
  bias: true
init:
  scheme: xavier_uniform:gain=1.0
  bias: default
  layers: {}
data:
  name: mnist
  batch_size: 100
  drop_last: true
  limit: null
  fallback: digits
  eval_scale: 1.0
train:
  epochs: 15
  optimizer: adam
  lr: 0.001
  momentum: 0.0
  nesterov: false
  betas: [0.9, 0.999]
  weight_decay: 0.0
  schedule: constant
  clip_norm: null
  threads: 1
  precision: float32
  engine: auto
  signals: 0
inspect:
  schemes: []
  input: null
  shape: [1, 28, 28]
  samples: 256
seed: 0
device: auto
"""
NAME = (
    "allowed: null, or text (quote a number) of 1 to 64 letters, digits, '.', '_' or '-', with no '..', "
    "starting with a letter or digit."
)
TOP = "name, model, init, data, train, inspect, seed, device"
TRAIN = (
    "epochs, optimizer, lr, momentum, nesterov, betas, weight_decay, schedule, clip_norm, threads, precision, engine,"
    " signals"
)
SCHEMES = "allowed: a list of at most 100 schemes, such as [xavier, he, normal:std=1]."
SIZE = "a whole number from 1 to 100000"
MLP = "name, hidden, activation, dropout, norm, residual, bias"
WIDTH = "a whole number from 1 to 100000"
WIDTHS = "a list (at most 10000) of whole numbers from 1 to 100000, or a mapping such as {width: 300, depth: 50}"
SIZES = "a whole number from 1 to 1000, or a list of one or more, the last of which repeats"
ODD = "3, 5, 7, ... (1 + 2 for each block) of one width. Set model.hidden, such as {width: 100, depth: 21}"
DEVICE = "allowed: auto, cpu, cuda or cuda:<number>, such as cuda:0."
INIT = "scheme, bias, layers"
DATA = "name, batch_size, drop_last, limit, fallback, eval_scale"
SEED = "a whole number from 0 to 9223372036854775807"
RATE = "a number above 0 and at most 1000000"
FRACTION = "a number at least 0 and below 1"


def _written(folder: Path, text: str) -> Path:
    path = folder / "c.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def _complaint(path: Path | None, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    return str(caught.value).replace(f"{path}:", "")


def test_the_defaults() -> None:
    assert load_config(None).to_yaml() == DEFAULTS
    assert make_config({}) == load_config(None)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        # the top level
        ("- 1", f"1:1: got [1], allowed: a mapping with the keys {TOP}."),
        ("hello", f"1:1: got 'hello', allowed: a mapping with the keys {TOP}."),
        ("sed: 1", f"1:1: sed: unknown key. Did you mean 'seed'? Allowed: {TOP}."),
        ("seed: 1\nepochs: 3", f"2:1: epochs: unknown key. Did you mean 'train.epochs'? Allowed: {TOP}."),
        ('"\\e[31m": 1', rf"1:1: '\x1b[31m': unknown key. Allowed: {TOP}."),
        ("name: ../x", f"1:7: name: got '../x', {NAME}"),
        ("name: a..b", f"1:7: name: got 'a..b', {NAME}"),
        ("name: <script>", f"1:7: name: got '<script>', {NAME}"),
        ('name: "[red]"', f"1:7: name: got '[red]', {NAME}"),
        ('name: "a\\n"', rf"1:7: name: got 'a\n', {NAME}"),
        ("name: 5", f"1:7: name: got 5, {NAME}"),
        ("seed: -1", f"1:7: seed: got -1, allowed: {SEED}."),
        ("seed: 9223372036854775808", f"1:7: seed: got 9223372036854775808, allowed: {SEED}."),
        ("seed: true", f"1:7: seed: got true, allowed: {SEED}."),
        ("seed: 1_000", f"1:7: seed: got '1_000', allowed: {SEED}. Write 1000, without quotes or separators."),
        ("device: gpu", f"1:9: device: got 'gpu', {DEVICE}"),
        ("device: cuda:-1", f"1:9: device: got 'cuda:-1', {DEVICE}"),
        ("device: null", f"1:9: device: got null, {DEVICE}"),
        # model
        ("model: [mlp]", f"1:8: model: got ['mlp'], allowed: a mapping of {MLP}."),
        ("model: {name: mpl}", "1:15: model.name: unknown model 'mpl'. Did you mean 'mlp'?"),
        ("model: nothing_like_it", "1:8: model.name: unknown model 'nothing_like_it'."),
        ("model: {name: 3}", "1:15: model.name: got 3, allowed: "),
        ("model: {hiden: [1]}", f"1:9: model.hiden: unknown key. Did you mean 'hidden'? Allowed: {MLP}."),
        ("model:\n  hidden: [64, 0]",
         f"2:16: model.hidden[1]: got 0, allowed: {WIDTH}."),
        ("model: {hidden: 64}", f"1:17: model.hidden: got 64, allowed: {WIDTHS}."),
        ("model: {hidden: {width: 3, widht: 3, depth: 2}}",
         "1:28: model.hidden.widht: unknown key. Did you mean 'width'? Allowed: width, depth."),
        ("model: {hidden: {width: 0, depth: 3}}", f"1:25: model.hidden.width: got 0, allowed: {WIDTH}."),
        ("model: {hidden: {width: 3}}",
         "1:17: model.hidden.depth: missing; write a whole number from 1 to 10000."),
        ("model: {hidden: {width: 300, depth: 50, x: 1}}",
         "1:41: model.hidden.x: unknown key. Allowed: width, depth."),
        ("model: {hidden: {width: 300, depth: 10001}}",
         "1:37: model.hidden.depth: got 10001, allowed: a whole number from 1 to 10000."),
        ("model: {residual: true}",
         f"1:19: model.residual: got true with 2 hidden layers, allowed: {ODD}."),
        ("model: {residual: true, hidden: [3, 4, 3]}",
         f"1:19: model.residual: got true with 3 hidden layers of different widths, allowed: {ODD}."),
        ("model: {name: cnn, channels: []}", "1:30: model.channels: got [], allowed: one width or more. For a network "
         "without convolutions use model: mlp."),
        ("model: {name: cnn, kernel: 0}", f"1:28: model.kernel: got 0, allowed: {SIZES}."),
        ("model: {name: cnn, stride: []}", f"1:28: model.stride: got [], allowed: {SIZES}."),
        ("model: {name: cnn, pool_size: [2, x]}",
         "1:35: model.pool_size[1]: got 'x', allowed: a whole number from 1 to 1000."),
        ("model: {name: cnn, kernel: [5, 4]}", "1:28: model.kernel: got 4, allowed with padding same: odd sizes. "
         "Change it or set padding: none."),
        ("model: {name: cnn, stride: [2, 2, 1]}",
         "1:28: model.stride: got 3 sizes, allowed: at most one for each of the 2 convolutions."),
        ("model: {name: cnn, padding: none, padding_mode: reflect}",
         "1:49: model.padding_mode: got 'reflect', but nothing is padded. Set model.padding: same."),
        ("model: {name: cnn, groups: 4}",
         "1:28: model.groups: got 4, allowed: what divides all of model.channels, so 1 or a divisor of 2."),
        ("model: {name: rnn, permutation: 3}",
         "1:33: model.permutation: got 3, but only pixels are permuted. Set model.input: pixels."),
        ("model: {name: rnn, cell: gru, activation: relu}",
         "1:43: model.activation: got 'relu', but the cell gru has tanh built in. Set model.cell: rnn."),
        ("model: {name: rnn, hidden: [128]}", f"1:28: model.hidden: got [128], allowed: {WIDTH}."),
        ("model: {activation: rleu}", "1:21: model.activation: got 'rleu', allowed: relu, tanh, sigmoid, leaky_relu, "
         "elu, selu, gelu, silu, softsign, linear. Did you mean 'relu'?"),
        ("model: {dropout: 1}", f"1:18: model.dropout: got 1, allowed: {FRACTION}."),
        ("model: {bias: yes}", "1:15: model.bias: got 'yes', allowed: true, false. Did you mean true?"),
        # init
        ("init: {scheme: xavier_norml}", "1:16: init.scheme: unknown scheme 'xavier_norml'. "
         "Did you mean 'xavier_normal'?"),
        ("init: {scheme: 5}",
         "1:16: init.scheme: got 5, allowed: a scheme, such as xavier_uniform or normal:std=0.01."),
        ("init: {scheme: normal, sdt: 1}", "1:24: init.sdt: unknown key. Did you mean 'std'? "
         "Allowed: scheme, bias, layers; the parameters of normal: mean, std."),
        ("init: {scheme: zeros, std: 1}", f"1:23: init.std: unknown key. Allowed: {INIT}; zeros has no parameters."),
        ("init: {scheme: normal:std=1, std: 2}",
         "1:30: init.std: given in the scheme 'normal:std=1' as well. Remove one."),
        ("init: {scheme: normal, std: [1]}", "1:29: init.std: got [1], allowed: one number or word."),
        ("init: {scheme: normal, std: 1:mean=3}", "1:29: init.std: got '1:mean=3', allowed: one number or word."),
        ("init: {scheme: normal, std: abc}", "1:29: init.std: scheme 'normal': std=abc: "),
        ("init: {bias: zero}",
         "1:14: init.bias: got 'zero', allowed: zeros, default or a finite float32 number. Did you mean 'zeros'?"),
        ("init: {bias: true}", "1:14: init.bias: got true, allowed: zeros, default or a finite float32 number."),
        ("init: {bias: .nan}", "1:14: init.bias: got nan, allowed: zeros, default or a finite float32 number."),
        # data
        ("data: {name: mnits}", "1:14: data.name: unknown dataset 'mnits'. Did you mean 'mnist'?"),
        ("data: {batch_size: 0}", "1:20: data.batch_size: got 0, allowed: a whole number from 1 to 1000000."),
        ("data: {batch_size: 1.0}", "1:20: data.batch_size: got 1.0, allowed: a whole number from 1 to 1000000."),
        ("data: {limit: -5}", "1:15: data.limit: got -5, allowed: a whole number from 1 to 10000000 or null."),
        ("data: {limit: 50}", "1:15: data.limit: got 50, fewer than one batch of 100, and the last, smaller batch is "
         "dropped. Lower data.batch_size or set data.drop_last: false."),
        ("data: {fallback: mnist}", "1:18: data.fallback: got 'mnist', allowed: digits, none."),
        ("data: {eval_scale: 0}", f"1:20: data.eval_scale: got 0, allowed: {RATE}."),
        ("data: 5", f"1:7: data: got 5, allowed: a mapping of {DATA}."),
        # train
        ("train:\n  epochs: true", "2:11: train.epochs: got true, allowed: a whole number from 1 to 100000."),
        ("train: {epochs: 100001}", "1:17: train.epochs: got 100001, allowed: a whole number from 1 to 100000."),
        ("train: {epoch: 1}", f"1:9: train.epoch: unknown key. Did you mean 'epochs'? Allowed: {TRAIN}."),
        ("train: {lr: 0}", f"1:13: train.lr: got 0, allowed: {RATE}."),
        ("train: {lr: .inf}", f"1:13: train.lr: got inf, allowed: {RATE}."),
        ("train: {lr: '0.1'}",
         f"1:13: train.lr: got '0.1', allowed: {RATE}. Write 0.1, without quotes or separators."),
        ("train: {optimizer: adamm}",
         "1:20: train.optimizer: got 'adamm', allowed: sgd, adam, adamw, rmsprop. Did you mean 'adam'?"),
        ("train: {betas: [0.9]}", f"1:16: train.betas[1]: missing; write {FRACTION}."),
        ("train: {betas: [0.9, 1]}", f"1:22: train.betas[1]: got 1, allowed: {FRACTION}."),
        ("train: {betas: [0.9, 0.9, 0.9]}",
         f"1:16: train.betas: got [0.9, 0.9, 0.9], allowed: a list of 2: {FRACTION}; {FRACTION}."),
        ("train: {momentum: 0.9}", "1:19: train.momentum: got 0.9, but the optimizer adam has no momentum; sgd and "
         "rmsprop have it. Remove it or change train.optimizer."),
        ("train: {optimizer: rmsprop, nesterov: true}", "1:39: train.nesterov: got true, but the optimizer rmsprop has "
         "no nesterov; sgd has it. Remove it or change train.optimizer."),
        ("train: {optimizer: sgd, nesterov: true}",
         "1:35: train.nesterov: got true, but train.momentum is 0. Set train.momentum, such as 0.9."),
        ("train: {optimizer: sgd, betas: [0.8, 0.9]}",
         "1:32: train.betas: got [0.8, 0.9], but the optimizer sgd has no "
         "betas; adam and adamw have it. Remove it or change train.optimizer."),
        ("train: {clip_norm: -1}", f"1:20: train.clip_norm: got -1, allowed: {RATE} or null."),
        ("train: {threads: 0}", "1:18: train.threads: got 0, allowed: a whole number from 1 to 1024."),
        (
            "train: {precision: bfloat}",
            "1:20: train.precision: got 'bfloat', allowed: float32, bfloat16. Did you mean 'bfloat16'?",
        ),
        (
            "train: {engine: stack}",
            "1:17: train.engine: got 'stack', allowed: auto, sequential, stacked. Did you mean 'stacked'?",
        ),
        ("train: {signals: -1}", "1:18: train.signals: got -1, allowed: a whole number from 0 to 100000."),
        ("train: {signals: true}", "1:18: train.signals: got true, allowed: a whole number from 0 to 100000."),
        # inspect
        ("inspect: 5", "1:10: inspect: got 5, allowed: a mapping of schemes, input, shape, samples."),
        ("inspect: {sample: 5}",
         "1:11: inspect.sample: unknown key. Did you mean 'samples'? Allowed: schemes, input, shape, samples."),
        ("schemes: [he]", f"1:1: schemes: unknown key. Did you mean 'inspect.schemes'? Allowed: {TOP}."),
        ("inspect: {schemes: 'xavier,he'}", f"1:20: inspect.schemes: got 'xavier,he', {SCHEMES}"),
        ("inspect: {schemes: he}", f"1:20: inspect.schemes: got 'he', {SCHEMES}"),
        ("inspect: {schemes: null}", f"1:20: inspect.schemes: got null, {SCHEMES}"),
        ("inspect: {schemes: {he: 1}}", f"1:20: inspect.schemes: got {{he: 1}}, {SCHEMES}"),
        ("inspect:\n  schemes:\n  - he\n  - xavier_norml",
         "4:5: inspect.schemes[1]: unknown scheme 'xavier_norml'. Did you mean 'xavier_normal'?"),
        ("inspect: {schemes: [5]}",
         "1:21: inspect.schemes[0]: got 5, allowed: a scheme, such as xavier_uniform or normal:std=0.01."),
        ("inspect: {schemes: [he, xavier, glorot_uniform]}", "1:33: inspect.schemes[2]: the same scheme as "
         "inspect.schemes[1]: xavier_uniform:gain=1.0. Remove one."),
        (f"inspect: {{schemes: [{', '.join(f'normal:std={i}' for i in range(1, 102))}]}}",
         "1:20: inspect.schemes: got ['normal:std=1', "),
        ("inspect: {input: mnits}", "1:18: inspect.input: unknown input 'mnits'. Did you mean 'mnist'?"),
        ("inspect: {input: gausian}", "1:18: inspect.input: unknown input 'gausian'. Did you mean 'gaussian'?"),
        ("inspect: {input: 3}",
         "1:18: inspect.input: got 3, allowed: null, gaussian, digits, fashion_mnist, kmnist, mnist."),
        ("inspect: {shape: 784}", f"1:18: inspect.shape: got 784, allowed: a list of 3: {SIZE}; {SIZE}; {SIZE}."),
        ("inspect: {shape: [28, 28]}", f"1:18: inspect.shape[2]: missing; write {SIZE}."),
        ("inspect: {shape: [1, 0, 28]}", f"1:22: inspect.shape[1]: got 0, allowed: {SIZE}."),
        ("inspect: {shape: [1, 1, 100001]}", f"1:25: inspect.shape[2]: got 100001, allowed: {SIZE}."),
        ("inspect: {shape: [101, 100000, 1]}", "1:18: inspect.shape: got [101, 100000, 1], 10100000 values a sample, "
         "allowed: at most 10000000. Make it smaller."),
        ("inspect: {samples: 0}", "1:20: inspect.samples: got 0, allowed: a whole number from 1 to 1000000."),
        ("a: &a {x: *b}\ntrain: *c", "1:1: a: unknown key."),
    ],
)  # fmt: skip
def test_each_rule_has_its_line(tmp_path: Path, text: str, complaint: str) -> None:
    first_line = _complaint(_written(tmp_path, text)).splitlines()[0]
    assert first_line.startswith(complaint)
    assert (
        not complaint.endswith(".") or first_line == complaint or first_line[len(complaint) :].startswith(" Allowed:")
    )


def test_what_a_users_validator_says_is_shown_in_its_own_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from initbench import models

    class Options(models.ModelOptions):
        width: int = 2
        depth: int = 1

        @field_validator("width")
        @classmethod
        def _even(cls, width: int) -> int:
            if width % 2:
                raise ValueError(f"got {width}, allowed: even widths.\nAdd 1.")
            return width

        @model_validator(mode="after")
        def _shallow(self) -> Options:
            if self.depth > self.width:
                raise ValueError("deeper than {wide}")
            return self

    monkeypatch.setitem(models.models._items, "own", models.Model("own", Options, lambda *_: None))  # type: ignore[arg-type]
    path = _written(tmp_path, "seed: 1\nmodel:\n  name: own\n  width: 3")
    assert _complaint(path) == r"4:10: model.width: got 3, allowed: even widths.\nAdd 1."
    assert _complaint(path, "model.width=4", "model.depth=5") == "3:3: model: deeper than {wide}"


def test_all_problems_come_at_once_in_file_order(tmp_path: Path) -> None:
    text = """\
train: {lr: abc, momentum: 0.9, lr: 1}
seed: -1
init: {std: x, bias: [], scheme: normal, mode: 1}
model: {hidden: [0, 1, no], activatoin: relu}
seed: 2
data: !x {name: 5}
"""
    lines = _complaint(_written(tmp_path, text), "train.epochs=0", "device=gpu", "foo").splitlines()
    assert [line.split(" ")[0] + " " + line.split(" ")[1] for line in lines] == [
        "1:13: train.lr:",
        "1:28: train.momentum:",
        "1:33: train.lr:",
        "2:7: seed:",
        "3:13: init.std:",
        "3:22: init.bias:",
        "3:42: init.mode:",
        "4:18: model.hidden[0]:",
        "4:24: model.hidden[2]:",
        "4:29: model.activatoin:",
        "5:1: seed:",
        "6:7: data:",
        "6:17: data.name:",
        "--set train.epochs=0:",
        "--set device=gpu:",
        "--set foo:",
    ]


def test_hundreds_of_problems_do_not_fill_the_terminal(tmp_path: Path) -> None:
    lines = _complaint(_written(tmp_path, "".join(f"k{i}: 1\n" for i in range(500)))).splitlines()
    assert len(lines) == 101
    assert lines[-1].endswith("and 400 more problems.")


@pytest.mark.parametrize(
    ("text", "overrides", "changed"),
    [
        ("", ["train.lr=1e-3"], {}),
        ("", ["train.lr=1"], {"train.lr": 1.0}),
        ("", ["model.hidden=[64,32]", "model.dropout=.5"], {"model.hidden": [64, 32], "model.dropout": 0.5}),
        ("", ["model.hidden=[]"], {"model.hidden": []}),
        ("", ["model.hidden={width: 4, depth: 3}"], {"model.hidden": [4, 4, 4]}),
        ("model: {hidden: {width: 4, depth: 3}}", ["model.hidden.depth=2"], {"model.hidden": [4, 4]}),
        ("model: {hidden: {width: 4, depth: 3}}", ["model.hidden=[5]"], {"model.hidden": [5]}),
        ("", [" seed = 5 ", "seed=6"], {"seed": 6}),
        ("", ["train={lr: 0.1, epochs: 2}", "train.lr=0.2"], {"train.lr": 0.2, "train.epochs": 2}),
        ("train: {epochs: 3, lr: 0.1}", ["train={lr: 0.2}"], {"train.lr": 0.2, "train.epochs": 3}),
        ("train: {epochs: 3, lr: 0.1}", ["train=null"], {}),
        ("train:\nmodel:\nseed: 1", [], {"seed": 1}),
        ("name: a", ["name="], {}),
        ("name: a", ["name=no"], {"name": "no"}),
        ("model: mlp", ["model.hidden=[3]"], {"model.hidden": [3]}),
        ("data: digits", [], {"data.name": "digits"}),
        ("init: he", [], {"init.scheme": "he_uniform:gain=relu:mode=fan_in"}),
        ("", ["inspect.samples=10", "train.signals=2"], {"inspect.samples": 10, "train.signals": 2}),
        ("inspect: {samples: 3}", ["inspect.schemes=[xavier, normal:std=2]"],
         {"inspect.samples": 3, "inspect.schemes": ["xavier_uniform:gain=1.0", "normal:mean=0.0:std=2.0"]}),
        ("inspect: {schemes: [he]}", ["inspect.schemes=[]"], {}),
        ("inspect:", ["inspect.input=gaussian", "inspect.shape=[1, 1, 100]"],
         {"inspect.input": "gaussian", "inspect.shape": [1, 1, 100]}),
        ("inspect: {samples: 9, input: mnist}", ["inspect="], {}),
        ("init: {bias: 1}", [], {"init.bias": 1.0}),
        ("init: {bias: zeros}", [], {"init.bias": "zeros"}),
        ("init: {scheme: normal, std: 1e-2}", [], {"init.scheme": "normal:mean=0.0:std=0.01"}),
        ("init: {gain: 2}", [], {"init.scheme": "xavier_uniform:gain=2.0"}),
        ("init: {scheme: he, mode: fan_out}", [], {"init.scheme": "he_uniform:gain=relu:mode=fan_out"}),
        ("", ["init.scheme=normal:std=0.01"], {"init.scheme": "normal:mean=0.0:std=0.01"}),
        ("", ["init=zeros"], {"init.scheme": "zeros"}),
        # rule 3: a new scheme takes nothing from the old one; a new parameter replaces the old one
        ("init: {scheme: normal, std: 3, bias: 1}", ["init.scheme=normal"],
         {"init.scheme": "normal:mean=0.0:std=1.0", "init.bias": 1.0}),
        ("init: {scheme: normal, std: 3}", ["init.scheme=zeros"], {"init.scheme": "zeros"}),
        ("init: {scheme: normal, std: 3}", ["init.mean=2", "init.scheme=normal"],
         {"init.scheme": "normal:mean=2.0:std=1.0"}),
        ("init: {scheme: normal:mean=2:std=3}", ["init.std=4"], {"init.scheme": "normal:mean=2.0:std=4.0"}),
        ("init: {scheme: normal, mean: 2, std: 3}", ["init.std=4"], {"init.scheme": "normal:mean=2.0:std=4.0"}),
    ],
)  # fmt: skip
def test_overrides_and_short_forms(tmp_path: Path, text: str, overrides: list[str], changed: dict[str, object]) -> None:
    config = load_config(_written(tmp_path, text) if text else None, overrides)
    expected = make_config({}).to_dict()
    for path, value in changed.items():
        section, _, key = path.partition(".")
        (expected[section] if key else expected)[key or section] = value
    assert config.to_dict() == expected


def test_another_model_drops_the_options_of_the_old_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from initbench import models

    class Options(models.ModelOptions):
        width: int = 3

    monkeypatch.setitem(models.models._items, "other", models.Model("other", Options, lambda *_: None))  # type: ignore[arg-type]
    path = _written(tmp_path, "model: {hidden: [7], dropout: 0.5}")
    assert load_config(path, ["model.name=other"]).to_dict()["model"] == {"name": "other", "width": 3}
    assert load_config(path, ["model.width=4", "model=other"]).model.options.width == 4
    assert load_config(path, ["model.name=mlp"]).model.options.hidden == (7,)
    assert _complaint(None, "model={name: other, width: x, hidden: []}").splitlines() == [
        "--set model={name: other, width: x, hidden: []}: model.width: got 'x', allowed: a whole number.",
        "--set model={name: other, width: x, hidden: []}: model.hidden: unknown key. Allowed: name, width.",
    ]


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("train.lr=abc", f"train.lr: got 'abc', allowed: {RATE}."),
        ("train.lr", "write KEY=VALUE, such as train.lr=0.01."),
        ("=1", "write KEY=VALUE, such as train.lr=0.01."),
        ("a..b=1", "write KEY=VALUE, such as train.lr=0.01."),
        ("." * 50 + "=1", "write KEY=VALUE, such as train.lr=0.01."),
        ("trian.lr=1", f"trian: unknown key. Did you mean 'train'? Allowed: {TOP}."),
        ("seed.x=1", f"seed: got {{x: 1}}, allowed: {SEED}."),
        ("train=5", f"train: got 5, allowed: a mapping of {TRAIN}."),
        ("seed=[", "seed: not valid YAML: while parsing a flow node, expected the node content, but found "
         "'<stream end>'."),
        ("seed=!!int 5", "seed: tag 'tag:yaml.org,2002:int' is not allowed: a config is plain data. Remove the tag."),
    ],
)  # fmt: skip
def test_override_complaints_name_the_override(override: str, complaint: str) -> None:
    assert _complaint(None, override) == f"--set {override}: {complaint}"


def test_an_override_hides_what_it_replaces(tmp_path: Path) -> None:
    path = _written(tmp_path, "train: {lr: abc}\nseed: -1")
    assert load_config(path, ["train.lr=2", "seed=3"]).train.lr == 2.0


@pytest.mark.parametrize(
    "data",
    [
        {1: 2},
        {"seed": 10**5000},
        {"train": {"lr": 10**5000}},
        {"init": {"bias": 10**5000}},
        {"init": {"scheme": "normal", "std": 10**5000}},
        {"init": {"scheme": "normal", "std": {"a": object()}}},
        {"train": {"betas": {0.1, 0.2}}},
        {"model": {"name": b"mlp"}},
        {"name": "\ud800"},
        {"\ud800": 1},
        {"model": {"name": {"\ud800": 1}, "\ud800": 1}},
        {"model": {"activation": "\ud800"}},
        {"init": {"scheme": "\ud800"}},
        {"init": {"scheme": "normal:\ud800=1"}},
        {"init": {"\ud800": "\ud800"}},
        {"init": {"bias": {"\ud800": 1}}},
        {"data": {"name": "\ud800", "fallback": "\ud800"}},
        {"train": {"\ud800": 1, "lr": {"\ud800": 1}, "betas": ["\ud800"]}},
        [],
        None,
    ],
)
def test_python_data_that_is_no_config(data: object) -> None:
    with pytest.raises(ConfigError) as caught:
        make_config(data)  # type: ignore[arg-type]
    assert all(line.isprintable() for line in str(caught.value).split("\n"))


def test_python_data_that_contains_itself() -> None:
    data: list[object] = []
    data.extend([data] * 10)
    with pytest.raises(ConfigError, match="nested deeper"):
        make_config({"name": data})


def test_python_errors_name_the_key() -> None:
    with pytest.raises(ConfigError) as caught:
        make_config({"train": {"lr": -1}}, ["seed=x"])
    assert str(caught.value).splitlines() == [
        f"train.lr: got -1, allowed: {RATE}.",
        f"--set seed=x: seed: got 'x', allowed: {SEED}.",
    ]


def test_numbers_of_numpy_are_numbers() -> None:
    config = make_config(
        {"seed": np.int64(3), "train": {"lr": np.float32(0.5), "betas": np.array([0.5, 0.25]).tolist()}}
    )
    assert config.to_dict() == make_config({"seed": 3, "train": {"lr": 0.5, "betas": (0.5, 0.25)}}).to_dict()


def test_a_config_is_frozen_hashable_picklable() -> None:
    config = make_config({"model": {"hidden": [3]}, "init": "he", "inspect": {"schemes": ["he"], "shape": [1, 2, 3]}})
    same = make_config(config.to_dict())
    assert config == same == pickle.loads(pickle.dumps(config)) == Config.model_validate(config.to_dict())  # noqa: S301
    assert hash(config) == hash(same)
    assert config != make_config(config, ["seed=1"])
    assert config.model.options.hidden == config.model.options.model_dump()["hidden"] == (3,)
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 3  # type: ignore[misc]


TEXTS = ("1e5", "0o7", "1", "a.b", "no", "null", "true", "x" * 64, "2020-01-01", "0xff", "1_0")
finite = st.floats(min_value=1e-300, max_value=1e6, exclude_min=True)
complete = st.fixed_dictionaries(
    {},
    optional={
        "name": st.none() | st.sampled_from(TEXTS),
        "model": st.fixed_dictionaries(
            {},
            optional={
                "hidden": st.lists(st.integers(1, 9), max_size=3)
                | st.fixed_dictionaries({"width": st.integers(1, 9), "depth": st.integers(1, 10_000)}),
                "dropout": st.floats(0, 0.99),
            },
        ),
        "init": st.fixed_dictionaries(
            {"scheme": st.just("normal")}, optional={"std": finite, "bias": st.floats(-1e38, 1e38) | st.just("zeros")}
        ),
        "train": st.fixed_dictionaries({}, optional={"lr": finite, "clip_norm": st.none() | finite}),
        "inspect": st.fixed_dictionaries(
            {},
            optional={
                "schemes": st.lists(st.sampled_from(("xavier", "he", "normal:std=2", "zeros")), unique=True),
                "input": st.none() | st.sampled_from(("gaussian", "mnist")),
                "shape": st.lists(st.integers(1, 100), min_size=3, max_size=3),
                "samples": st.integers(1, 1_000_000),
            },
        ),
        "seed": st.integers(0, 2**63 - 1),
        "device": st.sampled_from(("cpu", "cuda", "cuda:0", "cuda:12")),
    },
)


@settings(max_examples=100, deadline=None)
@given(complete)
def test_yaml_and_json_load_back_equal(data: dict[str, object]) -> None:
    config = make_config(data)
    assert make_config(json.loads(json.dumps(config.to_dict(), allow_nan=False))) == config
    with tempfile.TemporaryDirectory() as folder:
        assert load_config(_written(Path(folder), config.to_yaml())) == config


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(TEXTS)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)
SECTIONS = yaml.safe_load(DEFAULTS).items()
KEYS = [(section, key) for section, keys in SECTIONS for key in (keys if isinstance(keys, dict) else [""])]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(KEYS), values)
def test_any_python_value_at_any_key_is_taken_or_refused(path: tuple[str, str], value: object) -> None:
    """As any file is: tests/reliability/test_config_fuzz.py."""
    section, key = path
    config = said = None
    try:
        config = make_config({section: {key: value} if key else value})
    except ConfigError as error:
        said = str(error)
    if config is not None:
        assert make_config(config) == make_config(config.to_dict()) == config
    else:
        assert all(line.isprintable() and len(line) < 1_000 for line in str(said).split("\n"))


app = typer.Typer()
app.command()(validate)


def test_validate_prints_the_resolved_config(tmp_path: Path) -> None:
    path = _written(tmp_path, "seed: 5")
    result = CliRunner().invoke(app, [str(path), "--set", "model.hidden=[3]", "--set", "train.lr=1e-2"])
    assert result.exit_code == 0
    expected = DEFAULTS.replace("seed: 0", "seed: 5").replace("[256, 256]", "[3]").replace("lr: 0.001", "lr: 0.01")
    assert result.stdout == expected


def test_validate_raises_for_the_application_to_print(tmp_path: Path) -> None:
    path = _written(tmp_path, "sed: 5")
    error = CliRunner().invoke(app, [str(path)]).exception
    assert isinstance(error, ConfigError)
    assert str(error) == f"{path}:1:1: sed: unknown key. Did you mean 'seed'? Allowed: {TOP}."


@pytest.mark.parametrize("statement", ["load_config(None)", "make_config({}, ['init=he', 'model.hidden=[3]'])"])
def test_config_does_not_import_torch(statement: str) -> None:
    code = (
        f"import sys; from initbench.config import *; {statement}.to_yaml(); import initbench.cli.validate;"
        "print([m for m in ('torch', 'torchvision', 'scipy', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_order_of_layer_patterns_has_a_meaning_and_counts() -> None:
    one, other = {"out": "zeros", "*": "ones"}, {"*": "ones", "out": "zeros"}
    first, second = (make_config({"init": {"layers": layers}}) for layers in (one, other))
    assert first != second
    assert hash(first) != hash(second)
    assert first == make_config({"init": {"layers": dict(one)}})


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ("{a: null}", "init.layers.a: got null, allowed: a scheme, such as xavier_uniform or normal:std=0.01."),
        ("{a: xaviar}", "init.layers.a: unknown scheme 'xaviar'. Did you mean 'xavier'?"),
        ("[1]", "init.layers: got [1], allowed: a mapping of layer patterns to schemes"),
    ],
)
def test_wrong_layers_are_one_line(layers: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, [f"init.layers={layers}"])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"name": "\ud800"}, "name: text with '\\ud800', which is half of a character. Remove it."),
        ({"init": {"layers": {"\udfff": "he"}}}, "text with '\\udfff', which is half of a character. Remove it."),
    ],
)
def test_text_that_no_file_can_hold_is_refused(data: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_config(data)
    assert str(caught.value).endswith(message)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("init.layers.\udcff=he", "--set init.layers.\\udcff=he: text with '\\udcff', which is half of a character."),
        ("name=" + "x" * 70_000, "70005 characters; write 65536 at most, or put it into the config file."),
    ],
)
def test_overrides_that_no_terminal_sends(override: str, message: str) -> None:
    assert message in _complaint(None, override)
