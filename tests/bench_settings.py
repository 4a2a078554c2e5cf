"""A config that trains in milliseconds, and what a comparison says."""

from __future__ import annotations

from typing import Any

from initbench.results import Comparison


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


def without_times(comparison: Comparison) -> dict[str, Any]:
    """Return all that a comparison says but for the seconds and what was reused, the schemes in no order."""
    dumped = comparison.model_dump(exclude={"reused": True, "schemes": {"__all__": {"seconds", "init_seconds"}}})
    return {**dumped, "schemes": {row["scheme"]: row for row in dumped["schemes"]}}
