"""Which device a config's `device` means on this machine, and the seed of what draws on it by itself."""

from __future__ import annotations

import torch

from initbench.errors import DeviceError


def resolve_device(name: str) -> torch.device:
    """Return the device that `name` (auto, cpu, cuda, cuda:<i>) stands for; auto is CUDA where it is, else the CPU.

    Raises DeviceError for a CUDA device that is not there.
    """
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise DeviceError(f"device {name!r}: torch sees no CUDA device here. Use --device cpu or --device auto.")
    device = torch.device("cuda:0" if name in ("auto", "cuda") else name)
    if device.index >= torch.cuda.device_count():
        last = torch.cuda.device_count() - 1
        raise DeviceError(f"device {name!r}: torch sees cuda:0 to cuda:{last} here. Use one, or --device auto.")
    return device


def seed_global_generator(seed: int, device: torch.device) -> None:
    """Seed what a user's own module may draw from, such as torch's Dropout; initbench's own modules do not."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
