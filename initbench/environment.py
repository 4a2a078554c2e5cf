"""What a run was executed with: versions, processor, git state. Recorded beside its numbers."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import Any

RECORDED_PACKAGES = ("initbench", "torch", "torchvision", "numpy", "scipy", "scikit-learn", "pydantic")


@functools.cache
def describe(device: str, threads: int) -> dict[str, Any]:
    """Return versions, CPU and GPU model, threads, and the git state of initbench's own checkout."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in RECORDED_PACKAGES} | {"torch": _torch_build()},
        "cpu": cpu_model(),
        "gpu": _gpu_model(device),
        "threads": threads,
        "git": git_state(),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _torch_build() -> str:
    """Return torch's version with its build (+cpu, +cu132), which the package's metadata leaves out."""
    import torch

    return torch.__version__


@functools.cache
def cpu_model() -> str:
    """Return the processor's model name, as the operating system gives it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _gpu_model(device: str) -> str | None:
    if not device.startswith("cuda"):
        return None
    import torch

    return torch.cuda.get_device_name(device)


@functools.cache
def git_state() -> dict[str, Any] | None:
    """Return {"commit", "dirty"} of the checkout that initbench is imported from; None for an installed copy."""
    here = Path(__file__).resolve().parent
    try:
        commit = _git(here, "rev-parse", "HEAD")
        if not _git(here, "ls-files", "--", Path(__file__).name):  # a foreign repository that merely holds the .venv
            return None
        return {"commit": commit, "dirty": bool(_git(here, "status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "--no-optional-locks", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()  # noqa: S603 # fixed words
