"""The convolutional network: Conv2d - norm - activation - pooling per layer, then Linear - activation, then Linear."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from initbench.activations import Activation, activation_module
from initbench.errors import UsageError
from initbench.models import ModelOptions, register_model
from initbench.models.layerwise import MAX_WIDTH, Sizes, Widths, of_layer

if TYPE_CHECKING:
    from torch import nn


class CNNOptions(ModelOptions):
    """Options of `cnn`. `channels` and `hidden` are widths: of the convolutions, and of the Linear layers after them.

    `kernel`, `stride` and `pool_size` are one number, or a list of one for each convolution of which the last repeats:
    in a deep network `stride: [2, 2, 1]` shrinks the image twice. `groups` splits every convolution but the first.
    `padding: same` keeps the image's size at stride 1; `readout: mean` averages each channel over space.
    """

    channels: Widths = (6, 16)
    padding: Literal["same", "none"] = "same"
    padding_mode: Literal["zeros", "circular", "reflect", "replicate"] = "zeros"
    kernel: Sizes = (5,)
    stride: Sizes = (1,)
    groups: Annotated[int, Field(ge=1, le=MAX_WIDTH)] = 1
    norm: Literal["none", "batch"] = "none"
    activation: Activation = "relu"
    pool: Literal["none", "max", "avg"] = "avg"
    pool_size: Sizes = (2,)
    readout: Literal["flatten", "mean"] = "flatten"
    hidden: Widths = (120, 84)
    bias: bool = True

    @field_validator("channels")
    @classmethod
    def _convolves(cls, channels: tuple[int, ...]) -> tuple[int, ...]:
        if not channels:
            raise ValueError("got [], allowed: one width or more. For a network without convolutions use model: mlp.")
        return channels

    @field_validator("padding_mode")
    @classmethod
    def _pads(cls, mode: str, info: ValidationInfo) -> str:
        if mode != "zeros" and info.data.get("padding") == "none":
            raise ValueError(f"got {mode!r}, but nothing is padded. Set model.padding: same.")
        return mode

    @field_validator("kernel")
    @classmethod
    def _has_a_centre(cls, kernel: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        even = [size for size in kernel if size % 2 == 0]
        if even and info.data.get("padding") == "same":
            raise ValueError(f"got {even[0]}, allowed with padding same: odd sizes. Change it or set padding: none.")
        return kernel

    @field_validator("kernel", "stride", "pool_size")
    @classmethod
    def _one_for_each(cls, sizes: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        layers = len(info.data.get("channels", sizes))
        if len(sizes) > layers:
            raise ValueError(f"got {len(sizes)} sizes, allowed: at most one for each of the {layers} convolutions.")
        return sizes

    @field_validator("groups")
    @classmethod
    def _divides(cls, groups: int, info: ValidationInfo) -> int:
        common = math.gcd(*info.data.get("channels", (groups,)))
        if common % groups:
            raise ValueError(
                f"got {groups}, allowed: what divides all of model.channels, so 1 or a divisor of {common}."
            )
        return groups


@register_model("cnn", CNNOptions)
def cnn(options: CNNOptions, image_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Build the network: images [B, C, H, W] -> convolutions [B, c, h, w] -> [B, c*h*w] (or [B, c]) -> logits.

    Layers are named conv1, norm1, act1, pool1, ..., flatten, fc1, act<n+1>, ..., out: the names that random streams
    are derived from. The defaults are LeNet-5's shape (LeCun et al. 1998, section II.B) with `padding: same`, so that
    images of 8x8 pixels fit too. A deep plain network (Xiao et al. 2018: up to 10,000 layers of circular convolutions)
    is `channels: {width: 8, depth: 1000}, kernel: 3, padding_mode: circular, pool: none, readout: mean, hidden: []`.
    Raises UsageError where an image is too small for a layer's kernel, padding or pooling.
    """
    from torch import nn

    width, *image = image_shape
    height_and_width = _size_at_the_end(options, (image[0], image[1]))
    layers: dict[str, nn.Module] = {}
    for number, units in enumerate(options.channels, start=1):
        layers |= _convolution(options, number, width, units)
        width = units
    if options.readout == "mean":
        layers["mean"] = nn.AdaptiveAvgPool2d(1)
    else:
        width *= math.prod(height_and_width)
    layers["flatten"] = nn.Flatten()
    for number, units in enumerate(options.hidden, start=1):
        layers[f"fc{number}"] = nn.Linear(width, units, bias=options.bias)
        layers[f"act{len(options.channels) + number}"] = activation_module(options.activation)
        width = units
    layers["out"] = nn.Linear(width, classes, bias=options.bias)
    return nn.Sequential(OrderedDict(layers))


def _convolution(options: CNNOptions, number: int, inputs: int, units: int) -> dict[str, nn.Module]:
    from torch import nn

    kernel, stride, pool = _sizes(options, number)
    layers: dict[str, nn.Module] = {}
    layers[f"conv{number}"] = nn.Conv2d(
        inputs,
        units,
        kernel,
        stride,
        padding=_padding(options, kernel),
        padding_mode=options.padding_mode,
        groups=options.groups if number > 1 else 1,
        bias=options.bias,
    )
    if options.norm == "batch":
        layers[f"norm{number}"] = nn.BatchNorm2d(units)
    layers[f"act{number}"] = activation_module(options.activation)
    if pool > 1:
        layers[f"pool{number}"] = nn.MaxPool2d(pool) if options.pool == "max" else nn.AvgPool2d(pool)
    return layers


def _sizes(options: CNNOptions, number: int) -> tuple[int, int, int]:
    """Return kernel, stride and pooling (1: none) of the convolution `number`, from 1."""
    pool = 1 if options.pool == "none" else of_layer(options.pool_size, number - 1)
    return of_layer(options.kernel, number - 1), of_layer(options.stride, number - 1), pool


def _padding(options: CNNOptions, kernel: int) -> int:
    return kernel // 2 if options.padding == "same" else 0


def _size_at_the_end(options: CNNOptions, image: tuple[int, int]) -> tuple[int, int]:
    """Return the height and width [h, w] after the last pooling; raises UsageError where nothing would be left."""
    size = image
    for number in range(1, len(options.channels) + 1):
        kernel, stride, pool = _sizes(options, number)
        padding = _padding(options, kernel)
        _check_padding(options.padding_mode, number, padding, size)
        size = _shrunk(size, kernel - 2 * padding, stride, f"conv{number} (model.kernel, model.stride)")
        size = _shrunk(size, pool, pool, f"pool{number} (model.pool_size)")
    return size


def _check_padding(mode: str, number: int, padding: int, size: tuple[int, int]) -> None:
    """Raise UsageError where the padding, which repeats the image's own pixels, takes more of them than there are."""
    limit = {"circular": min(size), "reflect": min(size) - 1}.get(mode, padding)
    if padding > limit:
        raise UsageError(
            f"model.padding_mode {mode}: conv{number} pads {padding} pixels on each side of {size[0]}x{size[1]},"
            f" at most {limit} are possible. Lower model.kernel, shrink the image less, or use padding_mode zeros."
        )


def _shrunk(size: tuple[int, int], window: int, step: int, layer: str) -> tuple[int, int]:
    if window > min(size):
        raise UsageError(
            f"{layer} needs {window}x{window} pixels, but {size[0]}x{size[1]} are left of the image. Shrink it less,"
            " such as with lists that end in 1, which repeats: model.pool_size=[2,2,1], or use model.padding=same."
        )
    return (size[0] - window) // step + 1, (size[1] - window) // step + 1
