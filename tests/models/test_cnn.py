"""The convolutional network: its layers, the function it computes, and the images that it does not fit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from model_table import build, count
from torch import nn
from torch.nn import functional

from initbench import initialize
from initbench.errors import UsageError
from initbench.models import models

DEEP: dict[str, Any] = {"kernel": 3, "pool": "none", "readout": "mean", "hidden": []}


@pytest.mark.parametrize(
    ("image_shape", "options", "parameters"),
    [
        ((1, 28, 28), {}, 6 * 25 + 6 + 16 * 6 * 25 + 16 + 16 * 7 * 7 * 120 + 120 + 120 * 84 + 84 + 84 * 10 + 10),
        ((1, 8, 8), {}, 6 * 25 + 6 + 16 * 6 * 25 + 16 + 16 * 2 * 2 * 120 + 120 + 120 * 84 + 84 + 84 * 10 + 10),
        ((1, 32, 32), {"padding": "none"},  # LeNet-5: 28x28, 14x14, 10x10, 5x5
         6 * 25 + 6 + 16 * 6 * 25 + 16 + 16 * 5 * 5 * 120 + 120 + 120 * 84 + 84 + 84 * 10 + 10),
        ((3, 28, 28), {"channels": [4], "bias": False, "readout": "mean", "hidden": []}, 4 * 3 * 25 + 4 * 10),
        ((1, 28, 28), {"channels": [4, 8], "norm": "batch", "hidden": [], "kernel": [3, 1]},
         4 * 9 + 4 + 2 * 4 + 8 * 4 + 8 + 2 * 8 + 8 * 7 * 7 * 10 + 10),
        ((1, 28, 28), {"channels": [8, 8, 8], "groups": 8, **DEEP}, 8 * 9 + 8 + 2 * (8 * 9 + 8) + 8 * 10 + 10),
        ((1, 28, 28), {"channels": [8, 4], "groups": 2, **DEEP}, 8 * 9 + 8 + 4 * 8 // 2 * 9 + 4 + 4 * 10 + 10),
        ((1, 28, 28), {"channels": {"width": 8, "depth": 1000}, **DEEP},
         8 * 9 + 8 + 999 * (8 * 8 * 9 + 8) + 8 * 10 + 10),
    ],
    ids=str,
)  # fmt: skip
def test_parameter_count(image_shape: tuple[int, int, int], options: dict[str, Any], parameters: int) -> None:
    assert count(build("cnn", image_shape, **options)) == parameters


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, "conv1 act1 pool1 conv2 act2 pool2 flatten fc1 act3 fc2 act4 out"),
        ({"norm": "batch", "pool_size": [1, 2], "hidden": [9]},
         "conv1 norm1 act1 conv2 norm2 act2 pool2 flatten fc1 act3 out"),
        (DEEP, "conv1 act1 conv2 act2 mean flatten out"),
    ],
)  # fmt: skip
def test_layer_names_and_order(options: dict[str, Any], names: str) -> None:
    assert " ".join(name for name, _ in build("cnn", **options).named_children()) == names


@pytest.mark.parametrize("pool", ["avg", "max"])
def test_the_default_computes_lenets_function(pool: str) -> None:
    model, images = build("cnn", pool=pool), torch.rand(3, 1, 28, 28)
    of = dict(model.named_parameters())
    pooled = functional.avg_pool2d if pool == "avg" else functional.max_pool2d
    x = images
    for conv in ("conv1", "conv2"):
        x = pooled(functional.conv2d(x, of[f"{conv}.weight"], of[f"{conv}.bias"], padding=2).clamp(min=0), 2)
    x = x.flatten(1)
    for fc in ("fc1", "fc2"):
        x = (x @ of[f"{fc}.weight"].T + of[f"{fc}.bias"]).clamp(min=0)
    assert torch.allclose(model(images), x @ of["out.weight"].T + of["out.bias"], atol=1e-6)


def test_circular_convolution_is_a_sum_of_rolled_images() -> None:
    conv, x = build("cnn", channels=[4], **DEEP, padding_mode="circular").get_submodule("conv1"), torch.rand(2, 1, 6, 8)
    weight, bias = conv.get_parameter("weight"), conv.get_parameter("bias")
    y = bias.view(1, 4, 1, 1).expand(2, 4, 6, 8)
    for i in range(3):
        for j in range(3):
            y = y + weight[:, :, i, j].view(1, 4, 1, 1) * x.roll((1 - i, 1 - j), (2, 3))
    assert torch.allclose(conv(x), y, atol=1e-6)


@pytest.mark.parametrize("mode", ["circular", "zeros"])
def test_circular_convolutions_and_no_others_follow_a_shifted_image(mode: str) -> None:
    options = {**DEEP, "channels": {"width": 6, "depth": 4}, "activation": "tanh", "padding_mode": mode}
    model, x = build("cnn", (1, 8, 8), **options), torch.rand(2, 1, 8, 8)
    initialize(model, "lecun_normal", generator=torch.Generator().manual_seed(0))
    convolutions = nn.Sequential(*list(model.children())[:-3])
    shifted = convolutions(x.roll((3, 5), (2, 3)))
    follows = torch.allclose(shifted, convolutions(x).roll((3, 5), (2, 3)), atol=1e-5)
    assert follows == (mode == "circular")


def test_each_group_sees_its_own_channels_from_the_second_convolution_on() -> None:
    model = build("cnn", (2, 8, 8), channels=[6, 4], groups=2, **DEEP)
    first, second = model.get_submodule("conv1"), model.get_submodule("conv2")
    assert isinstance(first, nn.Conv2d)
    assert first.groups == 1
    x, weight, bias = torch.rand(2, 6, 8, 8), second.get_parameter("weight"), second.get_parameter("bias")
    halves = [
        functional.conv2d(part, weight[rows], bias[rows], padding=1)
        for part, rows in zip(x.chunk(2, dim=1), (slice(0, 2), slice(2, 4)), strict=True)
    ]
    assert torch.allclose(second(x), torch.cat(halves, dim=1), atol=1e-6)


def test_the_mean_readout_averages_each_channel_over_space() -> None:
    model, x = build("cnn", channels=[4], **DEEP), torch.rand(2, 1, 28, 28)
    features = model.get_submodule("act1")(model.get_submodule("conv1")(x))
    assert torch.allclose(model(x), model.get_submodule("out")(features.mean(dim=(2, 3))), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ({"stride": [2, 2, 1]}, [14, 7, 7, 7]),
        ({"stride": 2}, [14, 7, 4, 2]),
        ({"pool": "max", "pool_size": [2, 1, 3, 1]}, [14, 14, 4, 4]),
        ({"padding": "none", "kernel": [5, 3]}, [24, 22, 20, 18]),
    ],
)
def test_the_last_size_of_a_list_holds_for_all_further_layers(options: dict[str, Any], sizes: list[int]) -> None:
    x, seen = torch.rand(1, 1, 28, 28), []
    for name, layer in build("cnn", **{**DEEP, "channels": [2] * 4, **options}).named_children():
        if name.startswith(("conv", "mean")):
            seen.append(x.shape[2])
        x = layer(x)
    assert seen[1:] == sizes


def test_equal_settings_are_equal_however_they_are_written() -> None:
    options = models["cnn"].options
    long = options(channels=[8] * 12, kernel=[3, 3, 3], stride=[2, 1, 1], pool_size=(2,))
    short = options(channels={"width": 8, "depth": 12}, kernel=3, stride=[2, 1], pool_size=2)
    assert long == short
    assert hash(long) == hash(short)
    written = short.model_dump(mode="json")
    assert written["channels"] == {"width": 8, "depth": 12}
    assert (written["kernel"], written["stride"], written["hidden"]) == (3, [2, 1], [120, 84])
    assert options(**written) == short


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": {"width": 4, "depth": 9}, "kernel": 3},
         "pool4 (model.pool_size) needs 2x2 pixels, but 1x1 are left of the image. Shrink it less, such as with lists "
         "that end in 1, which repeats: model.pool_size=[2,2,1], or use model.padding=same."),
        ({"padding": "none"}, "conv2 (model.kernel, model.stride) needs 5x5 pixels, but 2x2 are left of the image."),
        ({"padding": "none", "kernel": 9}, "conv1 (model.kernel, model.stride) needs 9x9 pixels, but 8x8 are left"),
        ({"padding_mode": "reflect", "kernel": 17},
         "model.padding_mode reflect: conv1 pads 8 pixels on each side of 8x8, at most 7 are possible. Lower "
         "model.kernel, shrink the image less, or use padding_mode zeros."),
        ({"padding_mode": "circular", "kernel": [3, 11]},
         "model.padding_mode circular: conv2 pads 5 pixels on each side of 4x4, at most 4 are possible."),
    ],
    ids=str,
)  # fmt: skip
def test_an_image_that_is_too_small_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        build("cnn", (1, 8, 8), **options)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "options",
    [{"padding_mode": "reflect", "kernel": [15, 7]}, {"padding_mode": "circular", "kernel": [17, 9]},
     {"padding_mode": "replicate", "kernel": 31}, {"kernel": 31}, {"padding": "none", "kernel": [5, 2]}],
    ids=str,
)  # fmt: skip
def test_an_image_that_is_just_large_enough_fits(options: dict[str, Any]) -> None:
    assert build("cnn", (1, 8, 8), pool_size=[2, 1], **options)(torch.rand(2, 1, 8, 8)).shape == (2, 10)
