"""A config that trains in milliseconds."""

from __future__ import annotations

from typing import Any


def tiny(**sections: Any) -> dict[str, Any]:
    """Return 200 digits, a small network, two epochs; `sections` are merged in."""
    base: dict[str, Any] = {
        "model": {"hidden": [16]},
        "data": {"name": "digits", "limit": 200, "batch_size": 20},
        "train": {"epochs": 2, "lr": 0.01},
    }
    return {
        key: {**base.get(key, {}), **value} if isinstance(value, dict) else value
        for key, value in (base | sections).items()
    }
