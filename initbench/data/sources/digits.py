"""scikit-learn's handwritten digits as a dataset: 1,797 real images, shipped with it; the offline stand-in."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from initbench.data.dataset import FileCheck, Images, Notify, Progress, datasets, ignore
from initbench.data.subset import stratified
from initbench.errors import DataError
from initbench.seeds import stream

if TYPE_CHECKING:
    from torch import Tensor

SIDE, PIXELS = 8, 28  # of the originals, and of what the models take
LEVELS = 16  # the originals' pixels are 0 to 16
TEST_FRACTION = 0.2


class Digits:
    """The UCI optical digits test set (Alpaydin & Kaynak 1998), scaled to 28 x 28; a fixed stratified 80/20 split."""

    classes = 10

    def find(self, roots: Sequence[Path] = ()) -> Path | None:
        """Return scikit-learn's data folder; the roots do not matter."""
        spec = find_spec("sklearn")
        if spec is None or spec.origin is None:
            return None
        folder = Path(spec.origin).parent / "datasets" / "data"
        return folder if (folder / "digits.csv.gz").is_file() else None

    def read(self, roots: Sequence[Path] = (), notify: Notify = ignore) -> Images:
        """Return the images, split; the roots do not matter."""
        import torch
        from sklearn.datasets import load_digits

        pixels, labels = load_digits(return_X_y=True)
        images = enlarge(torch.from_numpy(pixels).to(torch.int64).view(-1, SIDE, SIDE))
        targets = torch.from_numpy(labels).to(torch.int64)
        size = round(len(targets) * TEST_FRACTION)
        test = stratified(targets, size, generator=stream(0, "split", "digits"))
        train = torch.ones(len(targets), dtype=torch.bool)
        train[test] = False
        return Images(images[train], targets[train], images[test], targets[test])

    def fetch(self, root: Path, notify: Notify = ignore, progress: Progress = ignore) -> Path:
        """Return scikit-learn's data folder: there is nothing to download."""
        folder = self.find()
        if folder is None:
            raise DataError("digits come with scikit-learn, which is not installed; run `pip install scikit-learn`.")
        return folder

    def check(self, roots: Sequence[Path] = ()) -> list[FileCheck]:
        """Return one row: the file in scikit-learn's data folder, which that library vouches for."""
        folder = self.find()
        if folder is None:
            return [FileCheck(Path("digits.csv.gz"), "nothing", "missing")]
        return [FileCheck(folder / "digits.csv.gz", "there", "ok")]


def enlarge(images: Tensor) -> Tensor:
    """Return [N,8,8] int64 images of 0..16 as [N,1,28,28] uint8 of 0..255: bilinear, pixel centres aligned.

    In integers, so that every machine gets the same bytes: output pixel i lies at (4 i - 5) / 14 of the input, all
    weights are multiples of 1/14, and the one division at the end rounds half up.
    """
    import torch

    weights = _weights()
    sums = weights @ images @ weights.mT  # [28,8] x [N,8,8] x [8,28] -> [N,28,28], times 14^2
    scale = 14 * 14 * LEVELS
    return ((sums * 255 + scale // 2) // scale).to(torch.uint8).unsqueeze(1)


def _weights() -> Tensor:
    """Return the [28,8] weights of bilinear enlargement along one axis, times 14; beyond the edge its pixel repeats."""
    import torch

    position = (4 * torch.arange(PIXELS) - 5).clamp(0, 14 * (SIDE - 1))
    low = position // 14
    high = (low + 1).clamp(max=SIDE - 1)
    part = position % 14
    weights = torch.zeros(PIXELS, SIDE, dtype=torch.int64)
    weights.scatter_add_(1, low[:, None], (14 - part)[:, None])
    return weights.scatter_add_(1, high[:, None], part[:, None])


datasets.add("digits", Digits())
