"""What is unfinished, so that it can go on after an interruption: one file for each task, replaced whole or not at all.

    runs/.unfinished/0f3c9a....safetensors

The file is safetensors: what training goes on from, by name, the rows of each run as bytes, and in its metadata the
rest of the UnfinishedTask as JSON and a SHA-256 over all, so that damage is noticed and not trained on.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import struct
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from initbench.errors import StoreError
from initbench.results import UnfinishedTask
from initbench.store.disk import disk_errors, write_flushed
from initbench.store.regular import open_regular

if TYPE_CHECKING:
    from torch import Tensor

FOLDER = ".unfinished"
SUFFIX = ".safetensors"
METRICS = "metrics."  # the names of the rows, by the runs' places: a header holds 100 MB at most, and they may be more
MAX_HEADER_BYTES = 100_000_000  # what safetensors itself reads at most
MAX_BYTES = 32 << 30  # of a file: more than the memory of most machines
UNREADABLE = (ValueError, KeyError, TypeError, RecursionError, MemoryError)
LENGTH = struct.Struct("<Q")  # the head of a safetensors file: how long its header is


@dataclass(frozen=True)
class Unfinished:
    """The unfinished tasks of the runs folder `root`; `scratch` is where a file is written before it takes its place.

    Picklable: a worker process on the same disk uses it as well.
    """

    root: Path
    scratch: Path

    @property
    def reachable(self) -> bool:
        """Whether this process sees the folders: a worker on another machine may not."""
        return self.scratch.is_dir()

    def save(self, name: str, task: UnfinishedTask, tensors: Mapping[str, Tensor]) -> None:
        """Put this in place of what was kept of the task `name`; raises StoreError where the disk refuses."""
        from safetensors.torch import save

        ours = {name: _copy(tensor) for name, tensor in tensors.items()}
        ours |= {f"{METRICS}{place}": _as_tensor(run.metrics) for place, run in enumerate(task.runs)}
        text = _with_metrics(task, [""] * len(task.runs)).model_dump_json()
        content = save(ours, {"task": text, "sha256": _sha256(text, ours)})
        with disk_errors(self.root):
            written = self.scratch / f"{uuid.uuid4().hex}{SUFFIX}"
            try:
                write_flushed(written, content)
                written.replace(self.root / FOLDER / f"{name}{SUFFIX}")
            finally:
                written.unlink(missing_ok=True)

    def load(self, name: str) -> tuple[UnfinishedTask, dict[str, Tensor]] | None:
        """Return what was kept of a task, None where nothing was; raises StoreError where it is damaged."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        path = self.root / FOLDER / f"{name}{SUFFIX}"
        try:
            with open_regular(path) as file:
                if os.fstat(file.fileno()).st_size > MAX_BYTES:
                    raise OSError(errno.EFBIG, "larger than any saved state")
                content = file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{path.name}: {error.strerror or error}") from error
        try:
            metadata = _metadata(io.BytesIO(content))
            task = UnfinishedTask.model_validate_json(metadata["task"])
            tensors = load(content)
            if _sha256(metadata["task"], tensors) != metadata["sha256"]:
                raise StoreError(f"{path.name}: damaged, its checksum is another one")
            rows = [_as_text(tensors.pop(f"{METRICS}{place}")) for place in range(len(task.runs))]
        except (*UNREADABLE, SafetensorError) as error:
            raise StoreError(f"{path.name}: no saved state ({type(error).__name__})") from error
        return _with_metrics(task, rows), tensors

    def remove(self, name: str) -> None:
        """Forget a task: it is finished."""
        with disk_errors(self.root):
            (self.root / FOLDER / f"{name}{SUFFIX}").unlink(missing_ok=True)


def unfinished_tasks(root: Path) -> dict[str, UnfinishedTask]:
    """Return the unfinished tasks of a runs folder by their names, as far as they can be read. Reads no tensors."""
    folder = root / FOLDER
    try:
        names = sorted(os.listdir(folder)) if folder.is_dir() and not folder.is_symlink() else []  # noqa: PTH208 # names
    except OSError:
        return {}
    found = ((name.removesuffix(SUFFIX), _task(folder / name)) for name in names if name.endswith(SUFFIX))
    return {name: task for name, task in found if task is not None}


def _task(path: Path) -> UnfinishedTask | None:
    try:
        with open_regular(path) as file:
            return UnfinishedTask.model_validate_json(_metadata(file)["task"])
    except (OSError, *UNREADABLE):
        return None


def _metadata(file: BinaryIO) -> dict[str, Any]:
    """Return the metadata of a safetensors file; raises ValueError, KeyError or TypeError where it has none."""
    head = file.read(LENGTH.size)
    if len(head) < LENGTH.size or (length := LENGTH.unpack(head)[0]) > MAX_HEADER_BYTES:
        raise ValueError("no safetensors file")
    metadata = json.loads(file.read(length))["__metadata__"]
    if not isinstance(metadata, dict):
        raise TypeError("its metadata is no mapping")
    return metadata


def _copy(tensor: Tensor) -> Tensor:
    """Return the tensor on the CPU, in memory of its own."""
    import torch

    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)


def _as_tensor(text: str) -> Tensor:
    import torch

    return torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8) if text else torch.zeros(0, dtype=torch.uint8)


def _as_text(tensor: Tensor) -> str:
    return bytes(tensor.numpy()).decode()


def _with_metrics(task: UnfinishedTask, metrics: Sequence[str]) -> UnfinishedTask:
    """Return the task with these rows in its runs."""
    pairs = zip(task.runs, metrics, strict=True)
    return task.model_copy(update={"runs": tuple(run.model_copy(update={"metrics": text}) for run, text in pairs)})


def _sha256(text: str, tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 over the task's JSON and each tensor's name, type, shape and bytes, ordered by name."""
    import torch

    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\0{name}\0{tensor.dtype}\0{list(tensor.shape)}\0".encode())
        digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
