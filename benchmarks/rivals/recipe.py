"""What every contestant is given (recipe, images), and what it hands back: counts and seconds."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from initbench.data import Dataset

SIZES = (784, 256, 256, 10)
BATCH, LEARNING_RATE, BETAS, EPS = 100, 1e-3, (0.9, 0.999), 1e-8
WARM_UP_STEPS = 50  # for those who compile nothing
EVALUATED_AT_ONCE = 2_000

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Recipe:
    """How much is trained, and on what; `folder` has what `store` put there."""

    folder: str
    dataset: str
    limit: int | None
    epochs: int
    seeds: int
    seed: int


@dataclass(frozen=True)
class Measured:
    """So many replica-epochs in so many seconds, after the start (imports, data, model) and the warm-up (compilation).

    `accuracy` is the lowest of all replicas on the test images; None for who learns nothing.
    """

    replica_epochs: float
    seconds: float
    accuracy: float | None
    start_s: float | None = None
    warm_up_s: float | None = None

    @property
    def rate(self) -> float:
        """Return replica-epochs per second."""
        return self.replica_epochs / self.seconds


class Stopwatch:
    """Seconds of the start, which began with the process, of the warm-up, and of what is measured."""

    def __init__(self, begun: float) -> None:
        self.marks = [begun]  # of time.monotonic(), which all processes of a machine share

    def mark(self) -> None:
        """Take note that the start, and then that the warm-up, is over."""
        self.marks.append(time.monotonic())

    def measured(self, replica_epochs: float, accuracy: float | None) -> Measured:
        """Return what it came to; the clock stops now, unless it was marked a third time."""
        if len(self.marks) == 3:
            self.mark()
        begun, ready, warm, ended = self.marks
        return Measured(replica_epochs, ended - warm, accuracy, ready - begun, warm - ready)


class Arrays(NamedTuple):
    """The images and labels that are trained and tested on, in full batches."""

    train_images: Bytes  # [N,784]
    train_labels: Labels  # [N]
    test_images: Bytes  # [M,784]
    test_labels: Labels  # [M]


def store(dataset: Dataset, folder: Path) -> None:
    """Write the images into `folder`, as arrays and as torchvision's MNIST reads them."""
    full = len(dataset.train_labels) // BATCH * BATCH
    train = dataset.train_images[:full].flatten(1).numpy(), dataset.train_labels[:full].numpy()
    test = dataset.test_images.flatten(1).numpy(), dataset.test_labels.numpy()
    for name, array in zip(Arrays._fields, (*train, *test), strict=True):
        np.save(folder / f"{name}.npy", array)
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, (images, labels) in (("train", train), ("t10k", test)):
        (raw / f"{name}-images-idx3-ubyte").write_bytes(_idx(images.reshape(-1, 28, 28)))
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(_idx(labels.astype(np.uint8)))


def _idx(array: npt.NDArray[Any]) -> bytes:
    """Return bytes in the IDX format: 0, 0, 8 (unsigned bytes), the number of axes, each one's length, the values."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes() + array.tobytes()


def arrays(recipe: Recipe) -> Arrays:
    """Return the images as bytes, without torch."""
    return Arrays(*(np.load(Path(recipe.folder) / f"{name}.npy") for name in Arrays._fields))


def floats(images: Bytes) -> Floats:
    """Return images as float32 in [0, 1]."""
    return images.astype(np.float32) / np.float32(255)
