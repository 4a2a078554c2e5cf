"""What a dataset is once it is in memory, what a source of one must offer, and the registry of sources."""

from __future__ import annotations

import dataclasses
import hashlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from initbench.registry import Registry

if TYPE_CHECKING:
    import torch
    from numpy import ndarray
    from torch import Tensor

    from initbench.results import DatasetInfo

Notify = Callable[[str], None]  # gets one line for a person to read
Progress = Callable[[str, int, int | None], None]  # file name, bytes done, bytes in all (None: unknown)


def ignore(*_: object) -> None:
    """Take a message or a progress report and do nothing: the default of every callback here."""


class Images(NamedTuple):
    """The tensors of a dataset; N training and M test images of 28 x 28 pixels, 0 (background) to 255."""

    train_images: Tensor  # [N,1,28,28] uint8
    train_labels: Tensor  # [N] int64
    test_images: Tensor  # [M,1,28,28] uint8
    test_labels: Tensor  # [M] int64


@dataclass(frozen=True, eq=False)
class Dataset:
    """A dataset in memory. `stand_in_for` names the dataset that was asked for, where this one takes its place."""

    name: str
    stand_in_for: str | None
    classes: int
    train_images: Tensor  # [N,1,28,28] uint8
    train_labels: Tensor  # [N] int64
    test_images: Tensor  # [M,1,28,28] uint8
    test_labels: Tensor  # [M] int64
    sha256: str  # `fingerprint` of the four tensors

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the tensors as numpy arrays: those a process can share with others instead of copying them."""
        arrays = [getattr(self, name).numpy(force=True) for name in Images._fields]
        return _from_arrays, (self.name, self.stand_in_for, self.classes, arrays, self.sha256)

    def on(self, device: torch.device) -> Dataset:
        """Return the dataset with its tensors on `device`."""
        moved = {name: getattr(self, name).to(device) for name in Images._fields}
        return dataclasses.replace(self, **moved)

    @property
    def info(self) -> DatasetInfo:
        """The record of this dataset that goes into a run's results."""
        from initbench.results import DatasetInfo

        return DatasetInfo(
            name=self.name,
            stand_in_for=self.stand_in_for,
            train_size=len(self.train_labels),
            test_size=len(self.test_labels),
            sha256=self.sha256,
        )


def _from_arrays(
    name: str, stand_in_for: str | None, classes: int, arrays: Sequence[ndarray[Any, Any]], sha256: str
) -> Dataset:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # shared memory may be read-only, and nothing writes to a dataset
        tensors = [torch.from_numpy(array) for array in arrays]
    return Dataset(name, stand_in_for, classes, *Images(*tensors), sha256=sha256)


def fingerprint(images: Images) -> str:
    """Return the SHA-256 over name, dtype, shape and bytes of each tensor, in the order of `Images`."""
    digest = hashlib.sha256()
    for name, tensor in images._asdict().items():
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().view(-1).numpy())
    return digest.hexdigest()


@dataclass(frozen=True)
class FileCheck:
    """What a verification says of one file: what it was checked by, and what is wrong with it ("" where nothing is)."""

    path: Path
    checked: str
    status: Literal["ok", "bad", "missing"]
    problem: str = ""


class Source(Protocol):
    """Where one dataset's images come from. `roots` are folders with torchvision's layout, searched in order."""

    @property
    def classes(self) -> int:
        """The number of classes; labels are 0 to classes - 1."""

    def find(self, roots: Sequence[Path]) -> Path | None:
        """Return the folder that has the dataset's files, None where no root has; reads none of them."""

    def read(self, roots: Sequence[Path], notify: Notify = ignore) -> Images | None:
        """Return the images from the first root with verified files, None where no root has them all."""

    def fetch(self, root: Path, notify: Notify = ignore, progress: Progress = ignore) -> Path:
        """Download what `root` lacks and return the folder of the files; raises DataError where it cannot be had."""

    def check(self, roots: Sequence[Path]) -> list[FileCheck]:
        """Verify the files in the folder that `read` would take first; changes nothing."""


datasets: Registry[Source] = Registry("dataset")
