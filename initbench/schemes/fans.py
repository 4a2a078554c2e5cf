"""fan_in and fan_out of a weight: how many inputs feed a unit, how many outputs an input feeds.

Source: He et al. 2015, section 2.2; torch.nn.init. For grouped convolutions torch's weight [out, in / groups, *kernel]
makes fan_in count the channels of one group.
"""

from __future__ import annotations

import math
from typing import Literal

Mode = Literal["fan_in", "fan_out", "fan_avg", "fan_geo_avg"]


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return (fan_in, fan_out) of a weight of shape [out, in, *kernel]."""
    receptive_field = math.prod(shape[2:])
    return shape[1] * receptive_field, shape[0] * receptive_field


def fan(shape: tuple[int, ...], mode: Mode) -> float:
    """Return the fan that `mode` names; fan_avg is (fan_in + fan_out) / 2, fan_geo_avg sqrt(fan_in * fan_out)."""
    fan_in, fan_out = fans(shape)
    by_mode: dict[Mode, float] = {
        "fan_in": fan_in,
        "fan_out": fan_out,
        "fan_avg": (fan_in + fan_out) / 2,
        "fan_geo_avg": math.sqrt(fan_in * fan_out),
    }
    return by_mode[mode]
