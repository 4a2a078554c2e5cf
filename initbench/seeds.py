"""Named random streams: every random draw of initbench comes from `stream(seed, purpose, ...)`.

Streams of different purposes or names are independent, so that a scheme's draws never shift the order of the data
(runs are paired by seed) and adding a layer does not change the draws of the others.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Purpose = Literal["init", "order", "split", "dropout", "bootstrap", "permutation", "pixels", "model", "signals"]


def derive(seed: int, purpose: Purpose, *names: str | int) -> int:
    """Return the 64-bit seed of the stream (seed, purpose, *names): the head of SHA-256 over their JSON.

    torch's CPU generator (MT19937) uses the low 32 bits; CUDA's (Philox) and numpy's use all.
    """
    key = json.dumps([seed, purpose, *names], separators=(",", ":"), ensure_ascii=True)
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little")


def stream(seed: int, purpose: Purpose, *names: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a fresh torch generator for (seed, purpose, *names) on `device`."""
    import torch

    return torch.Generator(device=device).manual_seed(derive(seed, purpose, *names))
